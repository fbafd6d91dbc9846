"""Data sets: named when they are made, listed, shown, compared, exported."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from bessemer.core import folder
from bessemer.core.dataset import Dataset
from bessemer.core.datasets import Difference, Exported, Form, NamedDataset, Use
from bessemer.core.errors import CorruptError, RequestError, UnknownNameError
from bessemer.core.project import Project
from bessemer.service import packaging
from bessemer.service.dataset_rows import Reader
from bessemer.service.home import Home
from bessemer.store import tables
from bessemer.store.database import utc
from bessemer.tasks.base import Task

#: What the beginning of a digest looks like, where it stands for a data set.
_DIGEST = re.compile(r"[0-9a-f]{6,64}")


class Datasets:
    """The data sets of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self, project: str | None = None) -> builtins.list[NamedDataset]:
        """Return all data sets, or a project's, newest first, without their profiles."""
        table = tables.datasets
        query = sa.select(table.c.record).order_by(table.c.project, table.c.number.desc())
        if project is not None:
            query = query.where(table.c.project == project)
        with self._home.database.begin() as connection:
            rows = connection.execute(query).scalars().all()
            uses = _uses(connection)
        found = [NamedDataset.model_validate({**row, "profile": None}) for row in rows]
        found.sort(key=lambda one: one.created_at, reverse=True)
        return [_used(one, uses) for one in found]

    def show(self, dataset: str) -> NamedDataset:
        """Return one data set with its profile and the runs that it went into.

        Args:
            dataset: As `support-intents.3`, a project's name for its newest one, or the first six
                or more digits of a digest.

        Raises:
            UnknownNameError: There is no such data set.
            RequestError: Several digests begin so.
        """
        table = tables.datasets
        columns = sa.select(table.c.id, table.c.project, table.c.digest)
        newest = columns.order_by(table.c.number.desc())
        with self._home.database.begin() as connection:
            known = connection.execute(newest).all()
            named = [row.id for row in known if dataset in (row.id, row.project)]
            if not named and _DIGEST.fullmatch(dataset):
                begun = [row for row in known if row.digest.startswith(dataset)]
                if len({row.digest for row in begun}) > 1:
                    raise RequestError(
                        f"Several data sets' digests begin with {dataset!r}.",
                        remedy=f"They are {', '.join(sorted(row.id for row in begun))}.",
                    )
                named = [row.id for row in begun]
            if not named:
                raise UnknownNameError("data set", dataset, [row.id for row in known])
            query = sa.select(table.c.record).where(table.c.id == named[0])
            record = connection.execute(query).scalar()
            uses = _uses(connection)
        return _used(NamedDataset.model_validate(record), uses)

    def diff(self, first: str, second: str) -> Difference:
        """Compare two data sets row by row.

        Args:
            first: What it was; named as in `show`.
            second: What it is.

        Raises:
            UnknownNameError: There is no such data set.
            CorruptError: The rows of one are gone or were changed.
        """
        from bessemer.prepare.differences import difference

        readers = [self.reader(self.show(name)) for name in (first, second)]
        return difference(*(reader.compared() for reader in readers))

    def export(
        self, dataset: str, path: str | Path, form: Form = "csv", split: str | None = None
    ) -> Exported:
        """Write a data set's rows, its card and `croissant.json` into a new folder.

        Args:
            dataset: Named as in `show`.
            path: The folder; it appears whole or not at all.
            form: csv (what a spreadsheet would take for a formula gets an apostrophe before it),
                jsonl, parquet, or conll for labelled spans.
            split: Rows of this split only; by default of all, with a column that says which.

        Raises:
            UnknownNameError: There is no such data set, split or form.
            ConflictError: There is something at `path` already.
            StorageError: The disk is full or refuses.
        """
        target = Path(path).absolute()
        folder.check_new(target)
        reader = self.reader(self.show(dataset))
        with folder.atomic_folder(target) as aside:
            files = packaging.write(reader, form, split, lambda name: (aside / name).open("wb"))
        return packaging.exported(reader, form, split, files, str(target))

    def zipped(self, dataset: str, form: Form, split: str | None) -> tuple[str, Iterator[bytes]]:
        """Return an export as a zip file: its name and its pieces. Errors come before these."""
        named = self.show(dataset)
        work = self._home.root / "work"
        return f"{named.id}.{form}.zip", packaging.zipped(self.reader(named), form, split, work)

    def reader(self, named: NamedDataset) -> Reader:
        """Return what reads a data set's rows.

        Raises:
            CorruptError: They are gone.
        """
        path = self._home.stages.path("prepare", named.dataset.digest)
        if not (path / folder.MANIFEST).is_file():
            raise CorruptError(
                f"The rows of {named.id} are not there: {path} is missing or not whole.",
                remedy="Restore the home folder, or prepare the data again.",
            )
        return Reader(path, named)

    def register(self, project: Project, dataset: Dataset, task: Task) -> NamedDataset:
        """Give a finished data set the project's next number; the same one keeps its own."""
        from bessemer.prepare.profile import profile

        table = tables.datasets
        mine = (table.c.project == project.name) & (table.c.digest == dataset.digest)
        known = sa.select(table.c.record).where(mine)
        with self._home.database.begin() as connection:
            if (found := connection.execute(known).scalar()) is not None:
                return NamedDataset.model_validate(found)
        made = NamedDataset(
            id=project.name,
            project=project.name,
            number=0,
            created_at=self._home.clock(),
            task=project.task,
            label_rules=project.data.labels,
            identified=project.data.columns.id is not None,
            dataset=dataset,
        )
        reader = self.reader(made)
        batches = {split: reader.batches(split, ("text", "label")) for split in made.splits}
        made = made.model_copy(update={"profile": profile(batches, task)})
        with self._home.database.begin() as connection:
            # Another process may have come first while the rows were counted.
            if (found := connection.execute(known).scalar()) is not None:
                return NamedDataset.model_validate(found)
            newest = sa.select(sa.func.max(table.c.number)).where(table.c.project == project.name)
            number = (connection.execute(newest).scalar() or 0) + 1
            made = made.model_copy(update={"id": f"{project.name}.{number}", "number": number})
            connection.execute(
                sa.insert(table).values(
                    id=made.id,
                    project=project.name,
                    number=number,
                    digest=dataset.digest,
                    record=made.model_dump(mode="json"),
                )
            )
            self._home.event(connection, "prepared", made.id, digest=dataset.digest)
        return made


def _uses(connection: sa.Connection) -> dict[tuple[str, str], builtins.list[Use]]:
    """Return the runs that each data set went into, by project and digest, newest first."""
    table = tables.runs
    digest = table.c.record["dataset"].as_string()
    query = (
        sa.select(
            table.c.id,
            table.c.project,
            table.c.state,
            table.c.started_at,
            digest.label("dataset"),
            table.c.record["release"].as_string().label("release"),
            table.c.record["seconds"]["train"].as_float().label("train"),
        )
        .where(digest.is_not(None))
        .order_by(table.c.started_at.desc())
    )
    found: dict[tuple[str, str], builtins.list[Use]] = {}
    for row in connection.execute(query):
        use = Use(
            run=row.id,
            state=row.state,
            started_at=utc(row.started_at),
            trained=row.train is not None,
            release=row.release,
        )
        found.setdefault((row.project, row.dataset), []).append(use)
    return found


def _used(named: NamedDataset, uses: dict[tuple[str, str], builtins.list[Use]]) -> NamedDataset:
    mine = uses.get((named.project, named.dataset.digest), [])
    return named.model_copy(update={"uses": tuple(mine)})
