"""What is known of the EHR accounts: their limits, a mirror of their calendar, and every write sent to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE

from moonlit.db.tables.base import count, flag, instant, key, metadata, one_of, ref, text

ehr_accounts = sa.Table(
    "ehr_accounts",
    metadata,
    key(),
    text("system", unique=True),
    sa.Column("per_minute", sa.Integer, nullable=False),
    sa.Column("per_day", sa.Integer, nullable=True),  # Null: no daily cap.
    # Everything the EHR changed before this instant has been pulled.
    instant("synced_through", nullable=True),
    # The calendar days, first to last, that a pull has read: beyond them nothing may be offered.
    sa.Column("window_first", sa.Date, nullable=True),
    sa.Column("window_last", sa.Date, nullable=True),
    one_of("system", "intakeq", "athena"),
)

# The limiter: one row for an account, locked while a request is counted.
ehr_budget = sa.Table(
    "ehr_budget",
    metadata,
    ref("account_id", "ehr_accounts.id", primary_key=True),
    sa.Column("minute_hits", sa.ARRAY(sa.BigInteger), nullable=False, server_default="{}"),  # Epoch ms, rising.
    sa.Column("day", sa.Date, nullable=True),  # The UTC day that `day_used` counts.
    count("day_used"),
    instant("blocked_until", nullable=True),  # Set by a 429 that came although the count said there was room.
)

ehr_appointments = sa.Table(
    "ehr_appointments",
    metadata,
    ref("account_id", "ehr_accounts.id", primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    text("client_id", nullable=True),
    text("client_email", nullable=True),
    sa.Column("client_birth_date", sa.Date, nullable=True),
    # Whose visit it is by the rules of sync/matching.py; null until somebody fits.
    ref("patient_id", "patients.id", nullable=True),
    text("practitioner_id", nullable=True),
    text("ehr_service_id", nullable=True),
    sa.Column("span", TSTZRANGE, nullable=False),
    text("status"),
    text("meeting_url", nullable=True),
    text("location_name", nullable=True),
    text("place_of_service", nullable=True),
    flag("deleted_in_ehr"),
    instant("modified_at"),
    text("content_hash"),
    sa.Column("raw", JSONB, nullable=False),
    instant("seen_at"),
    one_of("status", "scheduled", "confirmed", "cancelled", "declined", "no_show"),
    sa.Index("ix_ehr_appointments_client_id", "account_id", "client_id"),
    sa.Index("ix_ehr_appointments_client_email", "client_email"),
    sa.Index("ix_ehr_appointments_patient_id", "patient_id"),
    sa.Index("ix_ehr_appointments_busy", "span", postgresql_using="gist",
             postgresql_where=sa.text("status in ('scheduled', 'confirmed') and not deleted_in_ehr")),
)  # fmt: skip

# The ledger: written before the EHR is called, finished after it, read back by the sweeper in between.
ehr_writes = sa.Table(
    "ehr_writes",
    metadata,
    key(),
    ref("account_id", "ehr_accounts.id"),
    ref("appointment_id", "appointments.id", index=True),
    text("kind"),
    text("state"),
    # What was asked for: enough to send it, and to know it again when the EHR shows it.
    text("practitioner_id"),
    text("client_id", nullable=True),
    text("ehr_service_id"),
    text("ehr_location_id", nullable=True),
    instant("starts_at"),
    text("external_id", nullable=True),
    count("attempts"),
    count("looks"),
    text("last_error", nullable=True),
    instant("created_at"),
    instant("sent_at", nullable=True),
    instant("next_look_at"),
    instant("finished_at", nullable=True),
    one_of("kind", "book", "cancel", "reschedule"),
    one_of("state", "waiting", "sending", "unknown", "confirmed", "failed", "watching"),
    sa.Index("uq_ehr_writes_open", "appointment_id", "kind", unique=True,
             postgresql_where=sa.text("state in ('waiting', 'sending', 'unknown')")),
    sa.Index("ix_ehr_writes_visit", "account_id", "practitioner_id", "starts_at",
             postgresql_where=sa.text("state in ('waiting', 'sending', 'unknown', 'watching')")),
    sa.Index("ix_ehr_writes_next_look_at", "next_look_at",
             postgresql_where=sa.text("state in ('waiting', 'sending', 'unknown', 'watching')")),
)  # fmt: skip

webhook_events = sa.Table(
    "webhook_events",
    metadata,
    key(),
    text("source"),
    text("content_hash"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    text("event_type", nullable=True),
    text("external_id", nullable=True),
    text("state"),
    text("error", nullable=True),
    instant("received_at"),
    instant("applied_at", nullable=True),
    one_of("state", "received", "applied", "ignored", "malformed", "failed"),
    sa.UniqueConstraint("source", "content_hash"),
)
