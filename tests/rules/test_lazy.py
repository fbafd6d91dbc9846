"""What a quick command must not import, and how quick it is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAVY = {
    "torch", "transformers", "datasets", "onnxruntime", "fastapi", "sqlalchemy", "ray",
    "rich", "numpy", "pyarrow", "uvicorn", "pydantic", "grpc", "google",
}  # fmt: skip


def imported(code: str) -> set[str]:
    """Return which packages a fresh process has loaded after `code`."""
    report = "import sys, json; print(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_nothing_heavy() -> None:
    code = "from bessemer.cli.main import run\nrun(['--help'])"
    assert imported(code) & HEAVY == set()


def test_the_package_imports_nothing_heavy() -> None:
    assert imported("import bessemer") & HEAVY == set()


@pytest.mark.parametrize(
    "kind",
    [
        "tasks",
        "engines",
        "train.methods",
        "prepare.sources",
        "prepare.origins",
        "prepare.forms",
        "compute",
    ],
)
def test_parts_are_listed_without_being_loaded(kind: str) -> None:
    code = f"""
from bessemer.core.catalogue import Catalogue
import bessemer.{kind}.base as base
catalogue = next(v for v in vars(base).values() if isinstance(v, Catalogue))
assert catalogue.names()
"""
    loaded = imported(code)
    assert (
        loaded & {"torch", "transformers", "onnxruntime", "sklearn", "ray", "datasets", "fsspec"}
        == set()
    )


@pytest.mark.timed
def test_a_run_that_reuses_everything_imports_no_torch(finished: Path) -> None:
    code = f"""
import bessemer, time
began = time.monotonic()
done = bessemer.open({str(finished / "home")!r}).run({str(finished / "project")!r})
assert done.state == "succeeded" and set(done.reused) >= {{"train", "release"}}, done
assert time.monotonic() - began < 2
"""
    assert imported(code) & {"torch", "transformers", "sklearn"} == set()


def test_serving_http_imports_no_grpc() -> None:
    assert imported("import bessemer.http.server") & {"grpc"} == set()


def brought(extra: str) -> set[str]:
    """Return the modules that `pip install 'bessemer[extra]'` brings, ours among them."""
    found: set[str] = set()
    left = [("bessemer", extra)]
    while left:
        name, extra = left.pop()
        found.add(canonicalize_name(name))
        for text in metadata.requires(name) or []:
            need = Requirement(text)
            wanted = need.marker is None or need.marker.evaluate({"extra": extra})
            if wanted and canonicalize_name(need.name) not in found:
                left += [(need.name, more) for more in ("", *need.extras)]
    modules = metadata.packages_distributions()
    return {m for m, names in modules.items() if found & set(map(canonicalize_name, names))}


def test_serving_needs_what_its_extra_brings_and_no_torch(home: Path) -> None:
    others = set(metadata.packages_distributions()) - brought("serve")
    assert {"torch", "transformers", "sklearn", "onnx"} <= others
    code = f"""
import sys
sys.modules.update(dict.fromkeys({sorted(others)}))
import bessemer, asyncio
import bessemer.http.server
from bessemer.serve.answers import Wanted
serving = bessemer.open({str(home)!r}).serving()
serving.start()
answer = asyncio.run(serving.plane.predict("small", "k", ["two payments were taken"], Wanted(1)))
assert answer.predictions[0][0]["label"] == "double_charge", answer
serving.stop()
"""
    imported(code)


@pytest.mark.timed
def test_help_is_quick() -> None:
    """Below 200 ms, best of five since the machine is noisy."""
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        command = [sys.executable, "-m", "bessemer.cli.main", "--help"]
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.2


def test_the_core_install_checks_projects_and_connects(project: Path, tmp_path: Path) -> None:
    extras = ["torch", "transformers", "sklearn", "onnxruntime", "tokenizers", "safetensors",
              "fastapi", "uvicorn", "starlette", "prometheus_client", "cryptography", "onnx",
              "tensorboard", "grpc", "psycopg", "huggingface_hub", "scipy"]  # fmt: skip
    code = f"""
import sys
sys.modules.update(dict.fromkeys({extras}))
import bessemer
bessemer.connect("http://127.0.0.1:9", "bsm_x")
here = bessemer.open({str(tmp_path / "home")!r})
assert here.check({str(project)!r}).dataset.labels
try:
    here.train({str(project)!r})
except bessemer.core.errors.MissingExtraError as error:
    assert "pip install 'bessemer[" in str(error), error
else:
    raise AssertionError
"""
    imported(code)
