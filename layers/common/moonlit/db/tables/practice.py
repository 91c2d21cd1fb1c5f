"""The practice itself: settings, organizations and their people, payers, services and places."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from moonlit.db.tables.base import count, flag, instant, key, metadata, one_of, ref, text, texts

# One practice in one database: the row's key can only be true.
practice_settings = sa.Table(
    "practice_settings",
    metadata,
    sa.Column("singleton", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.CheckConstraint("singleton", name="one_row"),
    text("name"),
    text("timezone"),
    sa.Column("settings", JSONB, nullable=False, server_default="{}"),
    sa.Column("default_services", JSONB, nullable=False, server_default="[]"),
    sa.Column("ehr_limits", JSONB, nullable=True),
)

organizations = sa.Table(
    "organizations",
    metadata,
    key(),
    text("name"),
    flag("active", default=True),
    instant("last_practiceq_sync_at", nullable=True),  # When all its patients were last brought up to date.
    # How far its patients' visits are synced; null as the practice says.
    sa.Column("sync_days_back", sa.Integer, nullable=True),
    sa.Column("sync_days_ahead", sa.Integer, nullable=True),
    sa.CheckConstraint("sync_days_back between 0 and 730 and sync_days_ahead between 0 and 730", name="sync_days"),
)

partner_users = sa.Table(
    "partner_users",
    metadata,
    key(),
    ref("organization_id", "organizations.id"),
    text("email", unique=True),
    text("name"),
    text("role"),
    text("identity_sub", nullable=True, unique=True),
    one_of("role", "partner_admin", "case_manager"),
)

# A calendar program's way into its owner's feed: who holds the token sees initials and times, and no more.
calendar_tokens = sa.Table(
    "calendar_tokens",
    metadata,
    ref("user_id", "partner_users.id", primary_key=True),
    ref("organization_id", "organizations.id"),
    text("token_hash", unique=True),
    instant("created_at"),
)

staff_users = sa.Table(
    "staff_users",
    metadata,
    key(),
    text("email", unique=True),
    text("name"),
    text("role"),
    ref("provider_id", "providers.id", nullable=True),
    text("identity_sub", nullable=True, unique=True),
    one_of("role", "admin", "biller", "provider"),
)

payers = sa.Table(
    "payers",
    metadata,
    key(),
    text("name"),
    text("type"),
    text("status_code", nullable=True),
    text("state", nullable=True),
    texts("plan_codes"),
    one_of("type", "private", "medicaid", "self_pay"),
    one_of("status_code", "approved", "pending", "suspended", "rejected"),
)

services = sa.Table(
    "services",
    metadata,
    key(),
    text("name"),
    text("kind"),
    sa.Column("duration_minutes", sa.Integer, nullable=False),
    count("buffer_before_minutes"),
    count("buffer_after_minutes"),
    sa.Column("min_notice_minutes", sa.Integer, nullable=True),
    texts("codes"),
    sa.Column("base_rate", sa.Numeric(10, 2), nullable=True),
    text("modality"),
    flag("room_required"),
    flag("dose_required"),
    flag("is_active", default=True),
    one_of("kind", "intake", "follow_up", "injection", "assessment", "psychotherapy", "consultation"),
    one_of("modality", "telehealth", "in_person"),
    sa.CheckConstraint("duration_minutes between 5 and 1440", name="duration"),
    sa.CheckConstraint("buffer_before_minutes >= 0 and buffer_after_minutes >= 0", name="buffers"),
)

service_instances = sa.Table(
    "service_instances",
    metadata,
    key(),
    ref("service_id", "services.id"),
    ref("payer_id", "payers.id", nullable=True),  # Null is an orphan, found and reported, never made here.
    text("location"),
    text("pos_code"),
    instant("retired_at", nullable=True),
    text("retired_reason", nullable=True),
    sa.CheckConstraint("(retired_at is null) = (retired_reason is null)", name="retired"),
    sa.Index("uq_service_instances_live", "service_id", "payer_id", "location", "pos_code", unique=True,
             postgresql_where=sa.text("retired_at is null")),
    sa.Index("ix_service_instances_payer_id", "payer_id"),
)  # fmt: skip

service_instance_integrations = sa.Table(
    "service_instance_integrations",
    metadata,
    key(),
    ref("service_instance_id", "service_instances.id"),
    text("system"),
    text("external_id"),
    one_of("system", "intakeq", "athena"),
    sa.UniqueConstraint("service_instance_id", "system"),
)

locations = sa.Table(
    "locations",
    metadata,
    key(),
    text("name"),
    text("address", nullable=True),
    text("timezone"),
    text("pos_code"),
    text("athena_department_id", nullable=True),
)

rooms = sa.Table(
    "rooms",
    metadata,
    key(),
    ref("location_id", "locations.id"),
    text("room_number"),
    text("room_name"),
    sa.Column("capacity", sa.Integer, nullable=False),
    texts("equipment"),
    flag("is_active", default=True),
)
