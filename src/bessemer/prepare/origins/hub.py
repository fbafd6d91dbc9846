"""Data sets of the Hugging Face hub, through its package `datasets`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from bessemer.core import digest
from bessemer.core.errors import BessemerError, DataError, OperatorError, needs
from bessemer.core.project import Data
from bessemer.prepare.origins.base import Fetched, Origin, Place, keep, room, whole

_NAME = re.compile(
    r"hub:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?"
    r"(/(?P<config>[^:/@]+))?(:(?P<split>[\w.-]+))?"
)
#: Kinds of files that hold texts, as `datasets` calls them; `cache` is what it made of them.
KINDS = ("csv", "json", "parquet", "arrow", "text", "cache")
#: Files in which a data set says where its tables lie.
CARD, SETTINGS = "README.md", ".huggingface.yaml"
FILE = "rows.parquet"
#: Rows that are copied at once.
COPIED_ROWS = 1_000


class Hub(Origin):
    """`hub:<owner>/<name>[@<revision>][/<config>][:<split>]`; without a split `train`.

    Its tables are kept in the caches of `datasets`, which is asked alone when HF_HUB_OFFLINE is
    set; the split's rows are copied as Parquet, numbered labels by their names. What a data set
    says about itself is not trusted: its tables lie in it, and nothing of it is run.
    """

    schemes = ("hub:",)
    public = True

    def fetch(self, name: str, data: Data, place: Place) -> Fetched:
        """Return the split's file; see `Origin.fetch`."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise DataError(
                f"{name!r} names no data set of the hub.",
                remedy="Write hub:<owner>/<name>, and where needed @<revision>, /<config>,"
                " :<split>.",
            )
        with needs("hub"):
            import datasets
        wanted, began = found.groupdict(), time.monotonic()
        repository, revision = wanted["repository"], wanted["revision"]
        datasets.disable_progress_bars()
        with _told(name):
            commit = _commit(repository, revision)
            licence = _licence(_card(name, repository, commit))
            target = _target(place, wanted, commit)
            if commit is not None and whole(target):
                return Fetched(target / FILE, licence)
            place.watcher.began("fetch")
            builder = datasets.load_dataset_builder(
                f"hf://datasets/{repository}", wanted["config"], revision=commit or revision
            )
            _check(name, builder, commit or revision)
            builder.download_and_prepare()
            rows = builder.as_dataset(split=_split(name, builder, wanted["split"]))
            with room(place) as aside:
                _write(rows, aside / FILE)
                path = keep(aside / FILE, _target(place, wanted, builder.hash), place, "hub")
        told = f"{len(rows):,} rows of {name}"
        place.watcher.ended("fetch", time.monotonic() - began, reused=False, note=told)
        return Fetched(path, licence)


def _target(place: Place, wanted: dict[str, Any], commit: str | None) -> Path:
    key = digest.of_json([wanted["repository"], commit, wanted["config"], wanted["split"]])
    return place.cache / f"hub-{key[:32]}"


def _commit(repository: str, revision: str | None) -> str | None:
    """Return the commit that a revision means, as far as it is known when offline."""
    from httpx import TransportError
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, OfflineModeIsEnabled

    try:
        # It leaves a note in the hub's cache of what the revision means.
        card = hf_hub_download(repository, CARD, repo_type="dataset", revision=revision)
        return Path(card).parent.name
    except EntryNotFoundError:
        pass
    try:
        found: str | None = HfApi().dataset_info(repository, revision=revision).sha
        return found
    except (OfflineModeIsEnabled, TransportError):
        return None


def _card(name: str, repository: str, commit: str | None) -> dict[str, Any]:
    """Return what a data set says about itself, after a look at where it says its tables lie.

    Raises:
        DataError: It names files elsewhere, as of this machine or its network.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    said: dict[str, Any] = {}
    for file in (CARD, SETTINGS) if commit is not None else ():
        try:
            path = hf_hub_download(repository, file, repo_type="dataset", revision=commit)
        except EntryNotFoundError:
            continue
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        if file == CARD:
            text = text.partition("---")[2].partition("\n---")[0] if text.startswith("---") else ""
        found = yaml.safe_load(text)
        said |= found if isinstance(found, dict) else {}
        if elsewhere := [one for one in _patterns(said.get("configs")) if not _inside(one)]:
            raise DataError(
                f"{name} says that its tables lie elsewhere: {elsewhere[0][:80]!r}.",
                remedy="Only tables in the data set are read: name another.",
            )
    return said


def _inside(pattern: str) -> bool:
    """Return whether a name leads neither out of its data set nor to another protocol."""
    return not (
        ".." in PurePosixPath(pattern).parts or pattern.startswith(("/", "~")) or ":" in pattern
    )


def _patterns(configs: Any) -> Iterator[str]:
    """Yield the names of files in a card's configs."""
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, dict):
            yield from _strings([config.get("data_files"), config.get("data_dir")])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value or ():
        if not isinstance(value, str):
            yield from _strings(one)


def _licence(card: dict[str, Any]) -> str | None:
    found = card.get("license")
    names = found if isinstance(found, list) else [found]
    return ", ".join(str(one) for one in names if one) or None


def _check(name: str, builder: Any, wanted: str | None) -> None:
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in KINDS:
        raise DataError(
            f"{name} is kept as {kind}, which holds no table of texts.",
            remedy=f"Read are {', '.join(KINDS[:-1])}.",
        )
    if wanted is not None and builder.hash != wanted:
        raise OperatorError(
            f"{name} cannot be had offline: the cache holds its commit {builder.hash}, asked for"
            f" is {wanted}.",
            remedy="Unset HF_HUB_OFFLINE once, or name that commit.",
        )


def _split(name: str, builder: Any, wanted: str | None) -> str:
    splits = list(builder.info.splits or ())
    if wanted is None:
        wanted = splits[0] if len(splits) == 1 else "train"
    if wanted not in splits:
        raise DataError(
            f"{name} has no split {wanted!r}.",
            remedy=f"It has {', '.join(splits) or 'none'}: write one behind a colon, as"
            " hub:<owner>/<name>:train.",
        )
    return wanted


def _write(rows: Any, file: Path) -> None:
    """Write a split as Parquet, labels by their names."""
    import datasets
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    labels = {
        column: pa.array(feature.names, pa.string())
        for column, feature in rows.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }

    def named(table: pa.Table) -> pa.Table:
        for column, names in labels.items():
            known = pc.greater_equal(table[column], 0)  # -1 says that there is none
            numbers = pc.if_else(known, table[column], None)
            place = table.column_names.index(column)
            table = table.set_column(place, column, pc.take(names, numbers))
        return table.replace_schema_metadata(None)

    arrow = rows.with_format("arrow")
    with pq.ParquetWriter(file, named(arrow[:0]).schema) as writer:
        for table in arrow.iter(COPIED_ROWS):
            writer.write_table(named(table))


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what the hub's packages raise, from several unrelated trees, into our errors."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        yield
    except BessemerError:
        raise
    except (DatasetNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise DataError(
            f"The hub has no {name}, or none for you.",
            remedy="Check the name and the revision; for what is not public, set HF_TOKEN.",
        ) from error
    except Exception as error:
        told = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise OperatorError(
            f"{name} could not be had from the hub: {told}.",
            remedy="Check the name, the config and the network. With HF_HUB_OFFLINE only what was"
            " loaded before is there.",
        ) from error
