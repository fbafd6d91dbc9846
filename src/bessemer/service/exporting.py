"""The stage between training and evaluation: what will serve, and whether it answers as trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bessemer.bundle import weights
from bessemer.bundle.format import ADAPTER, ADAPTER_CONFIG, CONFIG, ENCODER, HEAD, TOKENISER
from bessemer.core import digest, folder
from bessemer.core.errors import ContractError, needs
from bessemer.engines.base import ENGINES
from bessemer.evaluate.asking import computed
from bessemer.pretrained import resolve
from bessemer.serve.residents import Model, attached
from bessemer.service import logits as kept
from bessemer.service import mitigating
from bessemer.service.recipe import STAGES, engine_name

if TYPE_CHECKING:
    from bessemer.service.pipeline import Pipeline
    from bessemer.tasks.base import Logits

#: The exact engines, by the engine that is asked for: it is held against one of them.
EXACT = {"onnx-int8": "onnx-fp32", "onnx-fp32": "onnx-fp32", "torch": "torch"}
#: How far the log-loss of the exported weights may be from what the trainer measured, in nats:
#: rounding, and a base computed in bfloat16, stay far below; another head does not.
MOST_LOSS_GAP = 0.02
#: Logits of the validation split by the engine that will serve.
VALIDATION = "validation.npz"


def export(pipeline: Pipeline, target: Path) -> dict[str, Any]:
    """Put the files of the engine that will serve into `target`.

    Returns:
        Engine, tier, calibration and validation scores.

    Raises:
        ContractError: The exported model does not answer as the trained one.
        ProjectError: serve.precision cannot be promised.
    """
    serve, task = pipeline.plan.project.serve, pipeline.task
    encoded, actual = pipeline.examples("validation")
    targets = task.targets(encoded, actual)
    asked: str = serve.engine
    exact = EXACT[asked]
    places = _engines(pipeline)
    logits: dict[str, list[Logits]] = {}
    score: dict[str, float] = {}
    calibration, by_group = {}, {}
    for name in dict.fromkeys([asked, exact]):
        run = model(pipeline, name, places / name).run
        logits[name] = computed(run, encoded.features, pipeline.watcher.step, f"validate {name}")
        by_group[name] = mitigating.fitted(pipeline, logits[name], actual)
        # What is promised is promised of what is answered, thresholds by group included.
        served = mitigating.shifted(pipeline, "validation", logits[name], by_group[name])
        calibration[name] = task.calibrate(encoded, served, actual, serve.refuse, serve.precision)
        answered = task.answers(encoded, served, calibration[name])
        score[name] = float(task.score(task.tallies(actual, answered).sum(axis=0)))
    temperature = task.temperature(logits[exact], targets)
    from bessemer.service.pipeline import NOTES

    notes = json.loads((pipeline.input("train") / NOTES).read_text(encoding="utf-8"))
    _check_trained(notes["log_loss"], task.log_loss(logits[exact], targets, temperature))
    chosen = exact if score[exact] - score[asked] > serve.max_loss else asked
    folder.link(places / ENCODER, target / ENCODER)
    for name in {*ENGINES.load(engine_name(chosen)).files} - {ENCODER}:
        folder.link(places / chosen / name, target / name)
    kept.write(target / VALIDATION, logits[chosen])
    thresholds = by_group[chosen]
    return {
        "group_thresholds": thresholds and thresholds.model_dump(mode="json"),
        "engine": chosen,
        "tier": notes["tier"],
        "calibration": calibration[chosen],
        "validation_score": score,
    }


def told(exported: dict[str, Any], asked: str, metric: str) -> str:
    """Return in a line what was exported."""
    chosen, score = exported["engine"], exported["validation_score"]
    loses = score[chosen] - score[asked]
    fallen = f" ({asked} loses {loses:.4f} on validation)" if chosen != asked else ""
    return f"{chosen}{fallen}, validation {metric} {score[chosen]:.4f}"


def model(pipeline: Pipeline, engine: str, place: Path) -> Model:
    """Return the trained task on an engine whose files lie in `place`."""
    loaded = ENGINES.load(engine_name(engine))(place)
    return attached(loaded, pipeline.input("train"), pooled=pipeline.task.pooled)


def _engines(pipeline: Pipeline) -> Path:
    """Return a folder with the encoder as each engine reads it, made if need be.

    Tasks that leave their base as it was find the same folder, so that whoever serves them can
    tell by the digest that one encoder in memory is enough.
    """
    plan, stages = pipeline.plan, pipeline.home.stages
    train = pipeline.input("train")
    trained = folder.entries(train).get(ENCODER)
    adapted = set(weights.read_adapter(train).matrices) if weights.has_adapter(train) else set()
    torch = plan.project.serve.engine == "torch"
    what = {
        "stage": f"export@{STAGES['export']}",
        "weights": trained or plan.base.record.digest,
        "config": plan.base.config,
        "adapted": sorted(adapted),
        "torch": torch,
    }
    key = digest.of_json(what)
    with stages.lock("engines", key):
        if not stages.has("engines", key):
            with stages.make("engines", key) as aside, needs("onnx"):
                # Not a link to a base's file: that belongs to someone else, who may change it.
                (folder.link if trained else shutil.copyfile)(pipeline.weights(), aside / ENCODER)
                if torch:
                    (aside / "torch").mkdir()
                    folder.link(aside / ENCODER, aside / "torch" / ENCODER)
                    text = json.dumps(plan.base.config, indent=1, sort_keys=True)
                    (aside / "torch" / CONFIG).write_text(text + "\n", encoding="utf-8")
                else:
                    from bessemer.release.export import export as write

                    write(plan.base.config, aside / ENCODER, aside, adapted=adapted)
    path = stages.path("engines", key)
    folder.check(path)
    return path


def _check_trained(trained: float, exported: float) -> None:
    """Hold the exported weights against those that were trained.

    Raises:
        ContractError: They do not answer alike: the method returned another head or encoder.
    """
    if not abs(exported - trained) <= MOST_LOSS_GAP * max(1.0, trained):
        raise ContractError(
            f"The trained model had a log-loss of {trained:.4f} on validation, the one that"
            f" was saved has {exported:.4f}: the saved weights are not the trained ones."
        )


def files(pipeline: Pipeline) -> dict[str, Path]:
    """Return where the files of a bundle come from that hold what was learnt, by name."""
    export, train = pipeline.input("export"), pipeline.input("train")
    engine = ENGINES.load(engine_name(pipeline.exported()["engine"]))
    names = {*engine.files, ENCODER} - {CONFIG}
    learnt = {name: train / name for name in (HEAD, ADAPTER, ADAPTER_CONFIG)}
    return {
        **{name: export / name for name in sorted(names)},
        **{name: path for name, path in learnt.items() if path.exists()},
        TOKENISER: pipeline.plan.base.folder / resolve.TOKENISER,
    }
