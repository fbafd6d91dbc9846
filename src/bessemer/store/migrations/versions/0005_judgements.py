"""How many models each test split has judged."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add their table; what was judged before is not counted."""
    op.create_table(
        "judgements",
        sa.Column("test", sa.String, primary_key=True),
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
