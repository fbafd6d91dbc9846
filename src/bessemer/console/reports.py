"""The room *Reports*: what each model is worth, where it is weak, and the page to hand on."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bessemer.console import language
from bessemer.console.runs import by_project, headline
from bessemer.console.shell import Shell
from bessemer.core.records import Run

#: Name of the room in addresses and messages.
NAME = "reports"


def routes(shell: Shell) -> list[Route]:
    """Return the room's addresses."""
    room = Room(shell)
    one = f"{shell.address(NAME)}/{{run}}"
    return [
        Route(shell.address(NAME), room.show),
        Route(f"{shell.address(NAME)}/report.css", room.stylesheet),
        Route(one, room.show_report),
        Route(f"{one}/page", room.page),
    ]


class Room:
    """The room's pages."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Show all reports by project."""
        projects = by_project([run for run in self._shell.platform.runs.list() if run.report])
        return self._shell.pages.render(
            request,
            "reports.html",
            projects=projects,
            headline=headline,
            worn=_worn,
        )

    def show_report(self, request: Request) -> Response:
        """Show one report."""
        reports = self._shell.platform.reports
        document = reports.show(request.path_params["run"])
        return self._shell.pages.render(
            request,
            "report.html",
            document=document,
            sections=reports.sections(document, language.chosen(request)),
        )

    def page(self, request: Request) -> Response:
        """Send a report as one file in the reader's language."""
        reports, run = self._shell.platform.reports, request.path_params["run"]
        page = reports.page(run, language.chosen(request))
        # There is such a run, release or project: the name has nothing that a header minds.
        held = {"Content-Disposition": f'attachment; filename="{run}.html"'}
        return HTMLResponse(page, headers=held)

    def stylesheet(self, request: Request) -> Response:
        """Send the style sheet of a report's sections."""
        return Response(self._shell.platform.reports.stylesheet(), media_type="text/css")


def _worn(run: Run) -> bool:
    """Return whether the run's test split has judged more models than it may."""
    return run.judged is not None and run.judged > run.resolved["evaluate"]["judgements"]
