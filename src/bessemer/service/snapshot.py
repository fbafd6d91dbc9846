"""What serving processes must know, published as one file that they read again and again."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core import folder
from bessemer.core.records import CanaryState, KeyState, RouteState, Snapshot
from bessemer.service.home import Home
from bessemer.store import tables

FILE = "snapshot.json"


def publish(home: Home) -> Snapshot:
    """Write routes, aliases and valid keys as the database has them now.

    Publishers take turns and each reads inside its turn, so the last one wrote the newest.
    """
    events, keys, aliases = tables.events, tables.keys, tables.aliases
    with home.stages.lock("snapshot", "publish"):
        with home.database.begin() as connection:
            snapshot = Snapshot(
                version=connection.execute(sa.select(sa.func.max(events.c.number))).scalar() or 0,
                routes=_routes(home, connection),
                keys={
                    row.id: KeyState(secret_hash=row.secret_hash, role=row.role)
                    for row in connection.execute(
                        sa.select(keys).where(keys.c.revoked_at.is_(None))
                    )
                },
                aliases={row.name: row.route for row in connection.execute(sa.select(aliases))},
            )
        if read(home.root) != snapshot:
            content = snapshot.model_dump_json().encode()
            folder.atomic_file(home.root / FILE, content, mode=0o600)
    return snapshot


def _routes(home: Home, connection: Connection) -> dict[str, RouteState]:
    deployments, releases = tables.deployments, tables.releases
    canaries, earlier = releases.alias(), deployments.alias()
    newest = sa.select(sa.func.max(deployments.c.id)).group_by(deployments.c.route)
    query = (
        sa.select(
            deployments,
            releases.c.bundle,
            canaries.c.bundle.label("canary_bundle"),
            earlier.c.release.label("returns_to"),
        )
        .join(releases, releases.c.id == deployments.c.release)
        .outerjoin(canaries, canaries.c.id == deployments.c.canary)
        .outerjoin(earlier, earlier.c.id == deployments.c.previous)
        .where(deployments.c.id.in_(newest))
    )

    def bundle(key: str) -> str:
        return str(home.stages.path("release", key))

    return {
        row.route: RouteState(
            release=row.release,
            bundle=bundle(row.bundle),
            canary=CanaryState(
                release=row.canary, bundle=bundle(row.canary_bundle), share=row.share
            )
            if row.canary
            else None,
            previous=row.returns_to,
            unloaded=row.unloaded,
        )
        for row in connection.execute(query)
    }


def read(root: Path) -> Snapshot | None:
    """Return the published snapshot of the home folder `root`, or None before the first."""
    try:
        return Snapshot.model_validate_json((root / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
