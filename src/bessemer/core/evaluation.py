"""The blocks of the project file that say how a model is evaluated and when it is let pass."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bessemer.core.block import Block

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
#: Several names, or one without brackets.
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda value: (value,) if isinstance(value, str) else value,
        json_schema_input_type=str | tuple[str, ...],
    ),
]
#: Terms that may stand for each other, by list: "he" and "she", "他" and "她".
Terms = dict[str, tuple[tuple[Annotated[str, Field(min_length=1)], ...], ...]]
#: Columns that may divide rows into groups together; more make groups of nobody.
MOST_PROTECTED = 4
#: Cases that all behavioural tests may have together.
MOST_CASES = 10_000


class BehaviouralTest(Block):
    """Texts of which it is known what must become of their answer (Ribeiro et al. 2020)."""

    name: str = Field(min_length=1, max_length=100, description="What it is called in the report.")
    must: Literal["keep", "change", "be"] = Field(
        description="keep: the answer to both texts of a pair is the same. change: it is not."
        " be: it is `label`."
    )
    label: str | None = Field(None, description="What the answer must be, as in the label column.")
    texts: tuple[Text, ...] = Field((), description="With `be`: texts that must be answered so.")
    pairs: tuple[tuple[Text, Text], ...] = Field(
        (), description="With `keep` or `change`: a text, and the text beside it."
    )
    replace: dict[Text, tuple[str, ...]] = Field(
        default_factory=dict,
        description="With `keep` or `change`: a term, and what is put in its place in every test"
        " text that holds it.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> BehaviouralTest:
        if self.must == "be" and (self.label is None or not self.texts):
            raise ValueError("`be` needs label and texts")
        if self.must == "be" and (self.pairs or self.replace):
            raise ValueError("`be` takes texts, not pairs or replace")
        if self.must != "be" and not (self.pairs or self.replace):
            raise ValueError(f"`{self.must}` needs pairs or replace")
        if self.must != "be" and (self.texts or self.label is not None):
            raise ValueError(f"`{self.must}` takes pairs or replace, not texts or label")
        return self


class Evaluate(Block):
    """How the report is made."""

    confidence: float = Field(0.95, ge=0.5, lt=1, description="Coverage of the intervals.")
    resamples: int = Field(1000, ge=100, le=100_000, description="Draws of the bootstrap.")
    cluster: str | None = Field(
        None,
        description="Column whose equal values are no independent examples, as messages of one"
        " customer; without it data.split.group.",
    )
    slices: Names = Field((), description="Columns by whose values the test rows are divided.")
    find_slices: bool = Field(
        True,
        description="Also look for weak slices by length, language, confidence and by clusters of"
        " like texts.",
    )
    protected: Names = Field(
        (),
        max_length=MOST_PROTECTED,
        description="Columns that say which group somebody belongs to, as gender; groups are"
        " compared, those of several columns together as well.",
    )
    favourable: Names = Field(
        (),
        description="Labels that are good to get; without them every label is looked at.",
    )
    least: int = Field(
        30, ge=2, description="Test rows that a slice or a group needs to be measured."
    )
    robustness: Names = Field(
        (),
        description="Perturbations that the test texts are asked again with, or all; each costs a"
        " pass over them.",
    )
    counterfactual: Names = Field(
        (), description="Lists of terms that are swapped in the test texts, as gender."
    )
    terms: Terms = Field(
        default_factory=dict,
        description="Lists of your own, by name: terms that may stand for each other. One called"
        " like a shipped list replaces it.",
    )
    behaviour: tuple[BehaviouralTest, ...] = Field(
        (), description="Texts of which it is known what must become of their answer."
    )
    judgements: int = Field(
        20,
        ge=1,
        description="Models that may be judged by one test split; past it, it is told that the"
        " split is worn out by choosing.",
    )

    @model_validator(mode="after")
    def _named_once(self) -> Evaluate:
        names = [test.name for test in self.behaviour]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two behavioural tests are called {twice[0]!r}")
        cases = sum(len(test.texts) + len(test.pairs) for test in self.behaviour)
        if cases > MOST_CASES:
            raise ValueError(f"{cases} behavioural cases are more than {MOST_CASES}")
        return self


#: YAML reads `no` as false, which would be 0: a bound that always passes.
Number = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]


#: What a threshold gives one of.
BOUNDS = ("at_least", "at_most", "gap_at_most", "drop_at_most")


class Threshold(Block):
    """A bound on something measured, held by the end of its interval and not by the point."""

    at_least: Number | None = Field(None, description="Bound on the lower end.")
    at_most: Number | None = Field(None, description="Bound on the upper end.")
    gap_at_most: Share | None = Field(
        None, description="Bound on the gap between groups `across` a column."
    )
    drop_at_most: Share | None = Field(
        None, description="Bound on what a perturbation `under` costs."
    )
    within: dict[str, str | int | float | bool | date] | None = Field(
        None, description="A column and a value: hold only these rows against the bound."
    )
    across: Names | None = Field(
        None,
        min_length=1,
        description="Protected columns: every group of theirs, or the gap between them.",
    )
    under: str | None = Field(
        None, min_length=1, description="A perturbation, a list of terms, or a test."
    )
    label: str | None = Field(None, description="Of precision and recall: whose.")

    @model_validator(mode="after")
    def _one_bound(self) -> Threshold:
        if all(getattr(self, bound) is None for bound in BOUNDS):
            raise ValueError("needs at_least or at_most")
        given = [bound for bound in BOUNDS if getattr(self, bound) is not None]
        if len(given) > 1 and given != ["at_least", "at_most"]:
            raise ValueError(f"{given[0]} and {given[-1]} exclude each other")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("nothing is at_least that and at_most this")
        if self.gap_at_most is not None and self.across is None:
            raise ValueError("gap_at_most needs across: a protected column")
        if self.drop_at_most is not None and self.under is None:
            raise ValueError("drop_at_most needs under: a perturbation")
        where = [n for n in ("within", "across", "under", "label") if getattr(self, n) is not None]
        if len(where) > 1:
            raise ValueError(f"{where[0]} and {where[1]} exclude each other")
        if self.within is not None and len(self.within) != 1:
            raise ValueError("within takes one column and its value")
        return self


class AgainstLive(Block):
    """A bound on the headline metric against the live release's, on the same test rows."""

    than: Literal["live"] = "live"
    margin: float | None = Field(
        None,
        strict=True,
        ge=0,
        lt=1,
        description="not_worse_than: loss that is tolerated, by default 0.02; better_than: gain"
        " that is wanted, by default any.",
    )


Condition = dict[str, Any]
