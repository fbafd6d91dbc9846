"""The room *Data*: what was made of each source, what was found in it, and what it went into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bessemer.console.shell import Shell
from bessemer.core.datasets import Form, NamedDataset
from bessemer.core.errors import RequestError, UnknownNameError
from bessemer.service.dataset_rows import Page, Reader
from bessemer.tasks.base import Span, Task

#: Name of the room in addresses and messages.
NAME = "data"
#: Rows of a page, and characters of a text that are shown.
ROWS, TEXT = 25, 600
#: Labels that are drawn and offered as a choice; the commonest.
MOST_LABELS = 500
#: Pages that are reached by a number: what lies behind is found by a filter.
MOST_PAGES = 1_000_000
#: What can have been done about a finding, or to a version, in words of the reader's.
ACTIONS = ("dropped", "joined", "masked", "kept", "read", "divided")


@dataclass(frozen=True)
class Paged:
    """A page of rows, where the ones before and after it are, and what tells its task's labels."""

    page: Page
    #: Number of the page, from 0.
    number: int
    task: Task
    #: Characters of a text that are shown.
    most: int = TEXT

    @property
    def first(self) -> int:
        """Return the place of its first row among all that fit, from 1."""
        return min(self.number * ROWS + 1, self.page.total)

    @property
    def last(self) -> int:
        """Return the place of its last row."""
        return min(self.number * ROWS + len(self.page.rows), self.page.total)

    def pieces(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return a row's text in pieces, each with the label of the span that it is, or ""."""
        text = row["text"] or ""
        spans: list[Span] = []
        if not self.task.pooled:
            spans = sorted(self.task.parse(text, row["label"] or ""))
        return cut(text, spans)


def cut(text: str, spans: list[Span]) -> list[tuple[str, str]]:
    """Return the first characters of a text in pieces, each with its span's label, or ""."""
    pieces, done = [], 0
    for span in spans:
        if span.end > TEXT:
            break
        pieces += [(text[done : span.start], ""), (text[span.start : span.end], span.label)]
        done = span.end
    pieces.append((text[done:TEXT], ""))
    return [piece for piece in pieces if piece[0]]


def routes(shell: Shell) -> list[Route]:
    """Return the room's addresses."""
    room = Room(shell)
    one = f"{shell.address(NAME)}/{{dataset}}"
    return [
        Route(shell.address(NAME), room.show),
        Route(one, room.show_dataset),
        Route(f"{one}/rows", room.rows),
        Route(f"{one}/findings/{{finding:int}}", room.finding),
        Route(f"{one}/suspects", room.suspects),
        Route(f"{one}/difference", room.difference),
        Route(f"{one}/export", room.export),
    ]


class Room:
    """The room's pages."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Show all data sets by project."""
        projects: dict[str, list[NamedDataset]] = {}
        for named in self._shell.platform.datasets.list():
            projects.setdefault(named.project, []).append(named)
        return self._shell.pages.render(request, "data.html", projects=projects)

    def show_dataset(self, request: Request) -> Response:
        """Show one data set."""
        reader = self._reader(request)
        named = reader.named
        labels = named.totals
        return self._shell.pages.render(
            request,
            "dataset.html",
            named=named,
            paged=self._paged(reader, request),
            chosen=_chosen(request),
            told=ACTIONS,
            suspects=reader.suspects(0, 0),
            labels=list(labels)[:MOST_LABELS],
            labels_left=max(0, len(labels) - MOST_LABELS),
            pictures=_pictures(named, list(labels)[:MOST_LABELS]),
            forms=("csv", "jsonl", "parquet") if reader.task.pooled else ("jsonl", "conll", "csv"),
        )

    def rows(self, request: Request) -> Response:
        """Show a page of the rows that fit."""
        reader = self._reader(request)
        paged, chosen = self._paged(reader, request), _chosen(request)
        return self._shell.pages.render(
            request, "rows.html", named=reader.named, paged=paged, chosen=chosen
        )

    def finding(self, request: Request) -> Response:
        """Show a page of the rows that a finding names."""
        reader, number = self._reader(request), request.path_params["finding"]
        findings = reader.named.dataset.findings
        if number >= len(findings):
            raise UnknownNameError("finding", str(number), map(str, range(len(findings))))
        page = _number(request)
        found = reader.found(number, page * ROWS, ROWS)
        return self._shell.pages.render(
            request,
            "found.html",
            named=reader.named,
            finding=findings[number],
            number=number,
            paged=Paged(found, page, reader.task),
        )

    def suspects(self, request: Request) -> Response:
        """Show a page of the rows whose label is probably wrong."""
        reader, page = self._reader(request), _number(request)
        found = reader.suspects(page * ROWS, ROWS)
        if found is None:
            raise RequestError(f"The labels of {reader.named.id} were not inspected.")
        paged = Paged(found, page, reader.task)
        return self._shell.pages.render(request, "suspects.html", named=reader.named, paged=paged)

    def difference(self, request: Request) -> Response:
        """Show what has changed since the project's data set before."""
        named = self._reader(request).named
        if named.previous is None:
            raise RequestError(f"There is no data set before {named.id}.")
        found = self._shell.platform.datasets.diff(named.previous, named.id)
        return self._shell.pages.render(request, "difference.html", found=found, most=TEXT)

    def export(self, request: Request) -> Response:
        """Send the rows with their card, as a zip file."""
        form = cast(Form, request.query_params.get("form", "csv"))
        dataset = request.path_params["dataset"]
        name, pieces = self._shell.platform.datasets.zipped(dataset, form, None)
        held = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(pieces, media_type="application/zip", headers=held)

    def _reader(self, request: Request) -> Reader:
        datasets = self._shell.platform.datasets
        return datasets.reader(datasets.show(request.path_params["dataset"]))

    def _paged(self, reader: Reader, request: Request) -> Paged:
        chosen, number = _chosen(request), _number(request)
        split = chosen["split"] or None
        page = reader.page(split, chosen["label"], chosen["search"], number * ROWS, ROWS)
        return Paged(page, number, reader.task)


def _chosen(request: Request) -> dict[str, str]:
    """Return by what the rows are chosen; "" is all of them."""
    return {name: request.query_params.get(name, "") for name in ("split", "label", "search")}


def _number(request: Request) -> int:
    asked = request.query_params.get("page", "0")
    if not (asked.isdecimal() and asked.isascii() and len(asked) < 8 and int(asked) < MOST_PAGES):
        raise RequestError(f"page is {asked[:20]!r}.", remedy="Send a number from 0.")
    return int(asked)


def _pictures(named: NamedDataset, labels: list[str]) -> dict[str, dict[str, Any]]:
    """Return what is drawn: the names along an axis, and numbers by split."""
    if named.profile is None:
        return {}
    edges, profile = named.profile.edges, named.profile
    ends = [f"{edge}–{after - 1}" for edge, after in pairwise(edges)]
    return {
        "labels": {
            "names": labels,
            "values": [
                [s, [profile.labels[s].get(one, 0) for one in labels]] for s in named.splits
            ],
        },
        "lengths": {
            "names": [*ends, f"{edges[-1]}+"],
            "values": [[split, profile.lengths[split]] for split in named.splits],
        },
    }
