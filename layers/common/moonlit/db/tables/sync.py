"""Runs that bring the visits up to date with the EHR, and what each of them did."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from moonlit.db.tables.base import count, flag, instant, key, metadata, one_of, ref, text

sync_runs = sa.Table(
    "sync_runs",
    metadata,
    key(),
    ref("account_id", "ehr_accounts.id"),
    # What the runs have in common that one call opened, one for each account; null for a run of its own.
    sa.Column("night_id", UUID(as_uuid=True), nullable=True),
    text("sync_type"),
    # `changes` since the last pull; the `days` of a window, as a repair; `nothing`, when another pull was just made.
    text("reads", server_default="changes"),
    text("requested_by", nullable=True),  # `partner:<id>` or `staff:<id>`; null for schedules.
    flag("for_everybody", default=True),  # Else for those who asked: their logs are there before the pull ends.
    text("state"),
    # What is being pulled: `window`, then `deleted`; or `changed`, then `deleted`.
    text("phase"),
    sa.Column("page", sa.Integer, nullable=False, server_default="1"),
    sa.Column("changed_since", sa.Date, nullable=True),
    sa.Column("window_first", sa.Date, nullable=False),
    sa.Column("window_last", sa.Date, nullable=False),
    # Rows that shift between pages while these are read may stay unseen, so the run begins another round.
    sa.Column("round", sa.Integer, nullable=False, server_default="1"),
    instant("round_started_at", nullable=True),  # Null in the first.
    flag("brake_confirmed"),  # A person said that the run may cancel however much.
    count("rows_read"),
    count("requests_used"),
    count("failures"),  # Of the page that it stands at, other than the EHR's own.
    text("error", nullable=True),
    instant("started_at"),
    instant("touched_at"),
    instant("finished_at", nullable=True),
    one_of("reads", "changes", "days", "nothing"),
    one_of("state", "pulling", "applying", "completed", "failed", "partial"),
    one_of("phase", "window", "changed", "deleted", "pulled"),
    # Two pulls of one account's changes would fight over its cursor.
    sa.Index("uq_sync_runs_pulling", "account_id", unique=True,
             postgresql_where=sa.text("state = 'pulling' and reads = 'changes'")),
    # Every minute somebody asks which nights are over: runs of organizations are many times as many.
    sa.Index("ix_sync_runs_nights", "finished_at", postgresql_where=sa.text("sync_type = 'automated_daily'")),
)  # fmt: skip

# Somebody's wish to see all patients of an organization up to date. Its logs, one for each EHR, say how far it is.
organization_refreshes = sa.Table(
    "organization_refreshes",
    metadata,
    key(),
    ref("organization_id", "organizations.id"),
    text("requested_by"),  # `partner:<id>` or `staff:<id>`.
    instant("requested_at"),
    instant("finished_at", nullable=True),
    # Who asks while one is under way is told of that one.
    sa.Index("uq_organization_refreshes_open", "organization_id", unique=True,
             postgresql_where=sa.text("finished_at is null")),
)  # fmt: skip

sync_logs = sa.Table(
    "sync_logs",
    metadata,
    key(),
    ref("run_id", "sync_runs.id", nullable=True, index=True),
    ref("organization_id", "organizations.id", nullable=True),
    ref("refresh_id", "organization_refreshes.id", nullable=True, index=True),
    ref("patient_id", "patients.id", nullable=True, index=True),  # Of a refresh of one patient.
    text("requested_by", nullable=True),  # `partner:<id>` or `staff:<id>`; null for schedules and webhooks.
    text("sync_type"),
    text("status"),
    count("new"),
    count("updated"),
    count("unchanged"),
    count("errors"),
    count("patients_total"),
    count("patients_processed"),
    count("requests_used"),
    sa.Column("duration_ms", sa.Integer, nullable=True),
    text("error_message", nullable=True),
    sa.Column("metadata", JSONB, nullable=False, server_default="{}"),
    sa.Column("syncing_patient_ids", sa.ARRAY(UUID(as_uuid=True)), nullable=False, server_default="{}"),
    instant("sent_at", nullable=True),  # When its message went to the queue.
    instant("touched_at"),  # When somebody last worked on it: what stands still is sent again.
    instant("started_at"),
    instant("completed_at", nullable=True),
    one_of("sync_type", "manual_patient", "manual_org", "automated_daily", "webhook"),
    one_of("status", "in_progress", "completed", "failed", "partial"),
    # One log for each organization of a run, and one more when its people asked; refreshes without a run, such as
    # webhooks, have any number.
    sa.Index("uq_sync_logs_run_organization", "run_id", "organization_id", "sync_type", "refresh_id", unique=True,
             postgresql_nulls_not_distinct=True, postgresql_where=sa.text("run_id is not null")),
    sa.Index("ix_sync_logs_started_at", "started_at", "id"),
    sa.Index("ix_sync_logs_in_progress", "touched_at", postgresql_where=sa.text("status = 'in_progress'")),
)  # fmt: skip

# What a run did for one patient. A patient of two organizations is applied once and counted in both.
sync_patient_results = sa.Table(
    "sync_patient_results",
    metadata,
    ref("run_id", "sync_runs.id", primary_key=True),
    ref("patient_id", "patients.id", primary_key=True),
    text("status"),
    count("new"),
    count("updated"),
    count("unchanged"),
    count("errors"),
    text("error_code", nullable=True),
    instant("at"),
    one_of("status", "synced", "error"),
)

match_reviews = sa.Table(
    "match_reviews",
    metadata,
    key(),
    ref("account_id", "ehr_accounts.id"),
    text("client_id", nullable=True),
    text("external_id"),
    text("reason"),
    sa.Column("candidate_patient_ids", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
    text("state"),
    instant("created_at"),
    # What people decided: whose visits these are, nobody's when dismissed.
    ref("patient_id", "patients.id", nullable=True),
    instant("decided_at", nullable=True),
    text("decided_by", nullable=True),
    one_of("state", "open", "resolved", "dismissed"),
    sa.UniqueConstraint("account_id", "external_id"),
    sa.Index("ix_match_reviews_created_at", "created_at", "id", postgresql_where=sa.text("state = 'open'")),
)

# What an EHR's free fields say of a patient's insurance. Nothing takes it over by itself.
insurance_proposals = sa.Table(
    "insurance_proposals",
    metadata,
    key(),
    ref("account_id", "ehr_accounts.id"),
    text("external_id"),
    ref("patient_id", "patients.id"),
    text("payer_name", nullable=True),
    text("member_id", nullable=True),
    text("group_number", nullable=True),
    text("content_hash"),
    ref("payer_id", "payers.id", nullable=True),  # The payer of that name, when there is exactly one.
    text("state", server_default="open"),
    instant("created_at"),
    instant("decided_at", nullable=True),
    text("decided_by", nullable=True),
    one_of("state", "open", "accepted", "dismissed"),
    sa.UniqueConstraint("patient_id", "content_hash"),
    sa.Index("ix_insurance_proposals_created_at", "created_at", "id", postgresql_where=sa.text("state = 'open'")),
)
