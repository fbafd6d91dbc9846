"""What a project's campaigns found, as rows to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bessemer.core import digest, folder
from bessemer.core.labelling import Campaign
from bessemer.core.project import Project
from bessemer.service.home import Home
from bessemer.service.labels import files, rows


def labelled(home: Home, project: str, like: Project | None = None) -> Iterator[dict[str, Any]]:
    """Yield what all campaigns of a project found, one row a label.

    Of a settled item that is its final answer alone; items whose answer was known and skipped
    ones are left out.

    Args:
        home: Where the campaigns are.
        project: Its name.
        like: Leaves out campaigns of another task than this project's, or whose items may have
            several labels where its rows may not.

    Yields:
        `key`, `text`, `label` (as in a label column), `annotator`, `at`, `guideline`, `campaign`,
        `final`.
    """
    with home.database.begin() as connection:
        campaigns = rows.campaigns(connection, project)
    for campaign in campaigns:
        if like is not None and not same_kind(campaign, like):
            continue
        for item in files.labelled(home, campaign):
            if item.gold is not None:
                continue
            votes = [vote for vote in item.votes if vote.label is not None]
            for vote in [vote for vote in votes if vote.final][-1:] or votes:
                yield {
                    "key": item.key,
                    "text": item.text,
                    "label": vote.label,
                    "annotator": vote.annotator,
                    "at": vote.at.isoformat(),
                    "guideline": vote.guideline,
                    "campaign": campaign.id,
                    "final": vote.final,
                }


def same_kind(campaign: Campaign, project: Project) -> bool:
    """Return whether a campaign's answers mean to a project what they meant to annotators."""
    return (campaign.task, campaign.separator) == (project.task, project.data.labels.separator)


def snapshot(home: Home, project: str, place: Path, like: Project | None = None) -> Path | None:
    """Write these rows as JSON lines, in order of time, to a file named by its SHA-256.

    Of a text that was settled in one campaign the newest final answer stands alone.

    Returns:
        The file, or None where nothing is labelled.
    """
    found = sorted(
        labelled(home, project, like), key=lambda row: (row["at"], digest.canonical_json(row))
    )
    finals = {row["text"]: row for row in found if row["final"]}
    found = [row for row in found if finals.get(row["text"], row) is row]
    if not found:
        return None
    content = b"".join(digest.canonical_json(row) + b"\n" for row in found)
    path = place / f"{digest.of_bytes(content)}.jsonl"
    if not path.exists():
        folder.atomic_file(path, content)
    return path
