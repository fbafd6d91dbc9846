"""The room *Runs*: what was run, what came of it, how two of them compare."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bessemer.console.intervals import around_zero, holding
from bessemer.console.shell import Shell
from bessemer.core.axis import Axis
from bessemer.core.errors import RequestError
from bessemer.core.records import Run
from bessemer.core.report import Comparison, Measurement

#: Name of the room in addresses and messages.
NAME = "runs"
#: Runs of a project that are listed; the newest.
MOST = 100
#: Stages that messages name.
STAGES = ("prepare", "search", "train", "export", "evaluate", "release", "deploy")


def routes(shell: Shell) -> list[Route]:
    """Return the room's addresses."""
    room = Room(shell)
    one = f"{shell.address(NAME)}/{{run}}"
    return [
        Route(shell.address(NAME), room.show),
        Route(one, room.show_run),
        Route(f"{one}/compare/{{second}}", room.compare),
    ]


class Room:
    """The room's pages."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Show all runs by project, or lead to the two that were chosen."""
        first, second = (request.query_params.get(name, "") for name in ("first", "second"))
        if first and second:
            pair = f"{quote(first, safe='')}/compare/{quote(second, safe='')}"
            return RedirectResponse(f"{self._shell.address(NAME)}/{pair}", 303)
        projects = by_project(self._shell.platform.runs.list())
        return self._shell.pages.render(
            request,
            "runs.html",
            projects=projects,
            headline=headline,
            chosen=_newest_two(projects.values()),
        )

    def show_run(self, request: Request) -> Response:
        """Show one run."""
        platform = self._shell.platform
        run = platform.runs.show(request.path_params["run"])
        datasets = platform.datasets.list(run.project)
        return self._shell.pages.render(
            request,
            "run.html",
            run=run,
            about=_about(run),
            stages=STAGES,
            dataset=next((one.id for one in datasets if one.dataset.digest == run.dataset), None),
            live=[
                one.route
                for one in platform.deployments.list()
                if one.live and run.release is not None and run.release in (one.release, one.canary)
            ],
            axis=holding(run.report.metrics.values() if run.report else ()),
            names=self._shell.names(),
        )

    def compare(self, request: Request) -> Response:
        """Show two runs side by side."""
        first, second = (request.path_params[name] for name in ("run", "second"))
        if first == second:
            raise RequestError(f"{first} was chosen twice.", remedy="Choose two runs.")
        found = self._shell.platform.runs.compare(first, second)
        pairs = _pairs(found.first, found.second)
        told = found.comparison
        return self._shell.pages.render(
            request,
            "runs_compared.html",
            found=found,
            changed=[(c.key, (_written(c.first), _written(c.second))) for c in found.changed],
            about=(_about(found.first), _about(found.second)),
            stages=STAGES,
            used=[s for s in STAGES if s in found.first.seconds or s in found.second.seconds],
            pairs=pairs,
            axis=holding(one for _, both in pairs for one in both),
            better=_better(told) if told else "",
            difference=around_zero(told.difference) if told else None,
        )


@dataclass(frozen=True)
class Listed:
    """A project's runs as a room lists them."""

    runs: Sequence[Run]
    #: How many older ones are left out.
    older: int
    #: What the headline metrics of all of them lie on.
    axis: Axis


def by_project(runs: Sequence[Run]) -> dict[str, Listed]:
    """Return runs by their project, in the order that they have."""
    projects: dict[str, list[Run]] = {}
    for run in runs:
        projects.setdefault(run.project, []).append(run)
    return {
        name: Listed(every[:MOST], max(0, len(every) - MOST), holding(map(headline, every)))
        for name, every in projects.items()
    }


def headline(run: Run) -> Measurement | None:
    """Return the metric by which a run's model is compared, or None where nothing was measured."""
    return run.report.metrics.get(run.report.headline) if run.report else None


def _newest_two(projects: Iterable[Listed]) -> tuple[str, ...]:
    """Return the newest runs with a report of the first project that has two, or nothing."""
    for listed in projects:
        measured = [run.id for run in listed.runs if run.report]
        if len(measured) > 1:
            return tuple(measured[:2])
    return ()


def _about(run: Run) -> dict[str, str]:
    """Return what was run on what, as far as the record says: older ones have other settings."""
    train = run.resolved.get("train")
    told = {
        "task": run.resolved.get("task"),
        "base": run.resolved.get("base"),
        "method": train.get("method") if isinstance(train, dict) else None,
    }
    return {name: str(value) for name, value in told.items() if value}


def _written(value: Any) -> str:
    """Return a setting as it is shown; a dash where there is none."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pairs(
    first: Run, second: Run
) -> list[tuple[str, tuple[Measurement | None, Measurement | None]]]:
    """Return every metric that one of two runs has, with both values."""
    one, other = (run.report.metrics if run.report else {} for run in (first, second))
    return [(name, (one.get(name), other.get(name))) for name in {**one, **other}]


def _better(found: Comparison) -> str:
    """Return which of two models is better beyond chance: "first", "second" or "neither"."""
    if found.difference.low > 0:
        return "first"
    return "second" if found.difference.high < 0 else "neither"
