"""Words, tags and spans: nothing is shifted by quotes, emoji or scripts without spaces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from tests.families import spans

from bessemer.core.errors import DataError
from bessemer.core.project import Data, Labels
from bessemer.measures.intervals import Sampling
from bessemer.prepare.sources.conll import Conll
from bessemer.pretrained.resolve import resolve
from bessemer.serve.residents import tokenizer
from bessemer.tasks.base import IGNORED, Encoded, Span
from bessemer.tasks.token_classification import TokenClassification, _words, best_tags

LABELS = ("person", "town")


@pytest.fixture(scope="module")
def task() -> TokenClassification:
    return TokenClassification(Labels(), LABELS)


def encoded(task: TokenClassification, texts: list[str], length: int = 64) -> Encoded:
    base = resolve("minilm-l6", relative_to=Path())
    return task.encode(tokenizer(base.folder / "tokenizer.json"), texts, length)


def test_tags_and_back_gives_the_same_characters(task: TokenClassification) -> None:
    texts, cells = zip(*spans(), strict=True)
    answers = [task.parse(text, cell) for text, cell in zip(texts, cells, strict=True)]
    found = encoded(task, list(texts))
    targets = task.targets(found, answers)
    logits = [np.eye(5, dtype=np.float32)[np.maximum(t, 0)] * 9 for t in targets]
    assert task.answers(found, logits, {"temperature": 1.0}) == answers
    words = {
        one["word"] for row in task.decode(found, logits, {"temperature": 1.0}, None) for one in row
    }
    assert {"“Little” Rome", "北京", "Köln 🏰", "O'Neil"} <= words


def test_each_word_is_tagged_once(task: TokenClassification) -> None:
    found = encoded(task, ["antidisestablishmentarianism 北京, O'Neil 🎉"])
    places = found.places[0]
    told = [found.texts[0][a:b] for a, b in places.tolist() if a >= 0]
    assert told == ["antidisestablishmentarianism", "北", "京", ",", "O", "'", "Neil", "🎉"]
    assert len(found.features[0]) > len(told) + 2  # the long word has several tokens
    [target] = task.targets(found, [frozenset([Span(29, 31, "town")])])
    assert sorted(target.tolist()).count(IGNORED) == len(target) - len(told)
    assert [int(t) for t in target if t not in (IGNORED, 0)] == [3, 4]


def test_what_lies_behind_the_cut_is_not_learnt(task: TokenClassification) -> None:
    found = encoded(task, ["x " * 50 + "Paris"], 16)
    assert len(found.features[0]) == 16
    [target] = task.targets(found, [frozenset([Span(100, 105, "town")])])
    assert set(target.tolist()) == {0, IGNORED}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("Paris", "no list of spans"),
        ("[1]", "no list of spans"),
        ('[{"start": 0, "end": 3, "label": ""}]', "no list of spans"),
        ('[{"start": "0", "end": 3, "label": "a"}]', "no list of spans"),
        ('[{"start": 0, "end": 99, "label": "a"}]', "does not lie in the text"),
        ('[{"start": 3, "end": 3, "label": "a"}]', "does not lie in the text"),
        ('[{"start": 1, "end": 3, "label": "a"}]', "'da', which begins or ends inside a word"),
        ('[{"start": 0, "end": 4, "label": "a"}]', "'Ada ', which begins or ends inside"),
        (
            '[{"start": 0, "end": 8, "label": "a"}, {"start": 4, "end": 8, "label": "b"}]',
            "overlaps the one before",
        ),
    ],
)
def test_spans_that_do_not_fit_are_explained(
    task: TokenClassification, cell: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        task.parse("Ada left", cell)


TAGS = ("O", "B-person", "I-person", "B-town", "I-town")
SENTENCE = st.lists(st.tuples(*[st.sampled_from(TAGS)] * 2), min_size=1, max_size=12)


def _allowed(tags: list[str]) -> list[str]:
    """Return tags in which an I that goes on with nothing begins something."""
    return [
        f"B-{tag[2:]}" if tag[0] == "I" and (n == 0 or tags[n - 1][2:] != tag[2:]) else tag
        for n, tag in enumerate(tags)
    ]


@settings(deadline=None)
@given(st.lists(SENTENCE, min_size=1, max_size=8))
def test_the_figures_are_seqevals(task: TokenClassification, rows: list) -> None:
    """Of words of one letter, tagged at random, both what is right and what is answered."""
    actual, answered = ([_allowed([pair[n] for pair in row]) for row in rows] for n in (0, 1))
    texts = [" ".join("x" * len(row)) for row in rows]
    places = [np.array([[2 * n, 2 * n + 1] for n in range(len(row))]) for row in rows]
    found = Encoded(texts, [np.arange(len(row)) for row in rows], places)
    sides = []
    for side in (actual, answered):
        logits = [np.eye(5, dtype=np.float32)[[TAGS.index(t) for t in tags]] * 9 for tags in side]
        sides.append((logits, task.answers(found, logits, {"temperature": 1.0})))
    right, logits = sides[0][1], sides[1][0]
    metrics, _, _ = task.judge(right, found, logits, {"temperature": 1.0}, Sampling(0.9, 2, 0))
    if any(right) and any(sides[1][1]):
        for name, theirs in (
            ("f1", f1_score), ("precision", precision_score), ("recall", recall_score),
        ):  # fmt: skip
            wanted = theirs(actual, answered, zero_division=0)
            assert metrics[name].value == pytest.approx(wanted), name


@given(st.integers(1, 9), st.integers(0, 10_000))
def test_decoded_tags_are_the_best_allowed_ones(words: int, seed: int) -> None:
    """Held against every sequence of tags there is."""
    import itertools

    scores = np.random.default_rng(seed).normal(size=(min(words, 5), 5))
    ok = {(a, b) for a in range(5) for b in range(5) if b not in (2, 4) or a in (b - 1, b)}

    def allowed(tags: tuple[int, ...]) -> bool:
        return tags[0] not in (2, 4) and all(pair in ok for pair in itertools.pairwise(tags))

    every = itertools.product(range(5), repeat=len(scores))
    best = max(
        (tags for tags in every if allowed(tags)),
        key=lambda tags: sum(scores[n, tag] for n, tag in enumerate(tags)),
    )
    assert tuple(best_tags(scores)) == best
    assert best_tags(scores[:0]) == []


def test_a_judgement_is_measured_on_whole_spans(task: TokenClassification) -> None:
    text = "Ada saw Paris and Rome"
    found = encoded(task, [text])
    right = [frozenset([Span(0, 3, "person"), Span(8, 13, "town"), Span(18, 22, "town")])]
    given_ = frozenset([Span(0, 3, "town"), Span(8, 13, "town"), Span(14, 22, "town")])
    logits = [
        np.eye(5, dtype=np.float32)[np.maximum(t, 0)] * 9 for t in task.targets(found, [given_])
    ]
    metrics, classes, confusions = task.judge(
        right, found, logits, {"temperature": 1.0}, Sampling(0.95, 100, 0)
    )
    assert metrics["f1"].value == pytest.approx(1 / 3)
    assert {c.label: c.recall.value for c in classes} == {"person": 0.0, "town": 0.5}
    assert {(c.actual, c.predicted) for c in confusions} == {
        ("person", "town"),
        ("town", "(other bounds)"),
    }


def test_conll_is_read_as_text_and_spans(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text(
        '-DOCSTART- -X- O O\n\nAda\tB-person\nLovelace\tI-person\nsaid\tO\n"\tO\nhi\tO\n\n'
        "北\tB-town\n京\tI-town\n很\tO\n大\tO\n!\tO\n\n"
        "a S-x\nb B-x\nc E-x\nd I-y\n",
        encoding="utf-8",
    )
    table = pa.Table.from_batches(Conll().read(path, Data(source="x.conll")))
    texts = table["text"].to_pylist()
    assert texts == ['Ada Lovelace said " hi', "北京很大 !", "a b c d"]
    told = [
        [(text[s["start"] : s["end"]], s["label"]) for s in json.loads(cell)]
        for text, cell in zip(texts, table["label"].to_pylist(), strict=True)
    ]
    assert told == [
        [("Ada Lovelace", "person")],
        [("北京", "town")],
        [("a", "x"), ("b c", "x"), ("d", "y")],
    ]


@pytest.mark.parametrize("line", ["Paris", "Paris Q-town", "Paris B-"])
def test_a_line_that_is_no_token_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.conll"
    path.write_text(f"a O\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2"):
        pa.Table.from_batches(Conll().read(path, Data(source="x.conll")))


def test_precision_is_of_what_was_answered_and_recall_of_what_is_right(
    task: TokenClassification,
) -> None:
    found = encoded(task, ["Ada saw Paris and Rome"])
    given_ = frozenset([Span(0, 3, "person"), Span(8, 13, "town")])
    [target] = task.targets(found, [given_])
    logits = [np.eye(5, dtype=np.float32)[np.maximum(target, 0)] * 9]
    right = [frozenset([Span(8, 13, "town"), Span(18, 22, "town"), Span(4, 7, "town")])]
    metrics, _, _ = task.judge(right, found, logits, {"temperature": 1.0}, Sampling(0.9, 50, 0))
    assert metrics["precision"].value == pytest.approx(1 / 2)
    assert metrics["recall"].value == pytest.approx(1 / 3)
    assert metrics["calibration_error"].count == 1


def test_the_handicap_is_chosen_where_recall_lacks(task: TokenClassification) -> None:
    """O is 0.7 nats likelier than the town that is right: only a handicap finds it."""
    texts = ["go to Paris", "go to Ulm"]
    found = encoded(task, texts)
    right = [frozenset([Span(6, 11, "town")]), frozenset([Span(6, 9, "town")])]
    logits = []
    for target in task.targets(found, right):
        rows = np.zeros((len(target), 5), dtype=np.float32)
        rows[:, 0] = 5
        rows[target > 0, target[target > 0]] = 4.3
        logits.append(rows)
    calibration = task.calibrate(found, logits, right, None)
    assert calibration["doubt"] > 0
    assert task.answers(found, logits, calibration) == right


def test_targets_do_not_depend_on_the_order_of_a_set(task: TokenClassification) -> None:
    """A token that holds words of two spans goes to the first of them."""
    text = "中美"
    found = Encoded([text], [np.array([1])], [np.array([[0, 2]])])
    spans_ = [Span(0, 1, "person"), Span(1, 2, "town")]
    targets = {int(task.targets(found, [frozenset(o)])[0][0]) for o in (spans_, spans_[::-1])}
    assert targets == {1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cafe\u0301 Zoe\u0308!", ["cafe\u0301", "Zoe\u0308", "!"]),
        ("\u2764\ufe0f ok", ["\u2764\ufe0f", "ok"]),
        ("दिल्ली जा", ["दिल्ली", "जा"]),
        ("a中b", ["a", "中", "b"]),
    ],
)
def test_marks_belong_to_what_they_mark(text: str, words: list[str]) -> None:
    assert [text[a:b] for a, b in _words(text)] == words


def test_a_conll_token_may_hold_a_no_break_space(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("10\u00a0000 B-money\n𠮷 B-town\n野 I-town\n", encoding="utf-8")
    table = pa.Table.from_batches(Conll().read(path, Data(source="x.conll")))
    assert table["text"].to_pylist() == ["10\u00a0000 𠮷野"]
