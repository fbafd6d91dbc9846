"""What to label next: chosen from a pool, put up in a campaign, and whether it still pays."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.dataset import SPLITS
from bessemer.core.errors import DataError, ProjectError, RequestError, UnknownNameError, needs
from bessemer.core.labelling import Forecast, NewItem, Round, Suggestion
from bessemer.core.progress import Watcher
from bessemer.core.project import Split
from bessemer.improve import selection, stopping
from bessemer.improve.selection import COLD, STRATEGIES, WITHOUT_MODEL, Pool
from bessemer.service import dataset_rows, inspecting
from bessemer.service.home import Home
from bessemer.service.labels import candidates
from bessemer.service.labels.asked import Asked
from bessemer.service.labels.candidates import Answered
from bessemer.service.pipeline import Pipeline
from bessemer.service.project_file import Loaded, at
from bessemer.service.recipe import plan, planned
from bessemer.service.vectors import vectors
from bessemer.tasks.base import IGNORED, TASKS, Answers, Encoded, Task

if TYPE_CHECKING:
    from bessemer.train.methods.probe import Head

#: Puts up rows of the data set whose label is probably wrong.
SUSPECTS = "suspects"
#: Labels that are suggested for an item.
SUGGESTED = 3
#: Points of the learning curve, and of how many labels one the first learns from.
POINTS, FIRST = 6, 8

Vectors = NDArray[np.float32]
#: Vectors of labelled rows and what a probe learns of them.
Rows = tuple[Vectors, NDArray[Any]]


def label(
    home: Home, loaded: Loaded, items: int | None, strategy: str | None, watcher: Watcher
) -> Round:
    """Choose what is labelled next and put it up; see `Platform.label`."""
    block = loaded.project.label
    name, count = strategy or block.strategy, block.items if items is None else items
    if name not in STRATEGIES and name != SUSPECTS:
        raise UnknownNameError("strategy", name, [*STRATEGIES, SUSPECTS])
    if count < 1:
        raise RequestError(f"{count} items are asked for.", remedy="Ask for 1 or more.")
    if block.pool is None and name != SUSPECTS:
        raise ProjectError(
            f"{at(loaded, ('label',))}there is no pool of texts that may be labelled.",
            remedy="Set label.pool to a table with them.",
        )
    if block.labels is not None and (block.gold or name == SUSPECTS):
        what = "label.gold" if block.gold else f"the strategy {SUSPECTS}"
        raise ProjectError(
            f"{at(loaded, ('label', 'labels'))}with label.labels no rows with answers are read,"
            f" which {what} needs.",
            remedy="Remove label.labels once the data set has labelled rows.",
        )
    pipeline, task = _begin(home, loaded, watcher)
    asked = Asked(home, loaded, task)
    count = asked.room(count)
    if name == SUSPECTS:
        return _suspects(pipeline, loaded, asked, count)
    watcher.began("label")
    began = time.monotonic()
    choice = _Choice(pipeline, loaded, task, asked)
    found = choice.made(name, count, insisted=strategy is not None)
    seconds = round(time.monotonic() - began, 3)
    watcher.ended("label", seconds, reused=False, note=f"{found.items} to {found.campaign}")
    return found


def _begin(home: Home, loaded: Loaded, watcher: Watcher) -> tuple[Pipeline, Task]:
    """Return the project's pipeline with its rows prepared, and its task with all labels.

    With `label.labels` there may be no data set yet: of the plan the base alone is used then.
    """
    project = loaded.project
    names = project.label.labels
    if names is None:
        pipeline = Pipeline(home, planned(home, loaded, watcher), watcher)
        pipeline.prepare()
        return pipeline, pipeline.task
    if len(set(names)) < len(names):
        raise ProjectError(f"{at(loaded, ('label', 'labels'))}a label stands there twice.")
    data = project.data.model_copy(update={"source": project.label.pool, "split": Split()})
    alone = replace(loaded, project=project.model_copy(update={"data": data}))
    pipeline = Pipeline(home, plan(alone, home.root / "downloads", watcher), watcher)
    return pipeline, TASKS.load(project.task)(project.data.labels, names)


def _suspects(pipeline: Pipeline, loaded: Loaded, asked: Asked, count: int) -> Round:
    """Put up rows of the data set whose label is probably wrong, the surest errors first."""
    import pyarrow.parquet as pq

    ranked = pq.read_table(inspecting.stage(pipeline, loaded) / dataset_rows.SUSPECTS)
    rows = ranked.filter(ranked["error"]).select(["split", "row", "text"]).to_pylist()
    sources = candidates.names_of(loaded)
    new = [
        NewItem(
            key=f"{sources.get(row['split'], sources['source'])}#{row['row']}", text=row["text"]
        )
        for row in rows
    ]
    new = [item for item in new if candidates.alike(item.text) not in asked.texts]
    if not new:
        raise DataError("No label that is taken for an error is left to be asked again.")
    labels = sum(pipeline.dataset().counts.values())
    left = max(len(new) - count, 0)
    return asked.put_up(new[:count], SUSPECTS, labels=labels, pool=left, forecast=None)


class _Choice:
    """The pool, what is labelled, and what a probe on both makes of the rest.

    Raises:
        DataError: Nothing is left in the pool.
    """

    def __init__(self, pipeline: Pipeline, loaded: Loaded, task: Task, asked: Asked) -> None:
        self._pipeline, self._task, self._asked = pipeline, task, asked
        self._project = loaded.project
        self._head: Head | None = None
        self._pool = candidates.pool(loaded, pipeline.home.root / "downloads")
        splits = SPLITS if self._project.label.labels is None else ()
        rows = {split: candidates.rows_of(pipeline, split) for split in splits}
        known = candidates.of_texts(*(split.texts for split in rows.values()))
        self._left = self._pool.without(known | asked.texts)
        if not self._left:
            raise DataError(
                f"All {len(self._pool.texts)} texts of {self._project.label.pool} have labels or"
                " are being labelled.",
                remedy="Add texts to it.",
            )
        self._encode(rows)

    def _encode(self, rows: dict[str, Answered]) -> None:
        """Encode the whole pool, which stays the same while it is labelled, and the rows.

        What people said counts for more than the same text's row, but nothing is learnt from what
        a model is judged by.
        """
        nothing = Answered([], [])
        train, validation, test = (rows.get(split, nothing) for split in SPLITS)
        ours = [*train.texts, *validation.texts]
        found = self._asked.found.without(candidates.of_texts(validation.texts, test.texts))
        train = train.without(candidates.of_texts(found.texts))
        elsewhere = sorted({*found.texts} - {*ours, *self._pool.texts})
        place: dict[str, NDArray[np.float32]] = {}
        for texts in (elsewhere, ours, self._pool.texts):
            place |= zip(texts, self._vectors(texts), strict=True)
        self.pool: Vectors = np.stack([place[self._pool.texts[row]] for row in self._left])

        def targets(texts: list[str], answers: list[Answers]) -> Rows:
            rows = np.stack([place[text] for text in texts]) if texts else self.pool[:0]
            return self._targets(rows, Answered(texts, answers))

        self._tests = {text: place[text] for text in validation.texts}
        self.learnt = targets([*train.texts, *found.texts], [*train.answers, *found.answers])
        self.validation: Rows | None = None
        if validation.texts:
            self.validation = targets(validation.texts, validation.answers)

    def _vectors(self, texts: list[str]) -> Vectors:
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        pipeline = self._pipeline
        return vectors(pipeline.home, pipeline.plan, texts, pipeline.watcher.step)

    def _targets(self, rows: Vectors, labelled: Answered) -> Rows:
        """Return vectors and targets of the rows that something is learnt from."""
        if not self._task.pooled or not labelled.texts:
            return rows, np.zeros(len(rows), dtype=np.int64)
        targets = self._task.targets(Encoded(labelled.texts, []), labelled.answers)
        wanted = np.stack(targets)
        known = (wanted != IGNORED) if wanted.ndim == 1 else np.ones(len(rows), dtype=bool)
        return rows[known], wanted[known]

    def made(self, name: str, count: int, *, insisted: bool) -> Round:
        """Put up what a strategy chooses; one that needs a model gives way unless insisted on."""
        project, task, asked = self._project, self._task, self._asked
        chances = self._chances()
        if chances is None and name not in WITHOUT_MODEL:
            if insisted:
                why = "has none" if not task.pooled else f"needs {len(task.labels)} labels first"
                raise RequestError(
                    f"The strategy {name!r} asks a model, and {project.name} {why}.",
                    remedy=f"Take {', '.join(sorted(WITHOUT_MODEL))}.",
                )
            name = COLD
        pool = Pool(self.pool, chances, task.link == "sigmoid", self.learnt[0])
        picked = selection.select(name, pool, count, project.seed).tolist()
        new = [
            NewItem(
                key=self._pool.keys[self._left[row]],
                text=self._pool.texts[self._left[row]],
                image=self._image(self._left[row]),
                suggestions=() if chances is None else _suggestions(task, chances[row]),
            )
            for row in picked
        ]
        left = len(self._left) - len(new)
        forecast = None if chances is None else self._forecast(count)
        if project.label.gold and any(self._pool.images):
            raise ProjectError(
                f"label.gold is {project.label.gold}, but the pool holds images, and the rows whose"
                " answer is known are texts.",
                remedy="Remove it.",
            )
        if project.label.gold:
            tests = asked.with_tests(new, candidates.tests(self._pipeline))
            new = [self._hinted(item) if item.gold is not None else item for item in tests]
        labels = len(self.learnt[1])
        return asked.put_up(new, name, labels=labels, pool=left, forecast=forecast)

    def _hinted(self, test: NewItem) -> NewItem:
        """Return a test with suggestions, as other items have: one without could be told."""
        if self._head is None:
            return test
        chances = self._answer(self._tests[test.text][None])[0]
        return test.model_copy(update={"suggestions": _suggestions(self._task, chances)})

    def _image(self, row: int) -> str | None:
        image = self._pool.images[row]
        return None if image is None else candidates.kept(self._pipeline.home, image)

    def _chances(self) -> NDArray[np.float64] | None:
        """Return what a probe says of the pool, shape [n, labels].

        None of fewer labels than there are to choose from: it would know next to nothing.
        """
        rows, targets = self.learnt
        outputs, several = len(self._task.labels), targets.ndim == 2
        enough = len(targets) >= max(outputs, 2) and (several or len(np.unique(targets)) > 1)
        if not self._task.pooled or not enough:
            return None
        with needs("train"):
            from bessemer.train import folds

            self._head = folds.learn(rows, targets, outputs)
        return self._answer(self.pool)

    def _answer(self, rows: Vectors) -> NDArray[np.float64]:
        from bessemer.train import folds

        assert self._head is not None
        return folds.answer(self._head, rows, several=self.learnt[1].ndim == 2)

    def _forecast(self, more: int) -> Forecast | None:
        from bessemer.train import folds

        count = len(self.learnt[1])
        first = max(count // FIRST, 2)
        sizes = sorted({int(size) for size in np.geomspace(first, count, POINTS).round()})
        right = folds.curve(
            self.learnt,
            self.validation,
            len(self._task.labels),
            sizes,
            self._project.seed,
            self._pipeline.watcher.step,
        )
        return stopping.forecast(
            sizes,
            right,
            "out of fold" if self.validation is None else "validation",
            more=more,
            least=self._project.label.least_gain,
            seed=self._project.seed,
        )


def _suggestions(task: Task, chances: NDArray[np.float64]) -> tuple[Suggestion, ...]:
    best = np.argsort(-chances, kind="stable")[:SUGGESTED]
    return tuple(Suggestion(label=task.labels[n], score=float(chances[n])) for n in best)
