"""The project file: what a product is made from. Every block and key has a default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bessemer.core.block import Block, Share, Slug
from bessemer.core.evaluation import Condition, Evaluate


class Columns(Block):
    """Which column of the source plays which role."""

    text: str = Field("text", description="Column with the text to learn from.")
    label: str = Field("label", description="Column with the answer to learn.")
    id: str | None = Field(None, description="Column that names a row; else its number does.")
    annotator: str | None = Field(
        None,
        description="Column that says who labelled a row. Rows of one id, or without ids of one"
        " text, become one row.",
    )


class Split(Block):
    """How rows are divided: by shares, by files of their own, or by a column."""

    test: Share | str = Field(0.2, description="Share of the rows, or a file of its own.")
    validation: Share | str = Field(
        0.1, description="Share of what is left after the test split, or a file of its own."
    )
    column: str | None = Field(
        None, description="Column that says train, validation or test; replaces the shares."
    )
    group: str | None = Field(
        None, description="Column whose equal values must stay in one split, as a customer's id."
    )


class Labels(Block):
    """What the cells of the label column mean."""

    separator: str | None = Field(
        None,
        min_length=1,
        max_length=8,
        description="Stands between the labels of a text that has several; each label is then"
        " decided by itself.",
    )
    out_of_scope: str | None = Field(
        None,
        min_length=1,
        description="Label of the rows that fit none of the others; such texts are answered"
        " with it.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Labels:
        if self.separator is not None and self.out_of_scope is not None:
            raise ValueError(
                "separator and out_of_scope exclude each other: a text with several"
                " labels may have none"
            )
        return self


class Data(Block):
    """Where the rows come from."""

    source: str = Field(
        description="A csv, jsonl, parquet, conll or Label Studio file, a folder, a URL of one"
        " (s3://, gs://, https:// …), a database's (postgresql://, sqlite:/// …),"
        " hub:<owner>/<name>, or public:<set>/<file>. ${NAME} in a URL is taken from the"
        " environment."
    )
    query: str | None = Field(None, description="What a database is asked: a SELECT.")
    columns: Columns = Field(default_factory=Columns)
    labels: Labels = Field(default_factory=Labels)
    split: Split = Field(default_factory=Split)
    licence: str | None = Field(None, description="SPDX name of the data's licence.")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Of a csv file.")
    encoding: str = Field("utf-8", description="Of a csv or jsonl file.")


class Prepare(Block):
    """What is done about flaws in the rows; nothing is dropped without a word."""

    empty: Literal["error", "drop"] = Field(
        "error", description="Rows whose text or label is empty."
    )
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="Rows whose text and label stand in an earlier row."
    )
    near_duplicates: Literal["report", "drop", "ignore"] = Field(
        "report",
        description="Rows whose text is that of an earlier row of the same split but for a few"
        " words: name them, leave them out, or do not look; then leakage is looked for to the"
        " letter only.",
    )
    leakage: Literal["report", "drop"] = Field(
        "report",
        description="Texts that stand in two splits, to the letter or nearly: name them, or leave"
        " out the earlier split's row, so that nothing is measured on what was learnt.",
    )
    labels: Literal["error", "join"] = Field(
        "error", description="Labels that differ in case or blanks only: stop, or make them one."
    )
    misread: Literal["error", "drop"] = Field(
        "error",
        description="Rows whose label says nothing that fits the text, as a span that ends in the"
        " middle of a word.",
    )
    votes: Literal["dawid-skene", "majority"] = Field(
        "dawid-skene",
        description="How the labels of several annotators become one: by how each of them errs"
        " (Dawid and Skene), or by count.",
    )
    pii: Literal["report", "mask", "drop", "error", "ignore"] = Field(
        "report",
        description="Texts with personal data (e-mail, phone, card, IBAN, IP address, Chinese"
        " resident id, passport, number plate): name the rows, put the kind in its place as"
        " [EMAIL], leave the rows out, stop, or do not look.",
    )
    pii_model: str | None = Field(
        None,
        description="A spaCy model by name or folder, as en_core_web_sm, with which Presidio looks"
        " for names of people, places and organisations, too; needs the extra `presidio`.",
    )


class Search(Block):
    """Which of the training method's options are tried, and how often."""

    trials: int = Field(
        12,
        ge=1,
        le=10_000,
        description="How many settings are tried; the first is the one without a search.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="How many are tried at once, each in a process with its share of the cores.",
    )
    seeds: int = Field(
        3,
        ge=1,
        le=100,
        description="How often the best one is trained, each time from another seed, to tell how"
        " much of its lead is noise.",
    )
    space: dict[str, list[Any]] | None = Field(
        None,
        description="For each option the two ends of a range, or more values to choose from;"
        " without it the method's usual ones, those written beside the search left out.",
    )


