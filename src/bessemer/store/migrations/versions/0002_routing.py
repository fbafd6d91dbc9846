"""Canaries, unloaded routes, aliases."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Let a deployment say more; those that are there serve all callers, as they did."""
    # Alembic would add the foreign key by a second statement, which SQLite does not know.
    op.execute("ALTER TABLE deployments ADD COLUMN canary VARCHAR REFERENCES releases (id)")
    op.add_column("deployments", sa.Column("share", sa.Float))
    unloaded = sa.Column("unloaded", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("deployments", unloaded)
    op.create_table(
        "aliases",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("route", sa.String, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String, nullable=False),
    )
