"""What a project's campaigns found, as rows to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bessemer.core import digest, folder
from bessemer.service.home import Home
from bessemer.service.labels import files, rows


def labelled(home: Home, project: str) -> Iterator[dict[str, Any]]:
    """Yield one row a label, in long form; see `Campaigns.labelled`."""
    with home.database.begin() as connection:
        campaigns = rows.campaigns(connection, project)
    for campaign in campaigns:
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
                }


def snapshot(home: Home, project: str, place: Path) -> Path | None:
    """Write these rows to a file; see `Campaigns.snapshot`."""
    found = sorted(labelled(home, project), key=lambda row: (row["at"], digest.canonical_json(row)))
    if not found:
        return None
    content = b"".join(digest.canonical_json(row) + b"\n" for row in found)
    path = place / f"{digest.of_bytes(content)}.jsonl"
    if not path.exists():
        folder.atomic_file(path, content)
    return path
