"""What serving processes must know, published as one file that they read again and again."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from bessemer.core import folder
from bessemer.core.records import KeyState, RouteState, Snapshot
from bessemer.service.home import Home
from bessemer.store import tables

FILE = "snapshot.json"


def publish(home: Home) -> Snapshot:
    """Write routes and valid keys as the database has them now.

    Publishers take turns and each reads inside its turn, so the last one wrote the newest.
    """
    deployments, releases, keys = tables.deployments, tables.releases, tables.keys
    live = sa.select(sa.func.max(deployments.c.id)).group_by(deployments.c.route)
    routes = (
        sa.select(deployments.c.route, deployments.c.release, releases.c.bundle)
        .join(releases, releases.c.id == deployments.c.release)
        .where(deployments.c.id.in_(live))
    )
    with home.stages.lock("snapshot", "publish"):
        with home.database.begin() as connection:
            snapshot = Snapshot(
                version=connection.execute(sa.select(sa.func.max(tables.events.c.number))).scalar()
                or 0,
                routes={
                    row.route: RouteState(
                        release=row.release, bundle=str(home.stages.path("release", row.bundle))
                    )
                    for row in connection.execute(routes)
                },
                keys={
                    row.id: KeyState(secret_hash=row.secret_hash, role=row.role)
                    for row in connection.execute(
                        sa.select(keys).where(keys.c.revoked_at.is_(None))
                    )
                },
            )
        if read(home.root) != snapshot:
            content = snapshot.model_dump_json().encode()
            folder.atomic_file(home.root / FILE, content, mode=0o600)
    return snapshot


def read(root: Path) -> Snapshot | None:
    """Return the published snapshot of the home folder `root`, or None before the first."""
    try:
        return Snapshot.model_validate_json((root / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
