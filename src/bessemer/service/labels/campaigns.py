"""Labelling campaigns: begun, filled, asked from, answered, settled, closed."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.labelling import (
    Campaign,
    Disagreement,
    Guideline,
    Imported,
    Item,
    NewCampaign,
    NewItem,
    Progress,
    Said,
    Vote,
)
from bessemer.service.home import Home
from bessemer.service.labels import agreement, asking, files, rows
from bessemer.service.labels.rules import (
    Rules,
    check_campaign,
    check_guideline,
    check_items,
)
from bessemer.store import tables


class Campaigns:
    """The campaigns of a home. Each is named by its id, or by its project for the newest one."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self, project: str | None = None) -> builtins.list[Campaign]:
        """Return all campaigns, or a project's, newest first."""
        with self._home.database.begin() as connection:
            return rows.campaigns(connection, project)

    def show(self, campaign: str) -> Progress:
        """Return where a campaign stands, how far its annotators agree and how well they work.

        Raises:
            UnknownNameError: There is no such campaign.
        """
        with self._within(campaign) as (connection, found):
            return agreement.counted(connection, found)

    def new(
        self, asked: NewCampaign, items: Sequence[NewItem] = (), guideline: str = ""
    ) -> Campaign:
        """Begin a campaign.

        Args:
            asked: What is to be labelled, by how many, for how long.
            items: The first items, in the order in which they are asked.
            guideline: What annotators are told, or "".

        Raises:
            UserError: It is none that can be begun.
            DataError: An item cannot be asked; nothing is begun then.
        """
        rules = check_campaign(asked)
        checked = check_items(rules, items)
        table, home = tables.campaigns, self._home
        with home.database.begin() as connection:
            last = sa.select(sa.func.max(table.c.number)).where(table.c.project == asked.project)
            number = (connection.execute(last).scalar() or 0) + 1
            made = Campaign(
                **dict(asked),
                id=f"{asked.project}@{number}",
                state="open",
                created_at=home.clock(),
                by=home.actor,
            )
            rows.begin(connection, made, number)
            home.event(connection, "campaign begun", made.id, task=made.task)
            if guideline:
                self._guide(connection, made, guideline)
        rows.add_all(home, made, checked)
        return made

    def add(self, campaign: str, items: Sequence[NewItem]) -> int:
        """Append items; those whose key the campaign has already are left out.

        Items are written some thousands at a time, so that annotators are not kept waiting; what
        a crash left out may be added again.

        Returns:
            How many were new.

        Raises:
            UnknownNameError: There is no such campaign.
            DataError: An item cannot be asked; none is added then.
        """
        with self._within(campaign) as (_, found):
            rules = Rules(found)
        return rows.add_all(self._home, found, check_items(rules, items))

    def close(self, campaign: str) -> Campaign:
        """Let nobody be asked any more; a closed campaign stays as it is.

        Raises:
            UnknownNameError: There is no such campaign.
        """
        return self._switch(campaign, "closed")

    def open(self, campaign: str) -> Campaign:
        """Let a closed campaign go on; an open one stays as it is.

        Raises:
            UnknownNameError: There is no such campaign.
        """
        return self._switch(campaign, "open")

    def guide(self, campaign: str, text: str) -> Guideline:
        """Tell annotators something else from now on; later answers name the new version.

        Raises:
            UnknownNameError: There is no such campaign.
            RequestError: The text is empty or too long.
        """
        with self._within(campaign) as (connection, found):
            return self._guide(connection, found, text)

    def next(self, campaign: str, annotator: str) -> Item | None:
        """Return what an annotator is to label now, kept for them for ten minutes.

        That is what they have before them already, else the lowest number that needs a label,
        that they have neither labelled nor skipped, and that others do not have before them. An
        item whose answer is known is put to every annotator.

        Returns:
            The item, or None: nothing is left for them, the budget is spent, or it is closed.

        Raises:
            UnknownNameError: There is no such campaign.
        """
        with self._within(campaign) as (connection, found):
            return next(iter(asking.ask(self._home, connection, found, annotator, 1)), None)

    def hold(self, campaign: str, annotator: str) -> builtins.list[Item]:
        """Return what `next` would, and the item after it, kept as long.

        A page that holds both shows the second as soon as the first is answered.
        """
        with self._within(campaign) as (connection, found):
            return asking.ask(self._home, connection, found, annotator, 2)

    def say(
        self,
        campaign: str,
        item: int,
        annotator: str,
        *,
        label: str | None = None,
        skipped: str = "",
        seconds: float = 0.0,
        suggested: bool = True,
    ) -> Said:
        """Keep what an annotator says of an item; it is on the disk when this returns.

        The same answer sent twice is kept once.

        Args:
            campaign: The campaign.
            item: Number of the item.
            annotator: Who says it.
            label: As in a label column, or None to skip the item.
            skipped: Why it is skipped, or "".
            seconds: From the item's appearance to the answer; what is longer than a lease counts
                as one, since a page that was left open is no work.
            suggested: Whether suggestions were shown.

        Raises:
            UnknownNameError: There is no such campaign, item or label.
            RequestError: The answer is not understood, or not within the text.
            ConflictError: The annotator has said something else of it, the item has all its
                labels or is kept for others, or the campaign is closed.
        """
        vote = Vote(
            annotator=annotator,
            label=label,
            skipped=skipped,
            seconds=seconds,
            suggested=suggested,
            at=self._home.clock(),
        )
        with self._within(campaign) as (connection, found):
            return asking.say(self._home, connection, found, item, vote)

    def undo(self, campaign: str, annotator: str, item: int | None = None) -> Item:
        """Withdraw an annotator's newest answer, and put its item before them again.

        Args:
            campaign: The campaign.
            annotator: Whose answer it is.
            item: Withdraws their answer to this item instead. Sent twice, it is done once.

        Raises:
            UnknownNameError: There is no such campaign.
            ConflictError: They have no answer, the item is settled, or the campaign is closed.
        """
        with self._within(campaign) as (connection, found):
            return asking.undo(self._home, connection, found, annotator, item)

    def disagreements(self, campaign: str, most: int | None = None) -> builtins.list[Disagreement]:
        """Return the items that annotators called differently and nobody has settled.

        Args:
            campaign: The campaign.
            most: How many are wanted, the first ones; None for all.

        Raises:
            UnknownNameError: There is no such campaign.
        """
        with self._within(campaign) as (connection, found):
            return agreement.disagreements(connection, found, most)

    def settle(self, campaign: str, item: int, annotator: str, label: str) -> Said:
        """Say for all what an item is; it may be said again, otherwise.

        Raises:
            UnknownNameError: There is no such campaign, item or label.
            RequestError: The answer is not understood, or not within the text.
            ConflictError: The item's answer is known.
        """
        vote = Vote(annotator=annotator, label=label, final=True, at=self._home.clock())
        with self._within(campaign) as (connection, found):
            return asking.settle(self._home, connection, found, item, vote)

    def items(self, campaign: str) -> builtins.list[Item]:
        """Return all items in their order.

        Raises:
            UnknownNameError: There is no such campaign.
        """
        with self._within(campaign) as (connection, found):
            return rows.items(connection, found.id)

    def answers(self, campaign: str) -> builtins.list[Said]:
        """Return all answers that were not withdrawn, oldest first.

        Raises:
            UnknownNameError: There is no such campaign.
        """
        with self._within(campaign) as (connection, found):
            return rows.votes(connection, found.id)

    def export(
        self, campaign: str, path: str | Path, form: str | None = None, joined: bool = False
    ) -> Path:
        """Write all items and votes to a file, which is whole or absent.

        Args:
            campaign: The campaign.
            path: The file; an existing one is replaced.
            form: `csv`, `jsonl`, `label-studio`, `conll`, or an ending of files, as `.csv`; by
                default the file's own.
            joined: One row an item, with what its votes make probable, instead of one a vote.

        Raises:
            UnknownNameError: There is no such campaign or form.
            RequestError: The form cannot hold the task's answers.
            StorageError: The disk is full or refuses.
        """
        with self._within(campaign) as (_, found):
            pass
        return files.export(self._home, found, Path(path), form, joined=joined)

    def import_(
        self,
        campaign: str,
        path: str | Path,
        form: str | None = None,
        annotator: str = "import",
    ) -> Imported:
        """Read items and votes from a file into a campaign.

        Items of keys that the campaign has are taken for these; votes of annotators who have
        voted on an item are left out, so that a file may be imported twice. All of the file is
        checked before anything is written.

        Args:
            campaign: The campaign.
            path: The file.
            form: As in `export`.
            annotator: Whose the votes are for which the file names nobody.

        Raises:
            UnknownNameError: There is no such campaign or form.
            DataError: The file is not of that form, or holds what the campaign cannot have.
            TooLargeError: The file is too large.
        """
        with self._within(campaign) as (_, found):
            pass
        return files.bring(self._home, found, Path(path), form, annotator)

    @contextlib.contextmanager
    def _within(self, campaign: str) -> Iterator[tuple[Connection, Campaign]]:
        """Yield a transaction, and the campaign of a name as it is inside."""
        with self._home.database.begin() as connection:
            yield connection, rows.campaign(connection, campaign)

    def _switch(self, campaign: str, state: Literal["open", "closed"]) -> Campaign:
        table = tables.campaigns
        with self._within(campaign) as (connection, found):
            if found.state != state:
                change = sa.update(table).where(table.c.id == found.id).values(state=state)
                connection.execute(change)
                verb = "campaign closed" if state == "closed" else "campaign opened"
                self._home.event(connection, verb, found.id)
        return found.model_copy(update={"state": state})

    def _guide(self, connection: Connection, campaign: Campaign, text: str) -> Guideline:
        check_guideline(text)
        before = rows.guideline(connection, campaign.id)
        made = Guideline(
            version=before.version + 1 if before else 1,
            text=text,
            at=self._home.clock(),
            by=self._home.actor,
        )
        connection.execute(sa.insert(tables.guidelines).values(**dict(made), campaign=campaign.id))
        self._home.event(connection, "guideline written", campaign.id, version=made.version)
        return made
