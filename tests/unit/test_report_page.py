"""The report as HTML: all of it is told, nothing is loaded, and no text becomes markup."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.core.axis import axis
from bessemer.core.dataset import Dataset
from bessemer.core.language import LANGUAGES
from bessemer.core.report import (
    Behaviour,
    Bin,
    CalibrationReport,
    ClassReport,
    Confusion,
    Example,
    Examples,
    Fairness,
    Gap,
    Group,
    LabelSet,
    Measurement,
    Mitigated,
    Perturbed,
    Point,
    Report,
    ReportDocument,
    Selective,
    Slice,
)
from bessemer.core.verdict import Outcome, Override, Verdict
from bessemer.evaluate.page import language, views
from bessemer.evaluate.page.changes import pieces
from bessemer.evaluate.page.page import SECTIONS, page, sections

SCRIPT, QUOTE = "<script>alert(1)</script>", '" onload=alert(2) x="'
LONG = "card_payment_was_declined_although_the_account_had_enough_money_on_it_and_more"
CHINESE = "信用卡被拒绝但账户余额充足且最近没有任何异常交易需要人工进一步核实处理"
VOID = {"meta", "br", "link", "img", "input", "wbr"}


def measured(value: float, half: float = 0.02, count: int = 500, name: str = "x") -> Measurement:
    low = value - half if value < 0 else max(0.0, value - half)
    high = value + half
    return Measurement(
        name=name, value=value, low=low, high=high, count=count, interval="bootstrap"
    )


def counted(value: float, count: int) -> Measurement:
    return Measurement(
        name="passed", value=value, low=value, high=value, count=count, interval="exact"
    )


def example(text: str, changed: str | None = None, row: int | None = 7) -> Example:
    then = None if changed is None else "lost_card"
    return Example(
        row=row, text=text, changed=changed, actual=LONG, answered=CHINESE, then=then, score=0.734
    )


def perturbed(name: str, keeps: bool = True) -> Perturbed:
    return Perturbed(
        name=name,
        keeps=keeps,
        texts=480,
        metric=measured(0.861) if keeps else None,
        difference=measured(-0.052) if keeps else None,
        changed=measured(0.083, count=480),
    )


def fairness(gap: float) -> Fairness:
    metrics = {
        "accuracy": measured(0.93 - gap / 2),
        "selected: refund": measured(0.21),
        f"selected: {CHINESE}": measured(0.34),
    }
    return Fairness(
        across=("gender", "age_band"),
        groups=(
            Group(where={"gender": "f", "age_band": "18–30"}, count=210, metrics=metrics),
            Group(
                where={"gender": "m", "age_band": SCRIPT},
                count=230,
                metrics=metrics | {"accuracy": measured(0.93 + gap / 2)},
            ),
            Group(where={"gender": "x", "age_band": "31–50"}, count=4, metrics={}),
        ),
        gaps=(
            Gap(
                name="demographic_parity",
                measurement=measured(gap),
                between=("gender = f, age_band = 18–30", "gender = m"),
                label=LONG,
            ),
            Gap(name="equal_opportunity", measurement=None, because="one group has rows enough"),
        ),
    )


def calibration() -> CalibrationReport:
    return CalibrationReport(
        temperature=1.37,
        before=measured(0.0912),
        after=measured(0.0234, 0.011),
        bins=tuple(
            Bin(confidence=c, right=measured(r, 0.06, 50))
            for c, r in ((0.42, 0.31), (0.63, 0.6), (0.78, 0.81), (0.91, 0.9), (0.98, 0.985))
        ),
        curve=tuple(
            Point(threshold=1 - n / 50, coverage=n / 50, risk=0.002 + 0.08 * (n / 50) ** 3)
            for n in range(1, 51)
        ),
        selective=(
            Selective(
                precision=0.95,
                threshold=0.613,
                coverage=measured(0.874),
                reached=measured(0.953, 0.01),
            ),
            Selective(precision=0.99, threshold=None, coverage=None, reached=None),
        ),
        sets=(
            LabelSet(wanted=0.9, threshold=0.12, coverage=measured(0.908), size=1.31, empty=0.002),
        ),
    )


@pytest.fixture(scope="module")
def report() -> Report:
    names = ["refund", LONG, CHINESE, SCRIPT, QUOTE, *(f"intent_{n}" for n in range(25))]
    found = []
    for n in range(45):
        weak = n < 2
        name = {0: "channel = web", 1: f"cluster: {CHINESE}", 2: SCRIPT}.get(
            n, f"{n}–{n + 4} words"
        )
        found.append(
            Slice(
                name=name,
                kind="length",
                column=None,
                value=None,
                metric=measured(0.7 + n * 0.005, 0.05, 61),
                difference=measured(-0.2 + n * 0.005, 0.05),
                p=0.0004 if weak else 0.5,
                weak=weak,
            )
        )
    pairs = [("refund", LONG), (LONG, CHINESE), (CHINESE, SCRIPT), (SCRIPT, QUOTE)]
    return Report(
        split="test",
        confidence=0.95,
        engine="onnx-int8",
        headline="accuracy",
        metrics={
            "accuracy": measured(0.9137, 0.0113),
            "macro_f1": measured(0.8871),
            "calibration_error": measured(0.0234, 0.0111),
        },
        classes=tuple(
            ClassReport(
                label=name,
                support=20 + n,
                precision=measured(0.9 - n / 100, 0.06, 20 + n),
                recall=None if n == 5 else measured(0.95 - n / 80, 0.05, 20 + n),
            )
            for n, name in enumerate(names)
        ),
        confusions=tuple(
            Confusion(actual=a, predicted=b, share=measured(0.14 - n * 0.03, 0.05, 90))
            for n, (a, b) in enumerate(pairs)
        ),
        slices=tuple(found),
        calibration=calibration(),
        robustness=(perturbed("typos"), perturbed("negation", keeps=False), perturbed(CHINESE)),
        behaviour=(
            Behaviour(name="greets", must="be", passed=counted(1.0, 12)),
            Behaviour(name=QUOTE, must="keep", passed=counted(0.75, 8)),
        ),
        fairness=(fairness(0.041),),
        counterfactual=(perturbed("gender"),),
        mitigated=Mitigated(
            mitigation="reweighting",
            before=measured(0.921),
            after=measured(0.9137),
            price=measured(-0.0073),
            fairness=(fairness(0.092),),
        ),
        costs={
            "latency_ms": Measurement(
                name="latency_ms", value=3.214, low=3.1, high=3.4, count=200,
                interval="order statistic",
            ),
            "size_mb": Measurement(
                name="size_mb", value=23.4, low=23.4, high=23.4, count=1, interval="exact"
            ),
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def examples() -> Examples:
    hostile = example(f"I lost {SCRIPT} my {QUOTE} card " + "and waited " * 90)
    typo = example("Where is my monny order?", "Where is my money order?")
    unseen = example("他说他的卡片丢了", "她说她的卡\u200b片丢了", None)
    swapped = example("x" * 900 + " he pays " + "y" * 900, "x" * 900 + " she pays " + "y" * 900)
    return Examples(
        confusions={f"refund → {LONG}": (hostile, example(CHINESE * 5))},
        slices={"channel = web": (hostile,), f"cluster: {CHINESE}": (example(CHINESE),)},
        robustness={"typos": (typo, unseen), CHINESE: (unseen,)},
        behaviour={QUOTE: (typo,)},
        counterfactual={"gender": (swapped,)},
    )


def told_of(report: Report, examples: Examples, **more: object) -> ReportDocument:
    """Return a report with what became of it: nothing, but for `more`."""
    nothing = {"release": None, "verdict": None, "judged": None, "limit": 20}
    return ReportDocument(
        run="20260301-123000-3f9a1c",
        project="support-intents",
        at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        about={"task": "text-classification", "base": "minilm-l6", "method": "probe"},
        report=report,
        examples=examples,
        **{**nothing, **more},
    )


@pytest.fixture(scope="module")
def document(report: Report, examples: Examples) -> ReportDocument:
    outcomes = (
        Outcome(condition="accuracy at least 0.9", state="passed", because="lower end 0.902"),
        Outcome(condition=f"accuracy within {SCRIPT}", state="failed", because="0.7 [0.65, 0.75]"),
        Outcome(condition="gap across age", state="not measured", because="too few rows"),
    )
    override = Override(
        by="key_owner", at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC), reason=f"urgent {QUOTE}"
    )
    verdict = Verdict(outcomes=outcomes, override=override)
    release = f"support-intents@3 {SCRIPT}"
    return told_of(report, examples, release=release, verdict=verdict, judged=23)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset(
        digest="9f" * 32,
        source="tickets.csv",
        source_digests={},
        columns=("text", "label"),
        labels=("a", "b"),
        counts={"train": 8000, "validation": 800, "test": 2000},
        licence="CC-BY-4.0",
        findings=(),
    )


@pytest.fixture(scope="module")
def bare() -> ReportDocument:
    report = Report(
        split="test", confidence=0.9, engine="torch", headline="f1",
        metrics={}, classes=(), confusions=(),
    )  # fmt: skip
    return told_of(report, Examples())


class Reader(HTMLParser):
    """Reads a document strictly: every tag is closed, in order; keeps tags and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        #: What stands directly in each SVG: its title.
        self.titled = 0
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), attrs
        if tag == "title" and self.open[-1] == "svg":
            self.titled += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", params=["en", "zh"])
