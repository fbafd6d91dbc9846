"""A part or stage whose code changes must change its version (ARCHITECTURE.md).

Stage outputs are reused under `name@version`, so a change without a new version would serve
old results as new ones. `python -m tests.rules.test_pins` writes the pins of new versions.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

from bessemer.core import digest
from bessemer.engines.base import ENGINES
from bessemer.prepare.sources.base import SOURCES
from bessemer.service.recipe import STAGES
from bessemer.tasks.base import TASKS
from bessemer.train.methods.base import METHODS

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "bessemer"
PINS = Path(__file__).with_name("pins.json")
#: What besides a part's own file decides its output.
#: `file::function` pins one function of a file.
ENCODING = ["serve/residents.py::tokenizer", "service/pipeline.py::examples"]
STEPS = [
    "train/mitigation.py",
    "train/tuning.py", "train/loop.py", "train/curriculum.py", "train/gradient.py",
    "train/network.py", "train/cores.py", "train/batching.py", "train/checkpoints.py",
    "train/options.py", "train/embed.py", "train/methods/probe.py", "pretrained/encoder.py",
    "measures/calibration.py",
]  # fmt: skip
TASK = [
    "tasks/base.py", "measures/answers.py", "measures/intervals.py", "measures/calibration.py",
    "measures/conformal.py", "measures/selective.py",
]  # fmt: skip
SHARED = {
    "method/probe": [
        "train/mitigation.py", "train/embed.py", "train/cores.py", "train/options.py",
        "pretrained/encoder.py", "measures/calibration.py",
    ],
    "method/full": STEPS,
    "method/lora": STEPS,
    "method/few-shot": ["train/contrast.py", *STEPS],
    "task/text-classification": TASK,
    "task/token-classification": TASK,
    "engine/onnx": ["engines/lora/slots.py"],
    "engine/torch": ["pretrained/encoder.py"],
    "source/csv": ["prepare/sources/base.py", "prepare/text.py"],
    "source/jsonl": ["prepare/sources/base.py", "prepare/text.py"],
    "source/conll": ["prepare/sources/base.py", "prepare/text.py"],
    "source/parquet": ["prepare/sources/base.py", "prepare/text.py"],
    "source/folder": ["prepare/sources/base.py", "prepare/text.py"],
    "source/label-studio": [
        "prepare/sources/base.py", "prepare/sources/jsonl.py", "prepare/text.py",
    ],
    "stage/prepare": [
        "prepare/runner.py", "prepare/select.py", "prepare/checks.py", "prepare/splits.py",
        "prepare/pii.py", "prepare/presidio.py", "prepare/annotators.py", "measures/crowd.py",
        "prepare/desk.py", "prepare/corrections.py", "prepare/duplicates.py", "prepare/minhash.py",
        "prepare/near_duplicates.py", "prepare/leakage.py", "prepare/outliers.py",
        "prepare/words.py", "prepare/whole.py", "prepare/rows.py", "prepare/ledger.py",
        "prepare/digests.py",
        "service/pipeline.py::_prepare",
    ],
    "stage/encode": [
        "service/vectors.py", "train/embed.py", "train/cores.py", "pretrained/encoder.py",
        "serve/residents.py::tokenizer",
    ],
    "stage/inspect": [
        "service/inspecting.py", "train/folds.py", "train/methods/probe.py",
        "prepare/label_errors.py", "measures/calibration.py",
    ],
    "stage/search": [
        "train/search.py", "train/space.py", "service/searching.py", "service/pipeline.py::_search",
    ],
    "stage/train": [
        "service/pipeline.py::_train", "service/pipeline.py::lesson", "service/mitigating.py",
        "core/terms.py", "core/words/terms.json",
        "pretrained/resolve.py::safe_config", *ENCODING,
    ],
    "stage/export": [
        "release/export.py", "release/packing.py", "pretrained/encoder.py",
        "measures/calibration.py", "evaluate/asking.py", "service/exporting.py",
        "release/adapting.py", "release/quantising.py", "bundle/weights.py",
        "measures/group_thresholds.py", "service/mitigating.py",
        "engines/base.py::pool",
        "serve/policies.py::batches", *ENCODING,
    ],
    "stage/evaluate": [
        "service/evaluating.py", "service/costs.py", "service/memory.py", "core/terms.py",
        "core/words/terms.json",
        *(
            f"evaluate/{name}"
            for name in (
                "report.py", "examined.py", "asking.py", "slices.py", "calibration.py",
                "robustness.py", "perturbations.py", "negation.py", "behaviour.py", "swaps.py",
                "fairness.py", "comparison.py", "latency.py", "words/synonyms.yaml",
                "words/characters.yaml",
            )
        ),
        "measures/comparison.py", "measures/fairness.py", "measures/selective.py", *ENCODING,
    ],
    "stage/release": [
        "release/gates.py", "release/conditions.py", "release/card.py", "bundle/format.py",
        "bundle/signature.py",
        "service/releasing.py::_bundle",
    ],
}  # fmt: skip


def code_of(files: list[str]) -> str:
    """Return the digest of files' code, blind to comments, docstrings and layout."""
    return digest.of_json([_bare(name) for name in files])


def _bare(name: str) -> str:
    name, _, function = name.partition("::")
    if not name.endswith(".py"):
        return (SOURCE / name).read_text(encoding="utf-8")
    tree: ast.AST = ast.parse((SOURCE / name).read_text(encoding="utf-8"))
    if function:
        [tree] = [n for n in ast.walk(tree) if getattr(n, "name", None) == function]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]
    # Field descriptions are documentation too.
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg != "description"]
    return ast.dump(tree)


def current() -> dict[str, str]:
    """Return `{kind/name@version: digest of its code}` for every part and stage."""
    found = {}
    kinds = {"method": METHODS, "task": TASKS, "engine": ENGINES, "source": SOURCES}
    for kind, catalogue in kinds.items():
        for name in catalogue.names():
            part = catalogue.load(name)
            own = f"{part.__module__.removeprefix('bessemer.').replace('.', '/')}.py"
            key = f"{kind}/{name}"
            found[f"{key}@{part.version}"] = code_of([own, *SHARED.get(key, [])])
    for stage, version in STAGES.items():
        found[f"stage/{stage}@{version}"] = code_of(SHARED[f"stage/{stage}"])
    return found


def test_code_changes_with_its_version() -> None:
    pins = json.loads(PINS.read_text(encoding="utf-8"))
    for name, found in current().items():
        assert name in pins, f"{name} has no pin: python -m tests.rules.test_pins"
        assert pins[name] == found, f"the code of {name} changed: raise its version"


def test_a_change_of_code_is_seen_and_a_comment_is_not(tmp_path: Path) -> None:
    path = tmp_path / "part.py"
    path.write_text('"""One."""\ndef f(): return 1  # one\nx = 1\n')
    before, function = _bare(str(path)), _bare(f"{path}::f")
    path.write_text('"""Another."""\n\ndef f():\n    return 1\nx = 1\n')
    assert _bare(str(path)) == before
    path.write_text('"""One."""\ndef f(): return 1\nx = 2\n')
    assert _bare(str(path)) != before
    assert _bare(f"{path}::f") == function


def main() -> None:
    """Add pins of versions that have none; an existing pin is never overwritten."""
    pins = json.loads(PINS.read_text(encoding="utf-8")) if PINS.exists() else {}
    found = current()
    changed = [name for name in found if name in pins and pins[name] != found[name]]
    if changed:
        raise SystemExit(f"raise the version of: {', '.join(changed)}")
    PINS.write_text(json.dumps({**pins, **found}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
