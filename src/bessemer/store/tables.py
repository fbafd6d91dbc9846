"""The tables of the database, as SQLAlchemy Core; migrations/ brings them there."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    #: Process that does it, so that a dead one can be told from a slow one.
    sa.Column("process", sa.Integer, nullable=False),
    #: core.records.Run as JSON.
    sa.Column("record", sa.JSON, nullable=False),
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("bundle", sa.String, nullable=False, unique=True),
    sa.Column("record", sa.JSON, nullable=False),
    sa.UniqueConstraint("project", "number"),
)

deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("route", sa.String, nullable=False, index=True),
    sa.Column("release", sa.String, sa.ForeignKey("releases.id"), nullable=False),
    sa.Column("previous", sa.Integer, sa.ForeignKey("deployments.id")),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("by", sa.String, nullable=False),
    sa.Column("canary", sa.String, sa.ForeignKey("releases.id")),
    sa.Column("share", sa.Float),
    sa.Column("unloaded", sa.Boolean, nullable=False, server_default=sa.false()),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("route", sa.String, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("by", sa.String, nullable=False),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("role", sa.String, nullable=False),
    #: SHA-256 of the secret; the secret itself is shown once and not kept.
    sa.Column("secret_hash", sa.String, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("by", sa.String, nullable=False),
    #: What was done to what: "deployed", "support-intents@1".
    sa.Column("verb", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
)

calls = sa.Table(
    "calls",
    metadata,
    #: Journal segment that the call was written to first.
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("route", sa.String, nullable=False),
    sa.Column("release", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    #: core.records.Call as JSON.
    sa.Column("record", sa.JSON, nullable=False),
)