def whole(request: pytest.FixtureRequest, document: ReportDocument, dataset: Dataset) -> str:
    return page(document, dataset, request.param)


def test_it_loads_and_runs_nothing(whole: str) -> None:
    reader = Reader(whole)
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "use", "form"}
        assert not {"src", "srcset", "style"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"https?://|url\(|@import", whole)
    assert len(reader.all("style")) == 1


def test_strings_of_others_stay_text(whole: str) -> None:
    reader = Reader(whole)
    assert reader.text.count(SCRIPT) >= 6
    assert reader.text.count(QUOTE) >= 4


def test_it_can_be_read_without_looking(whole: str) -> None:
    reader = Reader(whole)
    ranks = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert ranks.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(ranks))
    assert all(head.get("scope") in {"col", "row"} for head in reader.all("th"))
    pictures = [svg for svg in reader.all("svg") if "x" not in svg]
    assert all(svg.get("role") == "img" for svg in pictures)
    assert reader.titled == len(pictures) > 80


def test_cells_keep_their_headings_where_rows_become_blocks(whole: str) -> None:
    kinds: list[str] = []
    for tag, attributes in Reader(whole).tags:
        if tag == "table":
            kinds = (attributes.get("class") or "").split()
        elif tag == "td" and {"stacked", "forest"} & set(kinds):
            alone = attributes.get("class") == "plot" or "colspan" in attributes
            assert alone or attributes.get("data-label"), attributes


