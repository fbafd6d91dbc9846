"""Behavioural tests of the project: what must become of an answer (CheckList, Ribeiro et al. 2020).

`keep` is their invariance test, `be` their minimum functionality test, and `change` a directional
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from bessemer.core.errors import ProjectError, nearest
from bessemer.core.evaluation import BehaviouralTest
from bessemer.core.report import Behaviour, Example
from bessemer.core.terms import Finder, Place, replaced
from bessemer.evaluate.examined import SHOWN, Ask, Examined
from bessemer.evaluate.robustness import alike
from bessemer.measures.intervals import exact
from bessemer.tasks.base import Answers, Task, label_of

#: Texts of the split that one term is replaced in, the first ones.
MOST_TEXTS = 200


@dataclass(frozen=True)
class _Case:
    """A text, or two, of which something must hold."""

    text: str
    #: The text beside it, with `keep` and `change`.
    beside: str | None = None
    #: Which text of the split it is, if it is one.
    row: int | None = None


@dataclass(frozen=True)
class _Told:
    """What the model answers to a text, and how sure it is."""

    answers: Answers
    score: float


def check(tests: Sequence[BehaviouralTest], task: Task, labels: Sequence[str]) -> None:
    """Hold the labels that tests want against those that are learnt.

    Args:
        tests: Of the project.
        task: Which says what a label cell means.
        labels: Of the data set.

    Raises:
        ProjectError: A label cannot be read, or is none of them.
    """
    known = {*labels, task.nothing if task.answers_once else None}
    for test in tests:
        for text in test.texts:
            at = f"evaluate.behaviour, {test.name!r}: "
            try:
                wanted = _wanted(test, text, task)
            except ValueError as error:
                raise ProjectError(
                    f"{at}of the text {text[:60]!r} the label says nothing: {error}.",
                    remedy="Write it as in the label column.",
                ) from error
            for name in sorted({label_of(one) for one in wanted} - known):
                close = nearest(name, labels)
                raise ProjectError(
                    f"{at}there is no label {name!r}.",
                    remedy=(f"Did you mean {close!r}? " if close else "")
                    + f"The data set has {', '.join(labels[:20])}{', …' if labels[20:] else '.'}",
                )


def behave(
    tests: Sequence[BehaviouralTest], examined: Examined, ask: Ask
) -> tuple[list[Behaviour], dict[str, list[Example]]]:
    """Return what became of each test, and cases that failed.

    A test that replaces a term has no case when no text of the split holds the term; 0 of 0 passed.

    Args:
        tests: Of the project, held against its labels by `check`.
        examined: The split, in whose texts terms are replaced.
        ask: Asks the model, once about all texts of all tests.
    """
    task = examined.task
    cases = [list(_cases(test, examined.encoded.texts)) for test in tests]
    told = _tell([case for some in cases for case in some], examined, ask)
    results: list[Behaviour] = []
    failures: dict[str, list[Example]] = {}
    for test, some in zip(tests, cases, strict=True):
        failed = [case for case in some if not _passes(test, case, told, task)]
        passed = exact("passed", (len(some) - len(failed)) / max(len(some), 1), len(some))
        results.append(Behaviour(name=test.name, must=test.must, passed=passed))
        if failed:
            shown = [_example(test, case, told, examined) for case in failed[:SHOWN]]
            failures[test.name] = shown
    return results, failures


def _wanted(test: BehaviouralTest, text: str, task: Task) -> Answers:
    assert test.label is not None
    return task.parse(text, test.label)


def _cases(test: BehaviouralTest, texts: Sequence[str]) -> Iterator[_Case]:
    yield from (_Case(text) for text in test.texts)
    yield from (_Case(text, beside) for text, beside in test.pairs)
    for term, others in test.replace.items():
        finder = Finder([term])
        holding = [row for row, text in enumerate(texts) if any(finder.places(text))]
        for row, other in product(holding[:MOST_TEXTS], others):
            changed = replaced(texts[row], finder, partial(_put, other))
            if changed != texts[row]:
                yield _Case(texts[row], changed, row)


def _put(other: str, place: Place) -> str:
    return other


def _tell(cases: Sequence[_Case], examined: Examined, ask: Ask) -> dict[str, _Told]:
    """Return what is answered to each text, by whomever it is asked: both of a pair alike."""
    told: dict[str, _Told] = {}
    both = (text for case in cases for text in (case.text, case.beside) if text is not None)
    texts = list(dict.fromkeys(both))
    if texts:
        task = examined.task
        encoded, logits = ask(texts, "behavioural tests", None)
        answers = task.answers(encoded, logits, examined.calibration)
        rows = task.decode(encoded, logits, examined.calibration, None)
        for text, one, row in zip(texts, answers, rows, strict=True):
            told[text] = _Told(one, task.brief(row)[1])
    return told


def _passes(test: BehaviouralTest, case: _Case, told: dict[str, _Told], task: Task) -> bool:
    answers = told[case.text].answers
    if case.beside is None:
        return answers == _wanted(test, case.text, task)
    same = alike(task, (case.text, answers), (case.beside, told[case.beside].answers))
    return same == (test.must == "keep")


def _example(
    test: BehaviouralTest, case: _Case, told: dict[str, _Told], examined: Examined
) -> Example:
    task, first = examined.task, told[case.text]
    then = None if case.beside is None else task.write(told[case.beside].answers)
    return Example(
        row=None if case.row is None else examined.rows[case.row],
        text=case.text,
        changed=case.beside,
        actual=test.label or "",
        answered=task.write(first.answers),
        then=then,
        score=first.score,
    )
