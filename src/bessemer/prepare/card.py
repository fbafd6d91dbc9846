"""The data card: what a data set is, for people as Markdown (Pushkarna et al. 2022) and for
programs as Croissant 1.1 (MLCommons, http://mlcommons.org/croissant/1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from bessemer.core.datasets import NamedDataset
from bessemer.prepare.desk import LABELLED
from bessemer.prepare.exports import Writer

#: Labels and findings that the card lists; the others are counted.
MOST = 100
#: Name of the record set with the rows, and of the one with the splits.
ROWS, SPLITS = "rows", "splits"
#: Of Croissant 1.1; mlcroissant warns of any other.
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"}, "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isArray": "cr:isArray", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
    "key": "cr:key", "md5": "cr:md5", "name": {"@container": "@language"},
    "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
#: What columns are for.
ABOUT = {
    "split": "The split that the row is in.",
    "row": "The row's number in its source file, from 1.",
    "id": "What names the row: a column of the source, or its number.",
    "text": "The text.",
    "label": "What is to be learnt of the text.",
}


@dataclass(frozen=True)
class File:
    """An exported file."""

    name: str
    size: int
    sha256: str


def croissant(
    named: NamedDataset, writer: Writer, files: Sequence[File], schema: pa.Schema
) -> dict[str, Any]:
    """Return the card of exported files as JSON-LD.

    Args:
        named: The data set.
        writer: By which they were written.
        files: What was written; all rows are in one of them where it has columns.
        schema: Of the rows, with the column split.
    """
    dataset = named.dataset
    known: dict[str, Any] = {"license": dataset.licence} if dataset.licence else {}
    card = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": named.id,
        "description": _described(named),
        "version": f"{named.number}.0.0",
        "url": f"urn:sha256:{dataset.digest}",
        "datePublished": named.created_at.date().isoformat(),
        "citeAs": f"{named.id}, SHA-256 {dataset.digest}",
        **known,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file.name,
                "name": file.name,
                "contentUrl": file.name,
                "contentSize": f"{file.size} B",
                "encodingFormat": writer.media_type,
                "sha256": file.sha256,
            }
            for file in files
        ],
    }
    if writer.has_columns:
        card["recordSet"] = [_splits(named), _rows(files[0].name, schema, nested=writer.nested)]
    return card


def _described(named: NamedDataset) -> str:
    counts = ", ".join(f"{named.dataset.counts[split]} {split}" for split in named.splits)
    return (
        f"Examples for {named.task} of the project {named.project}, made from"
        f" {named.dataset.source}: {counts}; {len(named.dataset.labels)} labels."
    )


def _splits(named: NamedDataset) -> dict[str, Any]:
    kinds = {"train": "TrainingSplit", "validation": "ValidationSplit", "test": "TestSplit"}
    name = {"@type": "cr:Field", "@id": f"{SPLITS}/name", "name": "name", "dataType": "sc:Text"}
    url = {"@type": "cr:Field", "@id": f"{SPLITS}/url", "name": "url", "dataType": "sc:URL"}
    return {
        "@type": "cr:RecordSet",
        "@id": SPLITS,
        "name": SPLITS,
        "dataType": "cr:Split",
        "key": {"@id": f"{SPLITS}/name"},
        "field": [name, url],
        "data": [
            {
                f"{SPLITS}/name": split,
                f"{SPLITS}/url": f"http://mlcommons.org/croissant/{kinds[split]}",
            }
            for split in named.splits
        ],
    }


def _rows(file: str, schema: pa.Schema, *, nested: bool) -> dict[str, Any]:
    fields = []
    for column in schema:
        kind, array = column.type, {}
        if nested and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            kind, array = kind.value_type, {"isArray": True, "arrayShape": "-1"}
        if nested and pa.types.is_nested(kind):
            continue  # Croissant wants a field for each part, whose names nobody has checked
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{ROWS}/{column.name}",
            "name": column.name,
            "description": ABOUT.get(column.name, "A column of the source."),
            "dataType": _data_type(kind),
            **array,
            "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
        }
        if column.name == "split":
            field["references"] = {"field": {"@id": f"{SPLITS}/name"}}
        fields.append(field)
    return {"@type": "cr:RecordSet", "@id": ROWS, "name": ROWS, "field": fields}


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_date(kind):
        return "sc:Date"
    return "sc:DateTime" if pa.types.is_timestamp(kind) else "sc:Text"


def markdown(named: NamedDataset, files: Sequence[File]) -> str:
    """Return the card as Markdown; `files` are those that lie beside it."""
    dataset = named.dataset
    sources = "\n".join(
        f"- {role}: SHA-256 `{digest}`" for role, digest in dataset.source_digests.items()
    )
    listed = "\n".join(f"| {f.name} | {f.size:,} | `{f.sha256}` |" for f in files)
    splits = "\n".join(f"| {split} | {dataset.counts[split]:,} |" for split in named.splits)
    return f"""# {named.id}

