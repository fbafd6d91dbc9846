"""Two models held against each other, on the test rows that both were measured on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from bessemer.core.errors import CorruptError, RequestError
from bessemer.core.project import Project
from bessemer.core.records import RunComparison, SettingChange
from bessemer.core.report import Comparison
from bessemer.evaluate.comparison import compare as paired
from bessemer.evaluate.examined import clusters
from bessemer.measures.intervals import Sampling
from bessemer.prepare.checks import answers_of
from bessemer.service.evaluations import Evaluation, run_of
from bessemer.service.home import Home
from bessemer.service.recipe import column_of
from bessemer.service.runs import Runs
from bessemer.tasks.base import said_by

#: Rows that two models need in common.
LEAST = 30


def compare(home: Home, first: str, second: str) -> Comparison:
    """Compare two models, paired.

    Args:
        home: Where they are recorded.
        first: A run, a release or a project; see `service.evaluations.run_of`.
        second: Another.

    Raises:
        UnknownNameError: There is no such run or release.
        RequestError: They cannot be compared; the message says why.
    """
    ours, theirs = (Evaluation(home, run_of(home, name)) for name in (first, second))
    if ours.project.task != theirs.project.task:
        raise RequestError(
            f"{first} does {ours.project.task}, {second} {theirs.project.task}.",
            remedy="Compare two models of one task.",
        )
    mine, other = ours.rows(), theirs.rows()
    pairs = _common(mine, other)
    if len(pairs) < LEAST:
        raise RequestError(
            f"{first} and {second} were measured on {len(pairs)} test rows in common; {LEAST}"
            " or more are needed, with the same label.",
            remedy="Give both projects the same test split, as a file of its own.",
        )
    task = ours.task
    rows = [row for row, _ in pairs]
    answered = ours.answers(mine["text"].to_pylist())
    said = theirs.answers(other["text"].to_pylist())
    found = paired(
        task,
        answers_of(mine.take(rows), task),
        [answered[row] for row in rows],
        said_by(theirs.task, task, [said[place] for _, place in pairs]),
        _sampling(ours.project, mine.take(rows)),
    )
    return Comparison(
        first=first,
        second=second,
        headline=task.metric_names[0],
        ours=found.ours,
        theirs=found.theirs,
        difference=found.difference,
        only_first=found.uneven.only_ours,
        only_second=found.uneven.only_theirs,
        p=found.uneven.p,
        left_out=len(mine) - len(pairs),
    )


def _common(mine: pa.Table, other: pa.Table) -> list[tuple[int, int]]:
    """Return the places of each row that both tables hold.

    Where people have changed their mind about a text, each model was measured by another truth.
    """
    texts, labels = (other[name].to_pylist() for name in ("text", "label"))
    places = {pair: place for place, pair in enumerate(zip(texts, labels, strict=True))}
    pairs = zip(mine["text"].to_pylist(), mine["label"].to_pylist(), strict=True)
    return [(row, places[pair]) for row, pair in enumerate(pairs) if pair in places]


def _sampling(project: Project, rows: pa.Table) -> Sampling:
    settings, column = project.evaluate, project.evaluate.cluster or project.data.split.group
    numbers = clusters(rows[column_of(project, column)].to_pylist()) if column else None
    return Sampling(settings.confidence, settings.resamples, project.seed, numbers)


def side_by_side(home: Home, first: str, second: str) -> RunComparison:
    """Return two runs with the settings in which they differ, and their models compared.

    Raises:
        UnknownNameError: There is no such run.
    """
    ours, theirs = (Runs(home).show(name) for name in (first, second))
    one, other = (dict(_flat(run.resolved)) for run in (ours, theirs))
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    changed = tuple(
        SettingChange(key=key, first=one.get(key), second=other.get(key)) for key in sorted(keys)
    )
    try:
        comparison, because = compare(home, first, second), ""
    except (RequestError, CorruptError) as error:
        comparison, because = None, str(error)
    return RunComparison(
        first=ours, second=theirs, changed=changed, comparison=comparison, because=because
    )


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting under its dotted key."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value, start=1):
            yield from _flat(inner, f"{key}.{number}")
    else:
        yield key, value
