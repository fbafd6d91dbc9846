"""A model asked again: about changed texts, behavioural tests and swapped terms."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import pytest

from bessemer.core.errors import ProjectError, UnknownNameError
from bessemer.core.evaluation import BehaviouralTest
from bessemer.core.project import Labels
from bessemer.core.terms import shipped
from bessemer.evaluate import robustness
from bessemer.evaluate.behaviour import MOST_TEXTS, behave, check
from bessemer.evaluate.examined import SHOWN, Examined
from bessemer.evaluate.perturbations import PERTURBATIONS
from bessemer.evaluate.robustness import chosen, names, perturbed
from bessemer.evaluate.swaps import counterfactual
from bessemer.measures.intervals import Sampling
from bessemer.tasks.base import Encoded, Logits, Task
from bessemer.tasks.text_classification import TextClassification
from bessemer.tasks.token_classification import TokenClassification

LABELS = ("card", "cash", "other")
#: How the hand-made model answers: by the first of these that stands in the text.
WORDS = {"card": 0, "卡": 0, "cash": 1, "钱": 1}
TOWNS = {"paris", "ulm", "rome"}
SAMPLING = Sampling(0.95, 200, 0)


class Model:
    """Answers by words, and remembers what it was asked."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.asked: list[list[str]] = []

    def __call__(
        self, texts: Sequence[str], what: str, rows: Sequence[int] | None
    ) -> tuple[Encoded, list[Logits]]:
        assert what
        assert rows is None or len(rows) == len(texts)
        self.asked.append(list(texts))
        return self.told(texts)

    def told(self, texts: Sequence[str]) -> tuple[Encoded, list[Logits]]:
        features = [np.zeros(1, dtype=np.int64) for _ in texts]
        if self.task.pooled:
            return Encoded(list(texts), features), [self._label(text) for text in texts]
        words = [list(re.finditer(r"\w+", text)) for text in texts]
        places = [np.array([w.span() for w in row], dtype=np.int64).reshape(-1, 2) for row in words]
        logits = [
            np.array([[0, 9 if w[0].lower() in TOWNS else -9, -9] for w in row], dtype=np.float32)
            for row in words
        ]
        return Encoded(list(texts), features, places), logits

    def _label(self, text: str) -> Logits:
        found = [place for word, place in WORDS.items() if word in text]
        return np.eye(len(LABELS), dtype=np.float32)[found[0] if found else 2] * 4


def examined(
    pairs: Sequence[tuple[str, str]], task: Task | None = None, sampling: Sampling = SAMPLING
) -> tuple[Examined, Model]:
    task = task or TextClassification(Labels(), LABELS)
    model = Model(task)
    encoded, logits = model.told([text for text, _ in pairs])
    actual = [task.parse(text, cell) for text, cell in pairs]
    rows = list(range(1, len(pairs) + 1))
    return Examined(task, actual, encoded, logits, {"temperature": 1.0}, sampling, rows, {}), model


TEXTS = [
    ("my card is lost", "card"),
    ("he wants his cash", "cash"),
    ("她的卡丢了", "card"),
    ("12345", "other"),
    ("the card ate my cash", "cash"),
    ("hello there", "other"),
]


def test_a_perturbation_is_measured_on_the_texts_that_it_changes() -> None:
    split, model = examined(TEXTS)
    found, shown = perturbed(split, "case", model, 3)
    # 12345 and the Chinese text have no case. The model knows small words only, and what was small
    # became large: of five right ones in the split, "card" and "cash" fall to "other".
    assert model.asked == [["MY CARD IS LOST", "HE WANTS HIS CASH", "THE CARD ATE MY CASH",
                            "HELLO THERE"]]  # fmt: skip
    assert (found.texts, found.keeps) == (4, True)
    assert found.metric is not None
    assert (found.metric.name, found.metric.value, found.metric.count) == ("accuracy", 0.25, 4)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.25 - 0.75)
    assert found.difference.low < found.difference.value < found.difference.high
    assert (found.changed.value, found.changed.count) == (0.75, 4)
    # Those that became wrong come before the one that was wrong already.
    assert [one.row for one in shown] == [1, 2, 5]
    assert shown[0].changed == "MY CARD IS LOST"
    assert (shown[0].actual, shown[0].answered, shown[0].then) == ("card", "card", "other")


def test_what_a_perturbation_makes_of_a_text_depends_on_seed_and_row_only() -> None:
    many = [(f"my card {'is surely lost ' * 3}", "card")] * 8
    split, model = examined(many)
    perturbed(split, "typos", model, 1)
    perturbed(examined(many[:5])[0], "typos", model, 1)
    perturbed(split, "typos", model, 2)
    first, fewer, other = model.asked
    assert first[:5] == fewer
    assert first != other
    assert len(set(first)) > 1