def test_names_in_the_heat_map_break_between_their_words(whole: str) -> None:
    assert "3&nbsp;<bdi>card_<wbr>payment_<wbr>was_<wbr>declined_" in whole
    assert f"&nbsp;<bdi>{CHINESE}</bdi>" in whole


def test_contents_lead_to_the_sections(whole: str) -> None:
    reader = Reader(whole)
    ids = [one["id"] for _, one in reader.tags if "id" in one]
    assert len(ids) == len(set(ids))
    assert [one["href"] for one in reader.all("a")] == [
        f"#report-{section}" for section in SECTIONS if section != "absent"
    ]
    assert {one["href"] for one in reader.all("a")} <= {f"#{one}" for one in ids}


def test_every_measurement_is_told(report: Report, whole: str) -> None:
    assert report.calibration is not None
    told = [
        *report.metrics.values(),
        *(one.precision for one in report.classes),
        *(one.recall for one in report.classes if one.recall),
        *(one.metric for one in report.slices[: views.MOST_SLICES]),
        report.calibration.before,
        report.calibration.after,
        *(gap.measurement for one in report.fairness for gap in one.gaps if gap.measurement),
        *(
            rate
            for one in report.fairness
            for group in one.groups
            for rate in group.metrics.values()
        ),
    ]
    text = Reader(whole).text
    for one in told:
        assert one is not None
        assert f"{one.value:.3f}" in text
        assert f"{one.low:.3f} – {one.high:.3f}" in text
    for share in (one.share for one in report.confusions):
        assert f"{share.low:.1%} – {share.high:.1%}" in text
    assert "3.21" in text
    assert "23.4" in text


def test_what_matters_is_told_in_words(document: ReportDocument, dataset: Dataset) -> None:
    text = Reader(page(document, dataset, "en")).text
    for told in (
        "released in spite of it", "Let pass by key_owner, 2026-03-01 12:30 UTC",
        "What was not measured blocks", "? not measured", "✗ failed", "2 of 45 slices are weak",
        "… and 5 more", "6 of 8", "23 of at most 20", "worn out", "No threshold reaches it",
        "reweighting", "one group has rows enough", "−0.007", "95%", "CC-BY-4.0", "< 0.001",
        "minilm-l6", "Date2026-03-01 12:30 UTC", "2,000", "2 labels",
    ):  # fmt: skip
        assert told in text, told


