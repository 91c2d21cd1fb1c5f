"""Visits, the time they claim, and the records that make booking safe to repeat."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, UUID, ExcludeConstraint

from moonlit.db.tables.base import flag, instant, key, metadata, one_of, ref, text

appointments = sa.Table(
    "appointments",
    metadata,
    key(),
    ref("patient_id", "patients.id"),
    # Nullable where the EHR knows more than we do.
    ref("provider_id", "providers.id", nullable=True, index=True),
    ref("rendering_provider_id", "providers.id", nullable=True),
    flag("co_visit"),  # The rendering provider is there too, so the visit takes their time as well.
    ref("payer_id", "payers.id", nullable=True),
    ref("service_id", "services.id", nullable=True),
    ref("service_instance_id", "service_instances.id", nullable=True),
    ref("location_id", "locations.id", nullable=True),
    ref("room_id", "rooms.id", nullable=True),
    instant("start"),
    instant("end"),
    text("status"),
    text("modality", nullable=True),
    text("system"),
    text("meeting_url", nullable=True),
    sa.Column("location_info", JSONB, nullable=True),
    text("timezone", nullable=True),
    text("patient_state", nullable=True),  # Where the patient said they would be: what a licence has to reach.
    # Copied at booking, so that a later change of the catalog does not rewrite history.
    sa.Column("billing", JSONB, nullable=False, server_default="[]"),
    # What the patient gave with the booking: membership, people who may be told, and ways to be reached.
    sa.Column("insurance", JSONB, nullable=True),
    sa.Column("roi_contacts", JSONB, nullable=False, server_default="[]"),
    sa.Column("consents", JSONB, nullable=False, server_default="{}"),
    sa.Column("sequence", sa.Integer, nullable=False, server_default="0"),
    text("status_reason", nullable=True),
    flag("deleted_in_ehr"),
    instant("ehr_modified_at", nullable=True),
    instant("created_at"),
    instant("updated_at"),
    one_of("status", "pending", "scheduled", "confirmed", "cancelled", "declined", "no_show", "failed"),
    one_of("system", "intakeq", "athena"),
    one_of("modality", "telehealth", "in_person"),
    sa.CheckConstraint('"start" < "end"', name="order"),
    sa.Index("ix_appointments_start", "start"),
    sa.Index("ix_appointments_patient_id_start", "patient_id", "start"),
    sa.Index("ix_appointments_service_instance_id", "service_instance_id"),
)

appointment_external_ids = sa.Table(
    "appointment_external_ids",
    metadata,
    ref("account_id", "ehr_accounts.id", primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    ref("appointment_id", "appointments.id", index=True),
    flag("is_current", default=True),
    # The content of the mirror's row that the visit was last brought up to; another one there is still to be applied.
    text("applied_hash", nullable=True),
    sa.Index("uq_appointment_external_ids_current", "appointment_id", unique=True,
             postgresql_where=sa.text("is_current")),
)  # fmt: skip

appointment_holds = sa.Table(
    "appointment_holds",
    metadata,
    key(),
    ref("provider_id", "providers.id"),
    ref("service_id", "services.id"),
    ref("payer_id", "payers.id"),
    instant("start"),
    instant("end"),
    instant("expires_at"),
    instant("created_at"),
    text("caller", nullable=True),  # A keyed hash of the address that asked: nobody holds a whole week.
    sa.Index("ix_appointment_holds_expires_at", "expires_at"),
    sa.Index("ix_appointment_holds_caller", "caller"),
)

# One row for each person, room or patient whose time is taken, over the blocked range: the visit and its buffers.
time_claims = sa.Table(
    "time_claims",
    metadata,
    key(),
    text("resource_kind"),
    sa.Column("resource_id", UUID(as_uuid=True), nullable=False),  # Null would span every resource.
    sa.Column("span", TSTZRANGE, nullable=False),
    sa.Column("appointment_id", UUID(as_uuid=True), sa.ForeignKey("appointments.id", ondelete="CASCADE"),
              nullable=True, index=True),
    sa.Column("hold_id", UUID(as_uuid=True), sa.ForeignKey("appointment_holds.id", ondelete="CASCADE"),
              nullable=True, index=True),
    flag("enforced", default=True),
    one_of("resource_kind", "person", "room", "patient"),
    sa.CheckConstraint("num_nonnulls(appointment_id, hold_id) = 1", name="one_owner"),
    sa.CheckConstraint("not isempty(span) and not lower_inf(span) and not upper_inf(span)", name="span"),
    ExcludeConstraint(
        (sa.text("uuid_span(resource_id, resource_id, '[]')"), "&&"),
        ("span", "&&"),
        where=sa.text("enforced"),
        using="gist",
        name="ex_time_claims_no_overlap",
    ),
    sa.Index("ix_time_claims_span", "span", postgresql_using="gist"),
)  # fmt: skip

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    text("body_hash"),
    ref("appointment_id", "appointments.id", index=True),
    instant("created_at"),
)

# A row of the EHR that lies over a visit which was booked here: people decide.
schedule_conflicts = sa.Table(
    "schedule_conflicts",
    metadata,
    key(),
    ref("appointment_id", "appointments.id", index=True),
    ref("account_id", "ehr_accounts.id"),
    text("external_id"),
    text("state"),
    instant("created_at"),
    one_of("state", "open", "resolved"),
    sa.UniqueConstraint("appointment_id", "account_id", "external_id"),
)
