"""The campaign that a project's items are put up in: what it has asked, what it still may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bessemer.core.errors import ConflictError, ProjectError
from bessemer.core.labelling import Campaign, Forecast, NewCampaign, NewItem, Round
from bessemer.service.home import Home
from bessemer.service.labels import candidates
from bessemer.service.labels.campaigns import Campaigns
from bessemer.service.project_file import Loaded, at
from bessemer.tasks.base import Task

#: Bytes of a guideline's file.
MOST_GUIDELINE = 1_000_000


class Asked:
    """A project's campaigns: what they have found, and the open one, if there is one.

    Raises:
        ConflictError: The open one was begun for other labels or by other rules.
        ProjectError: The guideline cannot be read.
    """

    def __init__(self, home: Home, loaded: Loaded, task: Task) -> None:
        self._campaigns = Campaigns(home)
        self._project = loaded.project
        block, rules = loaded.project.label, loaded.project.data.labels
        labels = task.labels
        if rules.out_of_scope and rules.out_of_scope not in labels:
            labels = (*labels, rules.out_of_scope)
        self._wanted = NewCampaign(
            project=loaded.project.name,
            task=loaded.project.task,
            labels=labels,
            separator=rules.separator,
            overlap=block.overlap,
            budget_labels=block.budget.labels,
            budget_minutes=block.budget.minutes,
        )
        self._guideline = _guideline(loaded)
        #: What was found, and all texts that were asked, as `candidates.alike` makes them.
        self.found, self.texts = candidates.of_campaigns(home, loaded.project, task)
        listed = self._campaigns.list(loaded.project.name)
        self._open = next((one for one in listed if one.state == "open"), None)
        if self._open is not None:
            self._check(self._open)

    def room(self, count: int) -> int:
        """Return how many of `count` items the campaign's budget allows.

        Raises:
            ConflictError: None: it is spent, or bound by items that wait.
        """
        if self._open is None:
            allowed, minutes = self._wanted.budget_labels, 0.0
        else:
            progress = self._campaigns.show(self._open.id)
            minutes, allowed = progress.minutes, self._wanted.budget_labels
            if allowed is not None:
                allowed -= progress.items * self._wanted.overlap
        left = count if allowed is None else min(count, allowed // self._wanted.overlap)
        spent = self._wanted.budget_minutes is not None and minutes >= self._wanted.budget_minutes
        if left < 1 or spent:
            told = f"{minutes:.0f} minutes" if spent else f"{self._wanted.budget_labels} labels"
            raise ConflictError(
                f"The budget of {self._project.name} is spent, or bound by items that wait:"
                f" {told}.",
                remedy="Close the campaign, raise label.budget, and ask again.",
            )
        return left

    def with_tests(self, new: Sequence[NewItem], tests: Sequence[NewItem]) -> list[NewItem]:
        """Return items with some among them whose answer is known, that were not asked before.

        Which ones, and where they stand, is drawn anew each time, from the project's seed.
        """
        fresh = [item for item in tests if candidates.alike(item.text) not in self.texts]
        draw = np.random.default_rng([self._project.seed, len(self.texts)])
        count = min(round(self._project.label.gold * len(new)), len(fresh))
        mixed = list(new)
        for row in draw.choice(len(fresh), count, replace=False).tolist():
            mixed.insert(int(draw.integers(len(mixed) + 1)), fresh[row])
        return mixed

    def put_up(
        self,
        items: Sequence[NewItem],
        strategy: str,
        *,
        labels: int,
        pool: int,
        forecast: Forecast | None,
    ) -> Round:
        """Add items to the open campaign, or begin one with them; see `Round`."""
        campaigns = self._campaigns
        if self._open is None:
            campaign = campaigns.new(self._wanted, items, self._guideline)
            added = len(items)
        else:
            campaign = self._open
            before = campaigns.show(campaign.id).guideline
            if self._guideline and (before is None or before.text != self._guideline):
                campaigns.guide(campaign.id, self._guideline)
            added = campaigns.add(campaign.id, items)
        return Round(
            campaign=campaign.id,
            strategy=strategy,
            items=added,
            gold=sum(item.gold is not None for item in items),
            labels=labels,
            pool=pool,
            forecast=forecast,
        )

    def _check(self, campaign: Campaign) -> None:
        """Refuse to add items to a campaign that was begun for something else."""
        names = NewCampaign.model_fields
        odd = [name for name in names if getattr(campaign, name) != getattr(self._wanted, name)]
        if odd:
            raise ConflictError(
                f"The open campaign {campaign.id} was begun with other"
                f" {', '.join(name.replace('_', ' ') for name in odd)} than the project file has.",
                remedy=f"Close it with `bessemer campaigns close {campaign.id}`; then a new one"
                " is begun, and what it found is kept.",
            )


def _guideline(loaded: Loaded) -> str:
    name = loaded.project.label.guideline
    if name is None:
        return ""
    path = loaded.folder / name
    try:
        if path.stat().st_size > MOST_GUIDELINE:
            raise ValueError(f"it has more than {MOST_GUIDELINE:,} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ProjectError(
            f"{at(loaded, ('label', 'guideline'))}{name} cannot be read as a text: {error}.",
            remedy="Name a text file in UTF-8.",
        ) from error
