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

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("digest", sa.String, nullable=False, index=True),
    #: core.datasets.NamedDataset as JSON, without its uses.
    sa.Column("record", sa.JSON, nullable=False),
    sa.UniqueConstraint("project", "number"),
    sa.UniqueConstraint("project", "digest"),
)

judgements = sa.Table(
    "judgements",
    metadata,
    #: Digest of a test split's texts and labels, and of the model that was held against them.
    sa.Column("test", sa.String, primary_key=True),
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
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

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("by", sa.String, nullable=False),
    #: core.labelling.NewCampaign as JSON.
    sa.Column("asked", sa.JSON, nullable=False),
    #: How many items it has, which is the number of the last one.
    sa.Column("size", sa.Integer, nullable=False),
    #: What was spent of its budget.
    sa.Column("labels", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.UniqueConstraint("project", "number"),
)

guidelines = sa.Table(
    "guidelines",
    metadata,
    sa.Column("campaign", sa.String, sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("by", sa.String, nullable=False),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("campaign", sa.String, sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("image", sa.String),
    sa.Column("suggestions", sa.JSON, nullable=False),
    sa.Column("gold", sa.Text),
    #: How many labels it still needs; a gold item never has all.
    sa.Column("missing", sa.Integer, nullable=False),
    #: Whether it was given back, so that those who were past it must look again.
    sa.Column("returned", sa.Boolean, nullable=False),
    sa.UniqueConstraint("campaign", "key"),
)
sa.Index(
    "items_missing",
    items.c.campaign,
    items.c.number,
    sqlite_where=sa.text("missing > 0"),
    postgresql_where=sa.text("missing > 0"),
)
sa.Index(
    "items_returned",
    items.c.campaign,
    items.c.number,
    sqlite_where=sa.text("returned = 1"),
    postgresql_where=sa.text("returned"),
)

answers = sa.Table(
    "answers",
    metadata,
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
    #: When it was taken back; it counts no more.
    sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
    sa.ForeignKeyConstraint(["campaign", "item"], ["items.campaign", "items.number"]),
    sa.Index("answers_item", "campaign", "item", "annotator"),
    sa.Index("answers_annotator", "campaign", "annotator", "id"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("campaign", sa.String, sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("annotator", sa.String, primary_key=True),
    #: What the annotator has before them and what comes after it; until when nobody else gets it.
    sa.Column("item", sa.Integer),
    sa.Column("ahead", sa.Integer),
    sa.Column("until", sa.DateTime(timezone=True)),
    #: Number up to which they have seen everything but what was returned.
    sa.Column("reached", sa.Integer, nullable=False),
)
