"""What is known of the EHR accounts: their limits, a mirror of their calendar, and every write sent to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, UUID

from moonlit.db.tables.base import count, flag, instant, key, metadata, one_of, ref, text, texts

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
    # When all open slots were last read, of an EHR that has such; null: read them at once.
    instant("slots_read_at", nullable=True),
    # Of an EHR whose changes leave its list as they are read: who reads it, until when, and when it was last read.
    instant("feed_subscribed_at", nullable=True),
    instant("feed_lease_until", nullable=True),
    instant("feed_read_at", nullable=True),
    one_of("system", "intakeq", "athena"),
)

# The access token that all processes share: an EHR gives out only a few a minute.
ehr_tokens = sa.Table(
    "ehr_tokens",
    metadata,
    ref("account_id", "ehr_accounts.id", primary_key=True),
    text("access_token", nullable=True),
    instant("expires_at", nullable=True),
    sa.Column("minute_hits", sa.ARRAY(sa.BigInteger), nullable=False, server_default="{}"),  # Epoch ms, rising.
    instant("blocked_until", nullable=True),
)

# Where visits can only be booked into slots that the EHR keeps: those that were open when they were last read.
ehr_open_slots = sa.Table(
    "ehr_open_slots",
    metadata,
    ref("account_id", "ehr_accounts.id", primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    text("practitioner_id"),
    text("department_id"),
    texts("reason_ids"),
    sa.Column("span", TSTZRANGE, nullable=False),
    instant("read_at"),
    sa.Index("ix_ehr_open_slots_span", "span", postgresql_using="gist"),
)  # fmt: skip

# Open slots that a hold of ours has frozen in the EHR: a row before it is asked, gone when the slot is thawed.
ehr_freezes = sa.Table(
    "ehr_freezes",
    metadata,
    ref("account_id", "ehr_accounts.id", primary_key=True),
    sa.Column("slot_id", sa.Text, primary_key=True),
    sa.Column("hold_id", UUID(as_uuid=True), nullable=False, index=True),  # The hold itself may be gone already.
    count("attempts"),
    instant("thaw_at"),
    sa.Index("ix_ehr_freezes_thaw_at", "thaw_at"),
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
    # The vendor's id of the place, and the id that a reschedule gave the visit in place of this one.
    text("location_id", nullable=True),
    text("moved_to", nullable=True),
    # What the row's free fields say of the client's insurance; null for most.
    sa.Column("insurance", JSONB, nullable=True),
    flag("deleted_in_ehr"),
    instant("modified_at"),
    text("content_hash"),
    sa.Column("raw", JSONB, nullable=False),
    instant("seen_at"),
    one_of("status", "scheduled", "confirmed", "cancelled", "declined", "no_show"),
    sa.Index("ix_ehr_appointments_client_id", "account_id", "client_id"),
    sa.Index("ix_ehr_appointments_client_email", "client_email"),
    sa.Index("ix_ehr_appointments_patient_id", "patient_id"),
    sa.Index("ix_ehr_appointments_practitioner", "account_id", "practitioner_id"),
    sa.Index("ix_ehr_appointments_moved", "account_id", "external_id",
             postgresql_where=sa.text("moved_to is not null")),
    sa.Index("ix_ehr_appointments_insurance", "account_id", "client_id",
             postgresql_where=sa.text("insurance is not null")),
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
    # A visit that came from the EHR may have no practitioner or service; those that are booked here do.
    text("practitioner_id", nullable=True),
    text("client_id", nullable=True),
    text("ehr_service_id", nullable=True),
    text("ehr_location_id", nullable=True),
    text("slot_id", nullable=True),
    instant("starts_at"),
    # The visit's id in the EHR: what a booking made, what the others are about.
    text("external_id", nullable=True),
    # Of a move: the visit as it was, to go back to, and the time it claims before and after (see booking/moves.py).
    sa.Column("move", JSONB, nullable=True),
    text("reason", nullable=True),
    count("attempts"),
    count("looks"),
    text("last_error", nullable=True),
    instant("created_at"),
    instant("sent_at", nullable=True),
    instant("next_look_at"),
    instant("finished_at", nullable=True),
    one_of("kind", "book", "cancel", "reschedule", "details"),
    one_of("state", "waiting", "sending", "unknown", "confirmed", "failed", "watching"),
    sa.Index("ix_ehr_writes_created_at", "created_at", "id"),
    sa.Index("uq_ehr_writes_open", "appointment_id", "kind", sa.text("coalesce(external_id, '')"), unique=True,
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
    count("attempts"),  # How often it failed, or was sent again because nobody had taken it.
    instant("next_try_at", nullable=True),  # When the sweeper sends it again unless it is settled by then.
    one_of("state", "received", "applied", "ignored", "malformed", "failed"),
    sa.UniqueConstraint("source", "content_hash"),
    sa.Index("ix_webhook_events_unsettled", "received_at",
             postgresql_where=sa.text("state in ('received', 'failed')")),
)  # fmt: skip
