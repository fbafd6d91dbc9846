"""Reports: read again as they were made, as a record and as a page."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from bessemer.core.errors import UnknownNameError
from bessemer.core.report import ReportDocument
from bessemer.service.home import Home
from bessemer.service.measured import Measured, read, run_of

if TYPE_CHECKING:
    from bessemer.core.dataset import Dataset
    from bessemer.evaluate.page.page import Subject


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
        measured = Measured(self._home, run_of(self._home, run))
        found, project = measured.run, measured.project
        report, examples = read(measured.stage("evaluate"))
        return ReportDocument(
            run=found.id,
            project=found.project,
            release=found.release,
            at=found.started_at,
            about={
                "task": project.task,
                "base": project.base,
                "method": project.train.method,
                "source": project.data.source,
                "dataset": found.dataset or "",
            },
            report=report,
            examples=examples,
            verdict=found.verdict,
            judged=found.judged,
            limit=project.evaluate.judgements,
        )

    def page(self, run: str, language: str = "en") -> str:
        """Return a report as one HTML file that needs nothing else.

        Args:
            run: See `show`.
            language: `en` or `zh`.

        Raises:
            UnknownNameError: There is no such run, release or language.
        """
        from bessemer.evaluate.page.language import LANGUAGES
        from bessemer.evaluate.page.page import page

        if language not in LANGUAGES:
            raise UnknownNameError("language", language, LANGUAGES)
        found = self.show(run)
        dataset = Measured(self._home, run_of(self._home, run)).dataset
        return page(found.report, found.examples, _subject(found, dataset), language)

    def sections(self, found: ReportDocument, language: str = "en") -> list[tuple[str, str, str]]:
        """Return a report's sections for a page that has `stylesheet`.

        Args:
            found: The report.
            language: `en` or `zh`.

        Returns:
            An id, a heading and HTML, which wants an element of class "report" around it.
        """
        from bessemer.evaluate.page.page import sections

        return [*sections(found.report, found.examples, _subject(found), language)]

    def stylesheet(self) -> str:
        """Return the style sheet that `sections` want."""
        style = resources.files("bessemer.evaluate.page").joinpath("report.css")
        return style.read_text(encoding="utf-8")


def _subject(found: ReportDocument, dataset: Dataset | None = None) -> Subject:
    from bessemer.evaluate.page.page import Subject

    about = {"project": found.project, "run": found.run, **found.about}
    # The page tells of the data set at length.
    del about["dataset"], about["source"]
    if found.release is not None:
        about["release"] = found.release
    about["date"] = f"{found.at:%Y-%m-%d %H:%M} UTC"
    return Subject(
        title=found.release or found.project,
        about=about,
        verdict=found.verdict,
        judged=found.judged,
        limit=found.limit,
        dataset=dataset,
    )
