"""Who changed what, and who looked at whom."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from moonlit.db.tables.base import instant, key, metadata, one_of, text

# The functions may add rows and read them, never change one. Actors may be gone by the time somebody asks, so none of
# the ids refers to a row.
audit_log = sa.Table(
    "audit_log",
    metadata,
    key(),
    instant("at"),
    text("actor_kind"),
    sa.Column("actor_id", UUID(as_uuid=True), nullable=True),
    sa.Column("organization_id", UUID(as_uuid=True), nullable=True),
    text("action"),
    text("entity"),
    text("entity_id", nullable=True),
    # The patients whom a read showed, so that each can be told who has seen them.
    sa.Column("patient_ids", sa.ARRAY(UUID(as_uuid=True)), nullable=False, server_default="{}"),
    sa.Column("before", JSONB, nullable=True),
    sa.Column("after", JSONB, nullable=True),
    text("request_id", nullable=True),
    one_of("actor_kind", "staff", "partner", "calendar", "system"),
    sa.Index("ix_audit_log_at", "at", "id"),
    # Whatever staff filter by, the newest come first: each index holds its lines in that order.
    sa.Index("ix_audit_log_actor_id", "actor_id", "at", "id"),
    sa.Index("ix_audit_log_system", "at", "id", postgresql_where=sa.text("actor_id is null")),
    sa.Index("ix_audit_log_entity", "entity", "at", "id"),
    sa.Index("ix_audit_log_entity_id", "entity_id", "entity", "at", "id",
             postgresql_where=sa.text("entity_id is not null")),
    # Who watches a refresh asks every second: the first look says whom they saw.
    sa.Index("uq_audit_log_first_look", "actor_id", "entity_id",
             sa.text("hash_array_extended(patient_ids, 0)"), unique=True,
             postgresql_where=sa.text("action = 'read' and entity = 'sync'")),
    sa.Index("ix_audit_log_patient_ids", "patient_ids", postgresql_using="gin"),
)  # fmt: skip
