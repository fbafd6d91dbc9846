"""Runs, releases, deployments, keys, events, calls."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("bundle", sa.String, nullable=False, unique=True),
        sa.Column("record", sa.JSON, nullable=False),
        sa.UniqueConstraint("project", "number"),
    )
    op.create_table(
        "deployments",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("route", sa.String, nullable=False, index=True),
        sa.Column("release", sa.String, sa.ForeignKey("releases.id"), nullable=False),
        sa.Column("previous", sa.Integer, sa.ForeignKey("deployments.id")),
        sa.Column("at", time, nullable=False),
        sa.Column("by", sa.String, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("secret_hash", sa.String, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("revoked_at", time),
    )
    op.create_table(
        "events",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", time, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("verb", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_table(
        "calls",
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("at", time, nullable=False),
        sa.Column("route", sa.String, nullable=False),
        sa.Column("release", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
    )
