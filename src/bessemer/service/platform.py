"""The composition root: everything that can be done with a home folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bessemer.core.dataset import Inspection
from bessemer.core.labelling import Round
from bessemer.core.progress import Watcher
from bessemer.core.records import Check, Deployment, Run, Until
from bessemer.core.report import Comparison
from bessemer.service import project_file
from bessemer.service.aliases import Aliases
from bessemer.service.datasets import Datasets
from bessemer.service.deployments import Deployments
from bessemer.service.home import Home, open_home
from bessemer.service.jobs import Jobs
from bessemer.service.keys import Keys
from bessemer.service.labels.campaigns import Campaigns
from bessemer.service.releases import Releases
from bessemer.service.reports import Reports
from bessemer.service.runs import Runs

if TYPE_CHECKING:
    from bessemer.service.serving import Serving


class Platform:
    """The verbs as methods, the nouns as attributes; `client.Client` has the same ones."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.runs = Runs(home)
        self.datasets = Datasets(home)
        self.reports = Reports(home)
        self.releases = Releases(home)
        self.deployments = Deployments(home)
        self.aliases = Aliases(home)
        self.keys = Keys(home)
        self.campaigns = Campaigns(home)
        self.jobs = Jobs(home)

    @classmethod
    def open(cls, root: str | Path | None = None) -> Platform:
        """Open a home folder; see `service.home.open_home`."""
        return cls(open_home(root))

    def acting_for(self, actor: str) -> Platform:
        """Return the same platform on behalf of the key `actor`."""
        other = Platform(self.home.acting_for(actor))
        other.jobs = self.jobs.acting_for(other.home)
        return other

    def serving(self, policy: str = "length-window") -> Serving:
        """Return what a serving process runs; a door starts and stops it.

        Args:
            policy: By which texts that wait are put into batches; see `serve.policies`.

        Raises:
            UnknownNameError: There is no such policy.
        """
        from bessemer.service.serving import Serving

        return Serving(self.home, self.jobs, policy)

    def init(self, table: str | Path, *, name: str = "", text: str = "", label: str = "") -> Path:
        """Write a `bessemer.yaml` beside a table, from what its columns look like.

        Args:
            table: A csv, jsonl or parquet file, or a folder.
            name: Of the product; by default the table's file name.
            text: Column with the text; by default guessed.
            label: Column with the label; by default guessed.

        Raises:
            ConflictError: There is a project file already.
            DataError: The table cannot be read, or its columns cannot be guessed.
        """
        from bessemer.service import initialise

        return initialise.init(Path(table), name=name, text=text, label=label)

    def check(self, project: str | Path, watcher: Watcher | None = None) -> Check:
        """Validate a project file and its data; nothing slow runs.

        Raises:
            UserError: Something is wrong; the message says what and where.
        """
        from bessemer.service.running import check

        return check(self.home, project_file.load(Path(project)), watcher)

    def inspect(self, project: str | Path, watcher: Watcher | None = None) -> Inspection:
        """Rank the rows of a data set by how probably their label is wrong; nothing is changed.

        Raises:
            ProjectError: The task is of another family than labels of whole texts.
        """
        from bessemer.service.inspecting import inspect

        return inspect(self.home, project_file.load(Path(project)), watcher or Watcher())

    def label(
        self,
        project: str | Path,
        *,
        items: int | None = None,
        strategy: str | None = None,
        watcher: Watcher | None = None,
    ) -> Round:
        """Choose texts of the project's pool and put them up for labelling.

        Items go to the project's open campaign; without one a campaign is begun.

        Args:
            project: The project file, or its folder.
            items: How many; by default `label.items`.
            strategy: How they are chosen; by default `label.strategy`, or `typical` while there
                are fewer labels than kinds of them. `suspects` puts up rows of the data set
                whose label is probably wrong.
            watcher: Is told of stages and steps.

        Returns:
            What was put up, and what the next labels are likely to add.

        Raises:
            UserError: There is nothing to choose from, the budget is spent, or the open campaign
                is for something else.
        """
        from bessemer.service.labels.choosing import label

        loaded = project_file.load(Path(project))
        return label(self.home, loaded, items, strategy, watcher or Watcher())

    def run(
        self,
        project: str | Path,
        *,
        until: Until = "deploy",
        override: str | None = None,
        watcher: Watcher | None = None,
    ) -> Run:
        """Go from the table to a deployed release, or as far as asked.

        Finished stages are reused; an interrupted training goes on where it was.

        Args:
            project: The project file, or its folder.
            until: The last thing to do.
            override: An owner's reason to release in spite of the gate; it stands in the signed
                release and in an event. Where the gate passes it means nothing.
            watcher: Is told of stages and steps.

        Returns:
            The run's record; its state is "gate failed" when the gate let nothing pass.

        Raises:
            ForbiddenError: Somebody else than an owner overrides the gate.
        """
        from bessemer.service.running import run

        loaded = project_file.load(Path(project))
        return run(self.home, loaded, until, watcher or Watcher(), override=override)

    def prepare(self, project: str | Path, *, watcher: Watcher | None = None) -> Run:
        """Run as far as the checked and split rows."""
        return self.run(project, until="prepare", watcher=watcher)

    def train(self, project: str | Path, *, watcher: Watcher | None = None) -> Run:
        """Run as far as the weights."""
        return self.run(project, until="train", watcher=watcher)

    def evaluate(self, project: str | Path, *, watcher: Watcher | None = None) -> Run:
        """Run as far as the report."""
        return self.run(project, until="evaluate", watcher=watcher)

    def release(
        self,
        project: str | Path,
        *,
        override: str | None = None,
        watcher: Watcher | None = None,
    ) -> Run:
        """Run as far as the signed release, and deploy nothing; see `run`."""
        return self.run(project, until="release", override=override, watcher=watcher)

    def compare(self, first: str, second: str) -> Comparison:
        """Hold two models against each other on the test rows that both were measured on.

        Args:
            first: A run, a release as `support-intents@3`, or a project for its newest report.
            second: Another.

        Raises:
            UnknownNameError: There is no such run or release.
            RequestError: They cannot be compared; the message says why.
        """
        from bessemer.service.comparing import compare

        return compare(self.home, first, second)

    def deploy(
        self, release: str, route: str | None = None, canary: float | None = None
    ) -> Deployment:
        """Let a route serve a release, or a share of its callers; see `Deployments.deploy`."""
        return self.deployments.deploy(release, route, canary)