def test_an_empty_report_says_why(bare: ReportDocument, dataset: Dataset) -> None:
    reader = Reader(page(bare, dataset, "en"))
    assert "<title>support-intents</title>" in page(bare, dataset, "en")
    assert "No gate has judged this model" in reader.text
    assert "F1, by which models are compared, was not measured" in reader.text
    assert "evaluate.protected" in reader.text
    assert [one["href"] for one in reader.all("a")] == [
        "#report-verdict", "#report-metrics", "#report-absent", "#report-reading",
    ]  # fmt: skip
    assert bare.report._repr_html_()


def test_sections_fit_into_a_page_with_a_strict_policy(document: ReportDocument) -> None:
    for name, heading, html in sections(document, "zh"):
        reader = Reader(html)
        assert name.startswith("report-")
        assert heading
        assert not {tag for tag, _ in reader.tags} & {"style", "script", "h1", "h2", "section"}
        assert all("style" not in attributes for _, attributes in reader.tags)


def test_a_notebook_draws_the_metrics_and_runs_nothing(report: Report) -> None:
    reader = Reader(report._repr_html_())
    for one in report.metrics.values():
        assert one.name in reader.text
        assert f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" in reader.text
    assert len(reader.all("svg")) >= len(report.metrics)
    assert {tag for tag, _ in reader.tags}.isdisjoint({"style", "script", "link", "img"})
    hostile = report.model_copy(update={"engine": "<script>alert(1)</script>"})
    assert "<script" not in hostile._repr_html_()


def test_every_message_is_there_in_both_languages() -> None:
    for key, told in language.messages().items():
        assert set(told) == set(LANGUAGES), key
        places = {tongue: set(re.findall(r"{(\w+)", text)) for tongue, text in told.items()}
        assert places["en"] == places["zh"], key
    assert language.name("zh", "metric", "accuracy") == "准确率"
    assert language.name("en", "metric", "some_metric") == "some metric"


def test_what_a_change_did_is_shown_character_by_character() -> None:
    gone, new = pieces("where is my card", "where is my crad")
    assert "".join(text for text, _ in gone) == "where is my card"
    assert "".join(text for text, _ in new) == "where is my crad"
    assert gone[0] == new[0]
    assert not gone[0][1]
    assert any(changed for _, changed in new)
    # What nobody sees is written out.
    assert ("␣", True) in pieces("a b", "a  b")[1]
    assert ("⟨U+200B⟩", True) in pieces("ab", "a\u200bb")[1]
    assert pieces("", "") == ([], [])
    gone, new = pieces("x" * 5_000 + "a" + "y" * 5_000, "x" * 5_000 + "b" + "y" * 5_000)
    for told, letter in ((gone, "a"), (new, "b")):
        assert (letter, True) in told
        assert sum(len(text) for text, _ in told) < 300
        assert told[0][0].startswith("…")
        assert told[-1][0].endswith("…")


@given(st.text(alphabet="abc 卡", max_size=40), st.text(alphabet="abc 卡", max_size=40))
def test_pieces_lose_no_letter(before: str, after: str) -> None:
    for text, told in zip((before, after), pieces(before, after), strict=True):
        assert "".join(piece for piece, _ in told).replace("␣", " ") == text


@pytest.mark.parametrize(
    "values", [(0.5,), (0.0, 1.0), (-0.031, 0.002), (12.5, 980.0), (0.9, 0.9000001), (0.0,)]
)
def test_an_axis_holds_all_values_between_round_ticks(values: tuple[float, ...]) -> None:
    found = axis(values)
    ticks = found.ticks
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= min(values)
    assert max(values) <= ticks[-1] + 1e-9
    steps = {round(after - before, 9) for before, after in pairwise(ticks)}
    assert len(steps) == 1
    assert found.share(ticks[0]) == 0
    assert found.share(ticks[-1]) == 1
    assert found.share(ticks[-1] + 9) == 1


def test_thresholds_by_group_come_with_a_caution(
    document: ReportDocument, dataset: Dataset
) -> None:
    mitigated = document.report.mitigated
    assert mitigated is not None
    told = mitigated.model_copy(update={"caution": "Have a lawyer look at it."})
    report = document.report.model_copy(update={"mitigated": told})
    changed = document.model_copy(update={"report": report})
    for tongue, word in (("en", "lawyer"), ("zh", "律师")):
        assert word not in page(document, dataset, tongue)
        assert word in page(changed, dataset, tongue)
