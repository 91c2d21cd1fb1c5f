"""People who want to be patients, and what is to be told to whom."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from moonlit.db.tables.base import count, instant, key, metadata, one_of, ref, text

leads = sa.Table(
    "leads",
    metadata,
    key(),
    ref("payer_id", "payers.id", nullable=True),
    text("payer_name"),
    text("email"),
    text("first_name", nullable=True),
    text("last_name", nullable=True),
    text("phone", nullable=True),
    text("state", nullable=True),
    sa.Column("effective_date", sa.Date, nullable=True),
    text("status", server_default="pending"),
    instant("created_at"),
    instant("updated_at"),
    one_of("status", "pending", "contacted", "converted"),
    sa.Index("ix_leads_created_at", "created_at", "id"),
)

# What is to be told, committed together with what happened. The payload names rows by id and nobody by name.
outbox = sa.Table(
    "outbox",
    metadata,
    key(),
    text("kind"),
    sa.Column("payload", JSONB, nullable=False),
    instant("created_at"),
    instant("sent_at", nullable=True),
    sa.Index("ix_outbox_unsent", "kind", "created_at", "id", postgresql_where=sa.text("sent_at is null")),
)

# How much one address has done within an hour, so that a public form cannot fill the calendar.
public_uses = sa.Table(
    "public_uses",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("caller", sa.Text, primary_key=True),  # A keyed hash of the address.
    sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
    count("uses"),
    one_of("kind", "hold", "booking", "lead"),
    sa.Index("ix_public_uses_hour", "hour"),
)
