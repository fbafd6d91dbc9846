"""Campaigns: their items, guidelines, answers and leases."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables."""
    _campaigns()
    op.create_table(
        "items",
        sa.Column("campaign", sa.String, sa.ForeignKey("campaigns.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("image", sa.String),
        sa.Column("suggestions", sa.JSON, nullable=False),
        sa.Column("gold", sa.Text),
        sa.Column("missing", sa.Integer, nullable=False),
        sa.Column("returned", sa.Boolean, nullable=False),
        sa.UniqueConstraint("campaign", "key"),
    )
    for name, sqlite, postgresql in (
        ("items_missing", "missing > 0", "missing > 0"),
        ("items_returned", "returned = 1", "returned"),
    ):
        op.create_index(
            name,
            "items",
            ["campaign", "number"],
            sqlite_where=sa.text(sqlite),
            postgresql_where=sa.text(postgresql),
        )
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("campaign", sa.String, nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("annotator", sa.String, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("skipped", sa.String, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("guideline", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("suggested", sa.Boolean, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["campaign", "item"], ["items.campaign", "items.number"]),
    )
    op.create_index("answers_item", "answers", ["campaign", "item", "annotator"])
    op.create_index("answers_annotator", "answers", ["campaign", "annotator", "id"])
    op.create_table(
        "leases",
        sa.Column("campaign", sa.String, sa.ForeignKey("campaigns.id"), primary_key=True),
        sa.Column("annotator", sa.String, primary_key=True),
        sa.Column("item", sa.Integer),
        sa.Column("ahead", sa.Integer),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("reached", sa.Integer, nullable=False),
    )


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("labels", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.UniqueConstraint("project", "number"),
    )
    op.create_table(
        "guidelines",
        sa.Column("campaign", sa.String, sa.ForeignKey("campaigns.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String, nullable=False),
    )
