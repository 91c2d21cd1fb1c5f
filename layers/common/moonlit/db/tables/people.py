"""Providers with what makes them bookable, and patients with the organizations that look after them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from moonlit.db.tables.base import flag, instant, key, metadata, one_of, ref, text, texts

providers = sa.Table(
    "providers",
    metadata,
    key(),
    text("name"),
    text("npi", nullable=True),
    texts("license_states"),
    texts("native_langs"),
    flag("interpreter_ok"),
    flag("active", default=True),
    flag("accepting_new_patients", default=True),
    text("ehr_system"),
    text("timezone"),
    text("person_key", nullable=True),
    # The human behind one or several provider ids: whose time is claimed.
    sa.Column("person_id", UUID(as_uuid=True), sa.Computed("coalesce(md5(person_key)::uuid, id)", persisted=True),
              nullable=False, index=True),
    sa.Column("max_daily_appointments", sa.Integer, nullable=True),
    one_of("ehr_system", "intakeq", "athena"),
)  # fmt: skip

provider_intakeq_settings = sa.Table(
    "provider_intakeq_settings",
    metadata,
    ref("provider_id", "providers.id", primary_key=True),
    text("practitioner_id", unique=True),
    text("practitioner_email", nullable=True),
    text("location_id", nullable=True),
)

provider_athena_settings = sa.Table(
    "provider_athena_settings",
    metadata,
    ref("provider_id", "providers.id", primary_key=True),
    text("athena_provider_id"),
    text("department_id"),
    sa.UniqueConstraint("athena_provider_id", "department_id"),
)

# The insurance package of the EHR's own list that stands for a payer.
payer_athena_settings = sa.Table(
    "payer_athena_settings",
    metadata,
    ref("payer_id", "payers.id", primary_key=True),
    text("insurance_package_id"),
)

provider_payer_networks = sa.Table(
    "provider_payer_networks",
    metadata,
    key(),
    ref("provider_id", "providers.id"),
    ref("payer_id", "payers.id", index=True),
    sa.Column("effective_date", sa.Date, nullable=True),
    sa.Column("end_date", sa.Date, nullable=True),
    text("status"),
    one_of("status", "credentialing_in_progress", "active", "inactive"),
    sa.CheckConstraint("effective_date <= end_date", name="dates"),
)

supervision_relationships = sa.Table(
    "supervision_relationships",
    metadata,
    key(),
    ref("resident_id", "providers.id", index=True),
    ref("attending_id", "providers.id"),
    ref("payer_id", "payers.id", nullable=True),
    text("level"),
    sa.Column("effective_date", sa.Date, nullable=False),
    sa.Column("end_date", sa.Date, nullable=True),
    one_of("level", "sign_off_only", "co_visit_required"),
    sa.CheckConstraint("effective_date <= end_date", name="dates"),
    sa.CheckConstraint("resident_id <> attending_id", name="two_people"),
)

provider_hours = sa.Table(
    "provider_hours",
    metadata,
    key(),
    ref("provider_id", "providers.id", index=True),
    sa.Column("weekday", sa.SmallInteger, nullable=False),
    # Wall-clock text, because 24:00 and a window over midnight (end before start) are both meant as written.
    text("start"),
    text("end"),
    text("timezone"),
    text("modality"),
    ref("location_id", "locations.id", nullable=True),
    sa.Column("valid_from", sa.Date, nullable=True),
    sa.Column("valid_to", sa.Date, nullable=True),
    sa.CheckConstraint("weekday between 0 and 6", name="weekday"),
    sa.CheckConstraint("\"start\" ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'", name="start"),
    sa.CheckConstraint("\"end\" ~ '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$'", name="end"),
    one_of("modality", "telehealth", "in_person"),
    sa.CheckConstraint("valid_from <= valid_to", name="valid"),
)

provider_time_off = sa.Table(
    "provider_time_off",
    metadata,
    key(),
    ref("provider_id", "providers.id", index=True),
    instant("start"),
    instant("end"),
    sa.CheckConstraint('"start" < "end"', name="order"),
)

patients = sa.Table(
    "patients",
    metadata,
    key(),
    text("first_name"),
    text("last_name"),
    text("email", nullable=True),
    texts("alternate_emails"),
    text("phone", nullable=True),
    sa.Column("date_of_birth", sa.Date, nullable=True, index=True),
    text("state", nullable=True),
    text("timezone", nullable=True),
    text("intakeq_client_id", nullable=True, unique=True),
    text("athena_patient_id", nullable=True, unique=True),
    instant("last_practiceq_sync_at", nullable=True),
)
# The form in which addresses are compared: DESIGN of matching is in sync/rules.py.
sa.Index("ix_patients_email_normalized", sa.text("lower(btrim(email))"), _table=patients)

patient_organization_affiliations = sa.Table(
    "patient_organization_affiliations",
    metadata,
    key(),
    ref("patient_id", "patients.id", index=True),
    ref("organization_id", "organizations.id", index=True),
    ref("case_manager_id", "partner_users.id", nullable=True),
    text("status"),
    text("roi_consent"),
    sa.Column("roi_expires_on", sa.Date, nullable=True),
    one_of("status", "active", "ended"),
    one_of("roi_consent", "active", "missing"),
)

patient_activity_log = sa.Table(
    "patient_activity_log",
    metadata,
    key(),
    ref("patient_id", "patients.id", index=True),
    ref("organization_id", "organizations.id", nullable=True),  # Whose business it is; null: of everybody.
    instant("at"),
    text("kind"),
    text("actor"),
    sa.Column("details", JSONB, nullable=False, server_default="{}"),
)