def test_a_perturbation_that_changes_nothing_asks_nothing() -> None:
    split, model = examined([("12345", "other"), ("谢谢", "other")])
    found, shown = perturbed(split, "case", model, 0)
    assert (found.texts, found.metric, found.difference, shown) == (0, None, None, [])
    assert found.changed.count == 0
    assert model.asked == []


def test_after_a_negation_nobody_knows_what_is_right() -> None:
    split, model = examined([("can you find cash", "cash"), ("I have no card", "card")])
    found, shown = perturbed(split, "negation", model, 0)
    assert (found.texts, found.keeps, found.metric, found.difference) == (2, False, None, None)
    assert (found.changed.value, shown) == (0.0, [])


def test_clusters_of_the_changed_texts_widen_the_interval() -> None:
    pairs = [(f"my card {n}", "card") if n % 4 else (f"{n}", "other") for n in range(64)]
    pairs = [*pairs, *[(f"{text} hello", label) for text, label in pairs]]
    alone, model = examined(pairs)
    clusters = np.arange(128) // 16
    # Every other cluster is mistaken altogether.
    wrong = [("card" if (n // 16) % 2 else "cash") for n in range(128)]
    mixed = [(text, wrong[n] if "card" in text else "other") for n, (text, _) in enumerate(pairs)]
    alone, model = examined(mixed)
    together, _ = examined(mixed, sampling=Sampling(0.95, 200, 0, clusters))
    narrow, wide = (perturbed(one, "punctuation", model, 0)[0].metric for one in (alone, together))
    assert narrow is not None
    assert wide is not None
    assert wide.value == narrow.value
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def spans(*found: tuple[int, int]) -> str:
    return json.dumps([{"start": a, "end": b, "label": "town"} for a, b in found])


def test_spans_are_measured_where_every_character_keeps_its_place() -> None:
    task = TokenClassification(Labels(), ["town"])
    split, model = examined(
        [("from Paris to Ulm", spans((5, 10), (14, 17))), ("no town", spans())], task
    )
    assert split.right.all()
    found, shown = perturbed(split, "case", model, 0)
    assert found.metric is not None
    assert (found.metric.name, found.metric.value, found.changed.value) == ("f1", 1.0, 0.0)
    found, shown = perturbed(split, "homoglyphs", model, 1)
    assert found.metric is not None
    assert found.difference is not None
    assert found.metric.value < 1
    assert found.difference.value == pytest.approx(found.metric.value - 1)
    assert [one.row for one in shown] == [1]
    assert shown[0].actual == spans((5, 10), (14, 17))


def test_names_of_perturbations_are_resolved() -> None:
    label, token = TextClassification(Labels(), LABELS), TokenClassification(Labels(), ["town"])
    assert names(label) == list(PERTURBATIONS)
    assert names(token) == ["case", "homoglyphs", "full-width"]
    assert chosen(["typos", "all", "case"], label) == list(PERTURBATIONS)
    assert chosen(["spacing", "case", "spacing"], label) == ["spacing", "case"]
    assert chosen(["all"], token) == names(token)
    assert chosen([], token) == []
    robustness.check(["typos", "all"], label, "")
    robustness.check(["case", "all"], token, "")
    with pytest.raises(UnknownNameError, match=r"no perturbation 'tipos'.*Did you mean 'typos'"):
        robustness.check(["tipos"], label, "evaluate.robustness: ")
    with pytest.raises(ProjectError, match=r"evaluate.robustness: 'typos' moves characters") as no:
        robustness.check(["typos"], token, "evaluate.robustness: ")
    assert "case, homoglyphs, full-width" in no.value.remedy


def test_swapped_terms_must_not_change_the_answer() -> None:
    split, model = examined([*TEXTS, ("his card, her cash", "card"), ("she lost 钱", "cash")])
    found = counterfactual(split, "gender", shipped()["gender"], model, 0)
    assert found is not None
    result, shown = found
    assert model.asked == [["she wants her cash", "他的卡丢了", "her card, his cash", "he lost 钱"]]
    assert (result.name, result.keeps, result.texts) == ("gender", True, 4)
    assert (result.changed.value, shown) == (0.0, [])
    own = (("card", "cash"),)
    found = counterfactual(split, "means", own, model, 0)
    assert found is not None
    assert found[0].changed.value == pytest.approx(2 / 4)
    assert [one.row for one in found[1]] == [1, 2]
    assert counterfactual(split, "religion", shipped()["religion"], model, 0) is None


def test_swaps_move_spans_so_only_their_labels_are_held_against_each_other() -> None:
    task = TokenClassification(Labels(), ["town"])
    split, model = examined([("he left Paris", spans((8, 13)))], task)
    found = counterfactual(split, "gender", shipped()["gender"], model, 0)
    assert found is not None
    assert (found[0].metric, found[0].changed.value) == (None, 0.0)
    gone = counterfactual(split, "places", (("Paris", "Atlantis"),), model, 0)
    assert gone is not None
    assert gone[0].changed.value == 1.0


def blocks(*blocks: dict[str, object]) -> list[BehaviouralTest]:
    return [BehaviouralTest.model_validate(block) for block in blocks]


def test_behaviour_is_asked_once_and_counted() -> None:
    split, model = examined(TEXTS)
    found, failures = behave(
        blocks(
            {"name": "names", "must": "keep", "replace": {"my": ["your", "the"], "his": ["Ann's"]}},
            {
                "name": "means",
                "must": "change",
                "pairs": [["a card", "some cash"], ["卡", "a card"]],
            },
            {"name": "sure", "must": "be", "label": "card", "texts": ["my card", "card?", "no"]},
            {"name": "absent", "must": "keep", "replace": {"kard": ["card"], "m": ["n"]}},
            {"name": "swap", "must": "keep", "replace": {"卡": ["钱"]}},
        ),
        split,
        model,
    )
    (asked,) = model.asked
    assert len(set(asked)) == len(asked)
    assert [(one.name, one.passed.value, one.passed.count) for one in found] == [
        ("names", 1.0, 5),
        ("means", 0.5, 2),
        ("sure", pytest.approx(2 / 3), 3),
        ("absent", 0.0, 0),
        ("swap", 0.0, 1),
    ]
    assert {one.passed.interval for one in found} == {"exact"}
    assert list(failures) == ["means", "sure", "swap"]
    (case,) = failures["means"]
    assert (case.row, case.text, case.changed) == (None, "卡", "a card")
    assert (case.actual, case.answered, case.then) == ("", "card", "card")
    (case,) = failures["sure"]
    assert (case.row, case.text, case.changed, case.then) == (None, "no", None, None)
    assert (case.actual, case.answered) == ("card", "other")
    assert case.score == pytest.approx(np.exp(4) / (np.exp(4) + 2))
    (case,) = failures["swap"]
    assert (case.row, case.changed, case.then) == (3, "她的钱丢了", "cash")


def test_terms_are_replaced_as_words_in_the_first_texts_that_hold_them() -> None:
    split, model = examined([(f"Bank {n} of the bankers", "other") for n in range(MOST_TEXTS + 9)])
    (found,), failures = behave(
        blocks({"name": "one", "must": "change", "replace": {"bank": ["shop", "bank"]}}),
        split,
        model,
    )
    assert (found.passed.count, found.passed.value) == (MOST_TEXTS, 0.0)
    assert "Shop 0 of the bankers" in model.asked[0]
    assert len(failures["one"]) == SHOWN


def test_no_tests_ask_nothing() -> None:
    split, model = examined(TEXTS)
    assert behave([], split, model) == ([], {})
    assert model.asked == []


def test_wanted_spans_are_compared_and_a_replaced_name_keeps_its_label() -> None:
    task = TokenClassification(Labels(), ["town"])
    split, model = examined([("go to Ulm", spans((6, 9)))], task)
    found, failures = behave(
        blocks(
            {"name": "be", "must": "be", "label": spans((0, 4)), "texts": ["Rome!", "Oslo!"]},
            {"name": "keep", "must": "keep", "replace": {"Ulm": ["Paris", "Oslo"]}},
        ),
        split,
        model,
    )
    assert [one.passed.value for one in found] == [0.5, 0.5]
    assert [one.changed for one in failures["keep"]] == ["go to Oslo"]


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        (TextClassification(Labels(), LABELS), "crad", "no label 'crad'. Did you mean 'card'?"),
        (TextClassification(Labels(), LABELS), '["card"]', "is a list of labels"),
        (TextClassification(Labels(separator="|"), LABELS), "card|chas", "no label 'chas'."),
        (TextClassification(Labels(separator="|"), LABELS), "out-of-scope", "no label"),
        (TokenClassification(Labels(), ["town"]), "town", "is no list of spans"),
        (TokenClassification(Labels(), ["town"]), spans((0, 99)), "does not lie in the text"),
        (TokenClassification(Labels(), ["city"]), spans((0, 2)), "no label 'town'."),
    ],
)
def test_a_label_that_means_nothing_is_refused(task: Task, label: str, message: str) -> None:
    wanted = blocks({"name": "odd", "must": "be", "label": label, "texts": ["my card"]})
    with pytest.raises(ProjectError) as error:
        check(wanted, task, task.labels)
    assert "evaluate.behaviour, 'odd'" in error.value.message
    assert message in str(error.value)


def test_labels_that_can_be_answered_pass() -> None:
    several = TextClassification(Labels(separator="|"), LABELS)
    refusing = TextClassification(Labels(out_of_scope="none"), LABELS)
    for task, label in ((several, "card|cash"), (several, ""), (refusing, "none")):
        block = {"name": "fine", "must": "be", "label": label, "texts": ["my card"]}
        check(blocks(block), task, task.labels)
