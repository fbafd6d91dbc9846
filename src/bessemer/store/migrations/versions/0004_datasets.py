"""Data sets under their projects' numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add their table; those made before are named when a run comes to them again."""
    op.create_table(
        "datasets",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String, nullable=False, index=True),
        sa.Column("record", sa.JSON, nullable=False),
        sa.UniqueConstraint("project", "number"),
        sa.UniqueConstraint("project", "digest"),
    )
