"""What serving a model costs, before there is a release of it: time, size and memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bessemer.bundle.format import ADAPTER, ADAPTER_CONFIG, CONFIG, ENCODER, HEAD, TOKENISER
from bessemer.core.report import Measurement
from bessemer.engines.base import ENGINES
from bessemer.evaluate.costs import latency
from bessemer.measures.intervals import exact
from bessemer.pretrained import resolve
from bessemer.release.conditions import needs_memory
from bessemer.service import memory
from bessemer.service.recipe import engine_name
from bessemer.tasks.base import Encoded

if TYPE_CHECKING:
    from bessemer.serve.residents import Model
    from bessemer.service.pipeline import Pipeline


def costs(pipeline: Pipeline, model: Model, encoded: Encoded) -> dict[str, Measurement]:
    """Return latency and size, and the memory of a process where the gate asks for it."""
    plan = pipeline.plan
    size = sum(path.stat().st_size for path in bundled(pipeline).values())
    found = [
        latency(model.run, encoded.features, plan.evaluate.confidence),
        exact("size_mb", size / 1e6),
    ]
    if needs_memory(plan.conditions):
        engine = engine_name(pipeline.exported()["engine"])
        places = (pipeline.input("export"), pipeline.input("train"))
        found.append(
            memory.measured(engine, *places, encoded.features, pooled=pipeline.task.pooled)
        )
    return {cost.name: cost for cost in found}


def bundled(pipeline: Pipeline) -> dict[str, Path]:
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