{_described(named)} Digest `{dataset.digest}`, made {named.created_at:%Y-%m-%d %H:%M} UTC.

## Where it comes from

`{dataset.source}`, licence {dataset.licence or "not stated"}.

{sources}

## Rows

| split | rows |
|---|---|
{splits}

{_labels(named)}

## What was found, and done about it

{_findings(named)}

{_history(named)}## Known limits

{_limits(named)}

## Files

| file | bytes | SHA-256 |
|---|---|---|
{listed}

`croissant.json` says the same to programs (Croissant 1.1).
"""


def _labels(named: NamedDataset) -> str:
    if named.profile is None:
        return f"{len(named.dataset.labels)} labels."
    splits = named.splits
    ranked = list(dict.fromkeys([*named.totals, *named.dataset.labels]))
    lines = [f"| label | {' | '.join(splits)} |", f"|---|{'---|' * len(splits)}"]
    for label in ranked[:MOST]:
        counted = (f"{named.profile.labels[split].get(label, 0):,}" for split in splits)
        lines.append(f"| {cell(label)} | {' | '.join(counted)} |")
    more = len(ranked) - MOST
    return "\n".join(lines) + (f"\n\nAnd {more} labels more." if more > 0 else "")


def _findings(named: NamedDataset) -> str:
    lines = [
        f"- {cell(f.rule)}: {f.count:,} rows {f.action}"
        + (f"; {cell(f.detail)}" if f.detail else "")
        for f in named.dataset.findings[:MOST]
    ]
    return "\n".join(lines) or "Nothing was found."


def _history(named: NamedDataset) -> str:
    if not named.dataset.history:
        return ""
    lines = [
        f"| `{v.digest[:12]}` | {cell(v.rule)} | {v.action} | {v.changed:,} | {v.rows:,} |"
        for v in named.dataset.history
    ]
    heading = "| version | rule | | rows changed | rows since |\n|---|---|---|---|---|\n"
    return "## How it came about\n\n" + heading + "\n".join(lines) + "\n\n"


def _limits(named: NamedDataset) -> str:
    """Return what the numbers say against the data set; nobody wrote it down by hand."""
    dataset, limits = named.dataset, []
    if dataset.licence is None:
        limits.append("No licence is stated: ask before you pass it on.")
    for finding in dataset.findings:
        if finding.action == "kept":
            limits.append(f"{finding.count:,} rows were kept in spite of: {cell(finding.rule)}.")
    train = named.profile.labels.get("train", {}) if named.profile else {}
    rare = [label for label in dataset.labels if train.get(label, 0) < 10]
    if train and rare:
        limits.append(
            f"{len(rare)} of {len(dataset.labels)} labels have fewer than ten rows in train."
        )
    for split in named.splits:
        counts = named.profile.labels.get(split, {}) if named.profile else {}
        none = [label for label in dataset.labels if not counts.get(label)]
        if counts and none and split != "train":
            limits.append(f"{len(none)} labels have no row in {split}.")
    given, judged = "Labels are as their source gives them", "them"
    if LABELLED in dataset.source_digests:
        given, judged = f"{given} but where people labelled or corrected them", "the others"
    limits.append(f"{given}; nobody here has judged {judged} one by one.")
    return "\n".join(f"- {limit}" for limit in limits)


def cell(text: str) -> str:
    """Return a text as it may stand in Markdown: on one line, with no meaning of its own."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#!" else c for c in line)
