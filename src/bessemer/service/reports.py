"""Reports: read again as they were made, as a record and as a page."""

from __future__ import annotations

from importlib import resources

from bessemer.core.errors import UnknownNameError
from bessemer.core.language import LANGUAGES
from bessemer.core.report import ReportDocument
from bessemer.service.evaluations import Evaluation, read, run_of
from bessemer.service.home import Home


class Reports:
    """The reports of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def show(self, run: str) -> ReportDocument:
        """Return a report, the texts that it shows, and what became of it.

        Args:
            run: A run, a release as `support-intents@3`, or a project for its newest report.

        Raises:
            UnknownNameError: There is no such run or release.
            RequestError: It has no report.
        """
        return _document(Evaluation(self._home, run_of(self._home, run)))

    def page(self, run: str, language: str = "en") -> str:
        """Return a report as one HTML file that needs nothing else.

        Args:
            run: See `show`.
            language: `en` or `zh`.

        Raises:
            UnknownNameError: There is no such run, release or language.
        """
        from bessemer.evaluate.page.page import page

        if language not in LANGUAGES:
            raise UnknownNameError("language", language, LANGUAGES)
        measured = Evaluation(self._home, run_of(self._home, run))
        return page(_document(measured), measured.dataset, language)

    def sections(self, document: ReportDocument, language: str) -> list[tuple[str, str, str]]:
        """Return a report's sections for a page that has `stylesheet`.

        Args:
            document: The report.
            language: `en` or `zh`.

        Returns:
            An id, a heading and HTML, which wants an element of class "report" around it.
        """
        from bessemer.evaluate.page.page import sections

        return [*sections(document, language)]

    def stylesheet(self) -> str:
        """Return the style sheet that `sections` want."""
        style = resources.files("bessemer.evaluate.page").joinpath("report.css")
        return style.read_text(encoding="utf-8")


def _document(made: Evaluation) -> ReportDocument:
    """Return what an evaluation left behind as the record that the doors hand on."""
    run, project = made.run, made.project
    report, examples = read(made.stage("evaluate"))
    return ReportDocument(
        run=run.id,
        project=run.project,
        release=run.release,
        at=run.started_at,
        about={
            "task": project.task,
            "base": project.base,
            "method": project.train.method,
            "source": project.data.source,
            "dataset": run.dataset or "",
        },
        report=report,
        examples=examples,
        verdict=run.verdict,
        judged=run.judged,
        limit=project.evaluate.judgements,
    )