#: What is done in training, or after it, so that groups fare alike.
Mitigation = Literal[
    "reweigh",
    "balanced-sampling",
    "counterfactual-augmentation",
    "group-robust",
    "group-thresholds",
]


class Train(BaseModel):
    """How weights are learnt; the method's own options stand beside its name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    method: str = Field("probe", description="A training method.")
    max_length: int = Field(
        128, ge=8, le=512, description="Tokens of a text that are read; the rest is cut."
    )
    base_layers: int | None = Field(
        None,
        ge=1,
        description="How many of the base's layers are kept, from the lowest: fewer are faster, and"
        " the middle of a decoder often tells more of a text than its top.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where gradients are computed; auto takes a graphics card if there is."
    )
    mitigation: Mitigation | None = Field(
        None,
        description="What is done so that the groups of evaluate.protected fare alike; the report"
        " shows what it changes and costs. counterfactual-augmentation reads"
        " evaluate.counterfactual instead.",
    )
    search: Search | None = Field(
        None,
        description="Try several values of the method's options and take the best on validation:"
        " trials, workers, seeds and space, all with defaults.",
    )

    @property
    def options(self) -> dict[str, Any]:
        """Return the method's own options: what is no field of this block."""
        return dict(self.__pydantic_extra__ or {})


class Serve(Block):
    """What is served, and where."""

    engine: Literal["onnx-int8", "onnx-fp32", "torch"] = Field(
        "onnx-int8",
        description="int8 falls back to fp32 when it loses more than max_loss; torch is for bases"
        " that cannot be exported, and needs the extra `train` where it serves.",
    )
    max_loss: float = Field(
        0.003, ge=0, lt=1, description="Validation accuracy that int8 may lose against fp32."
    )
    refuse: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="Share of the texts with a known label that may be answered with none of the"
        " labels; sets the threshold. Without it 0.01, if data.labels.out_of_scope is set.",
    )
    precision: float | None = Field(
        None,
        ge=0.5,
        lt=1,
        description="Share of right answers that is wanted among those that are given, instead of"
        " `refuse`: as few texts as possible are answered with none of the labels, but so many"
        " that validation bears it out with 95 % confidence.",
    )
    route: Slug | None = Field(None, description="Name in the address; else the project's name.")
    canary: Share | None = Field(
        None,
        description="Share of the callers who get a new release until it is promoted, when another"
        " one is live; without it the new one is live at once.",
    )

    @model_validator(mode="after")
    def _one_threshold(self) -> Serve:
        if self.refuse is not None and self.precision is not None:
            raise ValueError("refuse and precision exclude each other: each sets the threshold")
        return self


class Budget(Block):
    """When a labelling campaign ends."""

    labels: int | None = Field(None, ge=1, description="So many labels were given.")
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Annotators have worked so long together."
    )


class Label(Block):
    """What is put up for labelling, and by which rule."""

    pool: str | None = Field(
        None, description="Table with the texts that may be labelled, in the column of data."
    )
    labels: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Labels to choose from, where no rows have labels yet: then the data set is"
        " not read. Without it the data set's.",
    )
    strategy: str = Field(
        "diverse-margin",
        description="How texts are chosen once there is a model; typical ones before.",
    )
    items: int = Field(100, ge=1, le=100_000, description="How many at once.")
    overlap: int = Field(1, ge=1, le=100, description="How many annotators each item gets.")
    gold: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Items whose answer is known, mixed in to test annotators, as a share of the"
        " others.",
    )
    budget: Budget = Field(default_factory=Budget)
    guideline: str | None = Field(
        None, description="A text file that says what the labels mean; annotators are shown it."
    )
    least_gain: float = Field(
        0.005,
        gt=0,
        lt=1,
        description="Accuracy that the next labels must add to be worth it; else it is told to"
        " stop.",
    )


class Project(Block):
    """A project file with every default filled in."""

    name: Slug = Field(description="Of the product; lower case, digits and dashes.")
    task: str = Field("text-classification", description="What is learnt.")
    base: str = Field(
        "minilm-l6", description="A catalogue name, a folder, or hub:owner/name@revision."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Of every random choice.")
    data: Data
    prepare: Prepare = Field(default_factory=Prepare)
    train: Train = Field(default_factory=Train)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    gate: tuple[Condition, ...] = Field(
        ({"not_worse_than": "live"},),
        min_length=1,
        description="Conditions; each is something measured with a bound, or not_worse_than: live"
        " or better_than: live.",
    )
    serve: Serve = Field(default_factory=Serve)
    label: Label = Field(default_factory=Label)

    @property
    def route(self) -> str:
        """Return the route that releases are deployed to."""
        return self.serve.route or self.name

    def released(self) -> dict[str, Any]:
        """Return what makes a release another one: all but how it is brought to callers, and what
        is labelled next.
        """
        return self.model_dump(mode="json", exclude={"serve": {"canary"}, "label": True})
