"""Label Studio's JSON: tasks with annotations and predictions.

The format is https://labelstud.io/guide/task_format, what it says of choices and labels. Places in
a text are counted there as browsers do, in UTF-16 code units, so that most emojis are two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import IO, Any

from bessemer.core import digest
from bessemer.core.labelling import Labelled, Suggestion, Vote
from bessemer.prepare.forms.base import Form, Reading
from bessemer.prepare.sources.label_studio import CHOICES, LABELS, choices, spans, values, who
from bessemer.tasks.base import Answers, Span, Task

#: Where an annotation says what Label Studio has no field for.
OWN = "bessemer"
_WRONG = (KeyError, TypeError, ValueError, AttributeError, RecursionError)


class LabelStudio(Form):
    """A list of tasks; `completed_by` has an annotator's name as the e-mail address.

    What a model suggests is a prediction each; what settles an item is a ground truth.
    """

    suffix = ".json"

    def write(self, items: Iterable[Labelled], task: Task, file: IO[str], *, joined: bool) -> None:
        """Write the list; see `Form.write`."""
        between = "[\n"
        for number, item in enumerate(items, start=1):
            file.write(between + json.dumps(_task(number, item, task), ensure_ascii=False))
            between = ",\n"
        file.write("[]\n" if between == "[\n" else "\n]\n")

    def read(self, file: Reading, task: Task) -> Iterator[Labelled]:
        """Read the list; see `Form.read`."""
        for number, one in enumerate(values(file.path, file.lines), start=1):
            try:
                yield _item(number, one, task, file.at)
            except _WRONG as error:
                what = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else error
                raise file.error(
                    1,
                    f"the task {number} is not understood ({what})",
                    "Export it as JSON, not as JSON-MIN.",
                ) from error


def _task(number: int, item: Labelled, task: Task) -> dict[str, Any]:
    data = {"key": item.key, "text": item.text, "image": item.image, "gold": item.gold}
    return {
        "id": number,
        "data": {name: value for name, value in data.items() if value is not None},
        "annotations": [_annotation(item.text, vote, task) for vote in item.votes],
        "predictions": [
            {"model_version": OWN, "score": hint.score, "result": [_hint(item.text, hint)]}
            for hint in item.suggestions
        ],
    }


def _annotation(text: str, vote: Vote, task: Task) -> dict[str, Any]:
    result = [] if vote.label is None else _result(text, task.parse(text, vote.label))
    found = {
        "result": result,
        "was_cancelled": vote.label is None,
        "ground_truth": vote.final,
        "lead_time": vote.seconds,
        "created_at": vote.at.isoformat(),
        OWN: {
            "skipped": vote.skipped,
            "suggested": vote.suggested,
            "guideline": vote.guideline,
        },
    }
    return {**found, "completed_by": {"email": vote.annotator}} if vote.annotator else found


def _result(text: str, answers: Answers) -> list[dict[str, Any]]:
    spans = sorted(answer for answer in answers if isinstance(answer, Span))
    choices = sorted(answer for answer in answers if isinstance(answer, str))
    found = [_region(LABELS, _place(text, *span)) for span in spans]
    return [*found, _region(CHOICES, {CHOICES: choices})] if choices else found


def _hint(text: str, hint: Suggestion) -> dict[str, Any]:
    if hint.start is None or hint.end is None:
        return _region(CHOICES, {CHOICES: [hint.label]})
    return _region(LABELS, _place(text, hint.start, hint.end, hint.label))


def _region(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    name = digest.of_json(value)[:10]
    return {"id": name, "from_name": "label", "to_name": "text", "type": kind, "value": value}


def _place(text: str, start: int, end: int, label: str) -> dict[str, Any]:
    units = [len(text[:place].encode("utf-16-le")) // 2 for place in (start, end)]
    return {"start": units[0], "end": units[1], "text": text[start:end], LABELS: [label]}


def _item(number: int, one: dict[str, Any], task: Task, at: datetime) -> Labelled:
    data = one["data"]
    texts = [value for name, value in data.items() if isinstance(value, str) and name != "key"]
    text = data["text"] if "text" in data or len(texts) != 1 else texts[0]
    key = data.get("key", one.get("id", number))
    votes = [_vote(text, given, task, at) for given in one.get("annotations", ())]
    return Labelled(
        key=str(key),
        text=text,
        image=data["image"] if len(str(data.get("image", ""))) == 64 else None,
        gold=data.get("gold"),
        suggestions=tuple(
            Suggestion(**hint, score=given.get("score") or 0.0)
            for given in one.get("predictions", ())
            for hint in _hints(text, given["result"])
        ),
        votes=tuple(votes),
    )


def _hints(text: str, results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for answer in _answers(text, results):
        yield answer._asdict() if isinstance(answer, Span) else {"label": answer}


def _vote(text: str, given: dict[str, Any], task: Task, at: datetime) -> Vote:
    own = given.get(OWN) or {}
    answers = _answers(text, given["result"])
    nothing = given.get("was_cancelled") or (not answers and task.answers_once)
    if task.answers_once and len(answers) > 1:
        raise ValueError(f"{len(answers)} choices where one is asked for")
    return Vote(
        annotator=who(given.get("completed_by")),
        label=None if nothing else task.write(answers),
        skipped=(own.get("skipped") or "skipped in Label Studio") if nothing else "",
        final=bool(given.get("ground_truth")),
        seconds=given.get("lead_time") or 0.0,
        suggested=own.get("suggested", bool(given.get("prediction"))),
        guideline=own.get("guideline", 0),
        at=given.get("created_at") or at,
    )


def _answers(text: str, results: list[dict[str, Any]]) -> Answers:
    kinds = {kind: [r for r in results if r.get("type") == kind] for kind in (CHOICES, LABELS)}
    asked = {one["from_name"] for one in chain(*kinds.values())}
    if len(asked) > 1:
        raise ValueError(f"it answers several questions: {', '.join(sorted(asked))}")
    return frozenset([*choices(kinds[CHOICES]), *spans(kinds[LABELS], text)])
