"""What an evaluation left behind, found again by run, release or project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bessemer.core import folder
from bessemer.core.dataset import Dataset
from bessemer.core.errors import CorruptError, RequestError, UnknownNameError
from bessemer.core.project import Project
from bessemer.core.records import Run
from bessemer.core.report import Examples, Report
from bessemer.service.home import Home
from bessemer.service.pipeline import DATASET
from bessemer.service.releases import Releases
from bessemer.service.runs import Runs
from bessemer.tasks.base import TASKS, Answers, Task

REPORT, EXAMPLES, LOGITS = "report.json", "examples.json", "logits.npz"
#: What is answered to each test text, as in the label column, and the digest of texts and labels.
ANSWERS = "answers.json"


def read(path: Path) -> tuple[Report, Examples]:
    """Return what `evaluate` wrote into the stage's folder."""
    made = Report.model_validate_json((path / REPORT).read_text(encoding="utf-8"))
    return made, Examples.model_validate_json((path / EXAMPLES).read_text(encoding="utf-8"))


def run_of(home: Home, name: str) -> Run:
    """Return the run that a name stands for.

    Args:
        home: Where it is recorded.
        name: A run's id, a release's as `support-intents@3`, or a project's for its newest run
            that has a report.

    Raises:
        UnknownNameError: It stands for none.
        RequestError: The run has no report, or was made before reports could be read again.
    """
    runs = Runs(home).list()
    releases = {release.id: release.run for release in Releases(home).list()}
    wanted = releases.get(name, name)
    for run in runs:
        if run.id == wanted or (run.project == wanted and run.report is not None):
            break
    else:
        known = [*releases, *dict.fromkeys(run.project for run in runs), *(r.id for r in runs)]
        raise UnknownNameError("run or release", name, known)
    if run.report is None:
        raise RequestError(f"The run {run.id} has no report: it ended before.")
    if "evaluate" not in run.stages:
        raise RequestError(
            f"The run {run.id} was made by an older Bessemer, which kept no more of it.",
            remedy="Run the project again.",
        )
    return run


@dataclass(frozen=True)
class Evaluation:
    """A run's model on its test rows."""

    home: Home
    run: Run

    @property
    def project(self) -> Project:
        """Return the project as it was then.

        Raises:
            RequestError: It was read by an older Bessemer, by other rules.
        """
        try:
            return Project.model_validate(self.run.resolved)
        except ValidationError as error:
            raise RequestError(
                f"The project of the run {self.run.id} is of an older Bessemer: {error}.",
                remedy="Run the project again.",
            ) from error

    @property
    def dataset(self) -> Dataset:
        """Return the record of its data set."""
        text = (self.stage("prepare") / DATASET).read_text(encoding="utf-8")
        return Dataset.model_validate_json(text)

    @property
    def task(self) -> Task:
        """Return its task, which knows its labels."""
        return TASKS.load(self.project.task)(self.project.data.labels, self.dataset.labels)

    def stage(self, name: str) -> Path:
        """Return a stage's output after comparing it with its manifest.

        Raises:
            CorruptError: It is gone, or was changed.
        """
        path = self.home.stages.path(name, self.run.stages[name])
        if not self.home.stages.has(name, self.run.stages[name]):
            raise CorruptError(
                f"What the stage {name} of {self.run.id} made is gone from the home folder.",
                remedy="Run the project again.",
            )
        folder.check(path)
        return path

    def rows(self) -> pa.Table:
        """Return the test rows."""
        return pq.read_table(self.stage("prepare") / "test.parquet")

    def answers(self, texts: list[str]) -> list[Answers]:
        """Return what was answered to each test text."""
        told = json.loads((self.stage("evaluate") / ANSWERS).read_text(encoding="utf-8"))
        cells: list[str] = told["answers"]
        task = self.task
        return [task.parse(text, cell) for text, cell in zip(texts, cells, strict=True)]
