"""What serving a model costs, before there is a release of it: time, size and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bessemer.core.report import Measurement
from bessemer.evaluate.latency import latency
from bessemer.measures.intervals import exact
from bessemer.release.conditions import needs_memory
from bessemer.service import exporting, memory
from bessemer.service.recipe import engine_name
from bessemer.tasks.base import Encoded

if TYPE_CHECKING:
    from bessemer.serve.residents import Model
    from bessemer.service.pipeline import Pipeline


def costs(pipeline: Pipeline, model: Model, encoded: Encoded) -> dict[str, Measurement]:
    """Return latency and size, and the memory of a process where the gate asks for it."""
    plan = pipeline.plan
    size = sum(path.stat().st_size for path in exporting.files(pipeline).values())
    found = [
        latency(model.run, encoded.features, plan.evaluate.confidence),
        exact("size_mb", size / 1e6),
    ]
    if needs_memory(plan.conditions):
        engine = engine_name(pipeline.exported()["engine"])
        places = (pipeline.input("export"), pipeline.input("train"))
        found.append(
            memory.peak_memory(engine, *places, encoded.features, pooled=pipeline.task.pooled)
        )
    return {cost.name: cost for cost in found}
