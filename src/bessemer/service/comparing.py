"""Two models held against each other, on the test rows that both were measured on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bessemer.core.errors import CorruptError, RequestError
from bessemer.core.records import RunComparison, SettingChange
from bessemer.core.report import Comparison
from bessemer.evaluate.comparison import compare as paired
from bessemer.measures.intervals import Sampling
from bessemer.service.home import Home
from bessemer.service.measured import Measured, clusters, run_of
from bessemer.service.recipe import column_of
from bessemer.service.runs import Runs

#: Rows that two models need in common.
LEAST = 30


def compare(home: Home, first: str, second: str) -> Comparison:
    """Compare two models, paired.

    Args:
        home: Where they are recorded.
        first: A run, a release or a project; see `service.measured.run_of`.
        second: Another.

    Raises:
        UnknownNameError: There is no such run or release.
        RequestError: They cannot be compared; the message says why.
    """
    ours, theirs = (Measured(home, run_of(home, name)) for name in (first, second))
    if ours.project.task != theirs.project.task:
        raise RequestError(
            f"{first} does {ours.project.task}, {second} {theirs.project.task}.",
            remedy="Compare two models of one task.",
        )
    mine, other = ours.rows(), theirs.rows()
    texts, others = mine["text"].to_pylist(), other["text"].to_pylist()
    right, theirs_right = mine["label"].to_pylist(), other["label"].to_pylist()
    places = {text: place for place, text in enumerate(others)}
    # Where people have changed their mind about a text, each model was measured by another truth.
    common = [
        row
        for row, text in enumerate(texts)
        if text in places and right[row] == theirs_right[places[text]]
    ]
    if len(common) < LEAST:
        raise RequestError(
            f"{first} and {second} were measured on {len(common)} test rows in common; {LEAST}"
            " or more are needed, with the same label.",
            remedy="Give both projects the same test split, as a file of its own.",
        )
    task, their_task = ours.task, theirs.task
    actual = [task.parse(texts[row], right[row] or "") for row in common]
    answered, said = ours.answers(texts), theirs.answers(others)
    nothing, none = their_task.nothing, task.nothing
    instead = [
        frozenset(none if one == nothing else one for one in said[places[texts[row]]])
        for row in common
    ]
    project = ours.project
    cluster = project.evaluate.cluster or project.data.split.group
    numbers = None
    if cluster:
        values = mine[column_of(project, cluster)].to_pylist()
        numbers = clusters([values[row] for row in common])
    settings = project.evaluate
    sampling = Sampling(settings.confidence, settings.resamples, project.seed, numbers)
    found = paired(task, actual, [answered[row] for row in common], instead, sampling)
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
        left_out=len(texts) - len(common),
    )


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
    else:
        yield key, value
