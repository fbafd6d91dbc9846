"""The stage `evaluate`: the exported model on the test split, and all that is told of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bessemer.core import digest
from bessemer.core.dataset import ROW, SPLITS
from bessemer.core.progress import Step, Watcher
from bessemer.core.report import Measurement, Mitigated, Report
from bessemer.evaluate.asking import computed
from bessemer.evaluate.comparison import difference
from bessemer.evaluate.examined import Ask, Examined, clusters
from bessemer.evaluate.report import Subject, fairness_of, report
from bessemer.measures.intervals import Sampling, exact
from bessemer.pretrained import resolve
from bessemer.service import exporting, logits, mitigating
from bessemer.service.costs import costs
from bessemer.service.evaluations import ANSWERS, EXAMPLES, LOGITS, REPORT, read
from bessemer.service.recipe import unmitigated
from bessemer.tasks.base import Encoded, Logits, Task

if TYPE_CHECKING:
    from bessemer.serve.residents import Model
    from bessemer.service.pipeline import Pipeline

#: How the findings of `prepare.leakage` begin that are of test rows.
LEAKED = "text of test "
#: Two people who differ in nothing but their group may be answered differently.
CAUTION = (
    "Thresholds differ by group: to decide by somebody's group is unlawful in many places and for"
    " many purposes, even where it makes outcomes more equal. Have a lawyer look at it first."
)


def evaluate(pipeline: Pipeline, target: Path) -> str:
    """Write logits, report and examples into `target`, and return a note for the watcher."""
    plan, exported = pipeline.plan, pipeline.exported()
    model = exporting.model(pipeline, exported["engine"], pipeline.input("export"))
    encoded, _ = pipeline.examples("test")
    step = pipeline.watcher.step
    pairs = computed(model.seen, encoded.features, step, "evaluate")
    found = [pair[0] for pair in pairs]
    logits.write(target / LOGITS, found)
    ours = examined(pipeline, "test", found)
    right, cells = ([ours.task.write(one) for one in some] for some in (ours.actual, ours.answered))
    # In whatever order they stand, they are the same rows.
    rows = sorted(zip(encoded.texts, right, strict=True))
    kept = {"test": digest.of_json(rows), "answers": cells}
    (target / ANSWERS).write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    subject = Subject(
        examined=ours,
        validation=examined(
            pipeline, "validation", logits.read(pipeline.input("export") / exporting.VALIDATION)
        ),
        vectors=np.stack([pair[1] for pair in pairs]),
        ask=_ask(pipeline, model),
        engine=exported["engine"],
        costs=costs(pipeline, model, encoded),
    )
    result, shown = report(subject, plan.evaluate)
    result = result.model_copy(update={"leaked": _leaked(pipeline, len(found))})
    if plan.project.train.mitigation is not None:
        told = _mitigated(pipeline, subject.examined, result)
        result = result.model_copy(update={"mitigated": told})
    for name, record in ((REPORT, result), (EXAMPLES, shown)):
        text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (target / name).write_text(text + "\n", encoding="utf-8")
    best = result.metrics[result.headline]
    return f"{best.name} {best.value:.4f} [{best.low:.4f}, {best.high:.4f}] on {best.count}"


def _leaked(pipeline: Pipeline, count: int) -> Measurement:
    found = [one for one in pipeline.dataset().findings if one.rule.startswith(LEAKED)]
    return exact("leaked", sum(one.count for one in found) / count, count)


def examined_test(pipeline: Pipeline) -> Examined:
    """Return the test split with what was computed for it."""
    return examined(pipeline, "test", logits.read(pipeline.input("evaluate") / LOGITS))


def examined(pipeline: Pipeline, split: str, found: Sequence[Logits]) -> Examined:
    """Return a split with what the exported model computed for it."""
    project, settings = pipeline.plan.project, pipeline.plan.evaluate
    encoded, actual = pipeline.examples(split)
    cluster = settings.cluster or project.data.split.group
    return Examined(
        task=pipeline.task,
        actual=actual,
        encoded=encoded,
        logits=mitigating.shifted(pipeline, split, found, mitigating.thresholds(pipeline)),
        calibration=pipeline.exported()["calibration"],
        sampling=Sampling(
            settings.confidence,
            settings.resamples,
            project.seed,
            clusters(pipeline.column(split, cluster)) if cluster else None,
        ),
        rows=pipeline.column(split, ROW),
        columns={n: pipeline.column(split, n) for n in (*settings.slices, *settings.protected)},
        elsewhere={
            name: list(chain(*(pipeline.column(other, name) for other in SPLITS if other != split)))
            for name in settings.protected
        },
    )


def _ask(pipeline: Pipeline, model: Model) -> Ask:
    from bessemer.serve.residents import tokenizer

    plan, task = pipeline.plan, pipeline.task
    tokens = tokenizer(plan.base.folder / resolve.TOKENISER)

    def ask(
        texts: Sequence[str], what: str, rows: Sequence[int] | None
    ) -> tuple[Encoded, list[Logits]]:
        encoded = task.encode(tokens, texts, plan.project.train.max_length)
        found = computed(model.run, encoded.features, pipeline.watcher.step, what)
        if rows is not None:
            by_group = mitigating.thresholds(pipeline)
            found = mitigating.shifted(pipeline, "test", found, by_group, rows)
        return encoded, found

    return ask


class _Without(Watcher):
    """Tells of the stages of the model without mitigation as steps of this one."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def step(self, step: Step) -> None:
        self._watcher.step(replace(step, what=f"{step.what} (without)"))


def _mitigated(pipeline: Pipeline, ours: Examined, made: Report) -> Mitigated:
    """Return what the mitigation changed, against the same model trained without it."""
    from bessemer.service.pipeline import Pipeline as Chain

    name = pipeline.plan.project.train.mitigation
    assert name is not None
    other = Chain(pipeline.home, unmitigated(pipeline.plan), _Without(pipeline.watcher))
    before, _ = read(other.evaluate())
    theirs = examined_test(other)
    task: Task = pipeline.task
    price = difference(task, ours.actual, ours.answered, theirs.answered, ours.sampling)
    return Mitigated(
        mitigation=name,
        before=before.metrics[made.headline],
        after=made.metrics[made.headline],
        price=price,
        fairness=tuple(fairness_of(theirs, pipeline.plan.evaluate)),
        caution=CAUTION if name == "group-thresholds" else "",
    )
