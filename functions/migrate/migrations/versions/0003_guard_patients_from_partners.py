"""Keep what partners may see behind row-level security, who looked at whom, and how far a refresh is.

Also what people decided about doubtful clients and insurances, and how far an EHR's feed has been read.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Every table with a trace of a patient, or of somebody who looks after them. Who has no policy sees no row.
GUARDED = (
    "appointment_external_ids", "appointments", "audit_log", "calendar_tokens", "ehr_appointments", "ehr_writes",
    "idempotency_keys", "insurance_proposals", "leads", "match_reviews", "organization_refreshes", "organizations",
    "outbox", "partner_users", "patient_activity_log", "patient_organization_affiliations", "patients",
    "schedule_conflicts", "sync_logs", "sync_patient_results", "time_claims", "webhook_events",
)  # fmt: skip

# The login of partners. Whose patients it may see, and on which of the practice's days, is set for each transaction.
PARTNER_ROLE = """
do $$ begin
    if not exists (select from pg_roles where rolname = 'moonlit_partner') then
        create role moonlit_partner nologin;
    end if;
exception when duplicate_object or unique_violation then null;  -- Another database of this cluster was faster.
end $$;
alter role moonlit_partner set statement_timeout = '25s';
alter role moonlit_partner set lock_timeout = '8s';
alter role moonlit_partner set idle_in_transaction_session_timeout = '30s';
grant usage on schema public to moonlit_partner;

create function partner_organization() returns uuid language sql stable parallel safe
    as $$ select nullif(current_setting('app.organization_id', true), '')::uuid $$;
create function partner_today() returns date language sql stable parallel safe
    as $$ select nullif(current_setting('app.today', true), '')::date $$;

-- Who somebody is has to be known before it is known whose patients they may see: these two answer for one token and
-- tell no names.
create function known_as(identity text)
    returns table (user_id uuid, kind text, role text, organization_id uuid, provider_id uuid, closed boolean)
    language sql stable security definer set search_path = public, pg_temp
as $$
    select s.id, 'staff', s.role, null::uuid, s.provider_id, false from staff_users s where s.identity_sub = identity
    union all
    select u.id, 'partner', u.role, o.id, null, not o.active
    from partner_users u join organizations o on o.id = u.organization_id where u.identity_sub = identity
$$;
create function calendar_of(hash text)
    returns table (user_id uuid, organization_id uuid)
    language sql stable security definer set search_path = public, pg_temp
as $$
    select u.id, u.organization_id from calendar_tokens c
    join partner_users u on u.id = c.user_id and u.organization_id = c.organization_id
    join organizations o on o.id = u.organization_id and o.active
    where c.token_hash = hash and u.identity_sub is not null
$$;
-- A token ends with its owner's place, and does not come back with it.
create function end_calendar_token() returns trigger language plpgsql as $$
begin
    delete from calendar_tokens where user_id = old.id;
    return null;
end $$;
create trigger end_calendar_token after update of organization_id, identity_sub on partner_users for each row
    when (old.organization_id is distinct from new.organization_id or new.identity_sub is null)
    execute function end_calendar_token();
revoke execute on function known_as(text), calendar_of(text) from public;
grant execute on function known_as(text) to moonlit_app, moonlit_partner;
grant execute on function calendar_of(text) to moonlit_partner;

grant select on patient_organization_affiliations, patient_activity_log, appointment_external_ids, sync_logs,
    sync_patient_results, organization_refreshes to moonlit_partner;
grant select (id, first_name, last_name, last_practiceq_sync_at) on patients to moonlit_partner;
grant select (id, patient_id, "start", "end", status, provider_id, modality, meeting_url, location_info, system, sequence,
    updated_at) on appointments to moonlit_partner;
grant select (id, name, active, last_practiceq_sync_at) on organizations to moonlit_partner;
grant select (id, organization_id, name, role) on partner_users to moonlit_partner;
grant select (id, name) on providers to moonlit_partner;
grant select (singleton, timezone) on practice_settings to moonlit_partner;
grant select (id, night_id) on sync_runs to moonlit_partner;
grant select, insert, update, delete on calendar_tokens to moonlit_partner;
grant insert on audit_log to moonlit_partner;
revoke update, delete on audit_log from moonlit_app;
"""

_OURS = "organization_id = (select partner_organization())"
_AFFILIATED = f"f.status = 'active' and f.{_OURS}"
# Consent counts on the day of the look, not on that of the refresh: 42 CFR 2.31 lets it expire and be revoked.
_CONSENTED = f"""{_AFFILIATED} and f.roi_consent = 'active'
    and (f.roi_expires_on is null or f.roi_expires_on >= (select partner_today()))"""
_AFFILIATION = "select from patient_organization_affiliations f where f.patient_id = {patient} and {rule}"
_SEEN = "exists (select from {table} seen where seen.id = {column})"

PARTNER_POLICIES = {
    "patient_organization_affiliations": _OURS,
    "patients": f"exists ({_AFFILIATION.format(patient='patients.id', rule=_AFFILIATED)})",
    "appointments": f"exists ({_AFFILIATION.format(patient='appointments.patient_id', rule=_CONSENTED)})",
    "appointment_external_ids": _SEEN.format(table="appointments", column="appointment_id"),
    # What staff note beside it is theirs, and what another house asked for tells that the patient is known there.
    "patient_activity_log": f"""kind = 'ehr_sync' and (organization_id is null or {_OURS})
        and exists ({_AFFILIATION.format(patient="patient_activity_log.patient_id", rule=_CONSENTED)})""",
    "organization_refreshes": _OURS,
    # A refresh that another organization asked for says that the patient is known there.
    "sync_logs": f"{_OURS} or (organization_id is null and {_SEEN.format(table='patients', column='patient_id')})",
    "sync_patient_results": f"""{_SEEN.format(table="patients", column="patient_id")}
        and exists (select from sync_logs l where l.run_id = sync_patient_results.run_id and l.{_OURS})""",
    "organizations": "id = (select partner_organization())",
    "partner_users": _OURS,
    "calendar_tokens": _OURS,
    "audit_log": f"{_OURS} and actor_kind in ('partner', 'calendar')",
}

# What a partner sees of patients and visits. It stands under the policies of whoever asks.
PARTNER_VIEWS = """
create view partner_patients with (security_invoker) as
-- As fresh as the latest sync that the house knows of, its own or the practice's: a later one is another house's.
select f.organization_id, p.id as patient_id, p.first_name, p.last_name,
    (select least(p.last_practiceq_sync_at, known.at) from (
        select greatest(o.last_practiceq_sync_at, max(l.completed_at)) as at from sync_logs l
        where l.patient_id = p.id and l.run_id is null and l.sync_type = 'manual_patient' and l.status <> 'failed'
            and (l.organization_id = f.organization_id or l.organization_id is null)) known
        where p.last_practiceq_sync_at is not null and known.at is not null) as synced_at,
    case when f.consented then 'active' when f.expired then 'expired' else 'missing' end as consent
from patients p
join (
    select organization_id, patient_id,
        bool_or(roi_consent = 'active' and (roi_expires_on is null or roi_expires_on >= (select partner_today())))
            as consented,
        bool_or(roi_consent = 'active') as expired
    from patient_organization_affiliations where status = 'active' group by organization_id, patient_id
) f on f.patient_id = p.id
join organizations o on o.id = f.organization_id;

create view partner_visits with (security_invoker) as
select p.organization_id, a.patient_id, a.id as appointment_id, a."start", a."end", a.status, a.provider_id, a.modality,
    a.meeting_url, a.location_info, a.system, a.sequence, a.updated_at
from partner_patients p join appointments a on a.patient_id = p.patient_id
where p.consent = 'active' and a.status <> 'failed';

grant select on partner_patients, partner_visits to moonlit_partner;
"""


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.UUID(), nullable=True),
        sa.Column("organization_id", sa.UUID(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=True),
        sa.Column("patient_ids", sa.ARRAY(sa.UUID()), server_default="{}", nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "actor_kind in ('staff', 'partner', 'calendar', 'system')", name=op.f("ck_audit_log_actor_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at", "id"], unique=False)
    op.create_index("ix_audit_log_entity", "audit_log", ["entity", "entity_id"], unique=False)
    op.create_index("ix_audit_log_patient_ids", "audit_log", ["patient_ids"], unique=False, postgresql_using="gin")
    op.create_table(
        "insurance_proposals",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.UUID(), nullable=False),
        sa.Column("payer_name", sa.Text(), nullable=True),
        sa.Column("member_id", sa.Text(), nullable=True),
        sa.Column("group_number", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("payer_id", sa.UUID(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.CheckConstraint("state in ('open', 'accepted', 'dismissed')", name=op.f("ck_insurance_proposals_state")),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_insurance_proposals_account_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_insurance_proposals_patient_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_insurance_proposals_payer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_insurance_proposals")),
        sa.UniqueConstraint("patient_id", "content_hash", name=op.f("uq_insurance_proposals_patient_id_content_hash")),
    )
    op.create_index(
        "ix_insurance_proposals_created_at",
        "insurance_proposals",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "organization_refreshes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_organization_refreshes_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_refreshes")),
    )
    op.create_index(
        "uq_organization_refreshes_open",
        "organization_refreshes",
        ["organization_id"],
        unique=True,
        postgresql_where=sa.text("finished_at is null"),
    )
    op.create_table(
        "calendar_tokens",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_calendar_tokens_organization_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["partner_users.id"], name=op.f("fk_calendar_tokens_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_calendar_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_calendar_tokens_token_hash")),
    )
    op.drop_index(op.f("ix_appointments_patient_id"), table_name="appointments")
    op.create_index("ix_appointments_patient_id_start", "appointments", ["patient_id", "start"], unique=False)
    op.add_column("ehr_accounts", sa.Column("feed_subscribed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("ehr_accounts", sa.Column("feed_lease_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("ehr_accounts", sa.Column("feed_read_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhook_events", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("webhook_events", sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("ehr_appointments", sa.Column("insurance", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_index(
        "ix_ehr_appointments_insurance",
        "ehr_appointments",
        ["account_id", "client_id"],
        unique=False,
        postgresql_where=sa.text("insurance is not null"),
    )
    op.create_index(
        "ix_ehr_appointments_practitioner", "ehr_appointments", ["account_id", "practitioner_id"], unique=False
    )
    op.add_column("match_reviews", sa.Column("patient_id", sa.UUID(), nullable=True))
    op.add_column("match_reviews", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("match_reviews", sa.Column("decided_by", sa.Text(), nullable=True))
    op.create_index(
        "ix_match_reviews_created_at",
        "match_reviews",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_foreign_key(op.f("fk_match_reviews_patient_id"), "match_reviews", "patients", ["patient_id"], ["id"])
    op.create_index(
        "uq_audit_log_first_look",
        "audit_log",
        ["actor_id", "entity_id", sa.text("hash_array_extended(patient_ids, 0)")],
        unique=True,
        postgresql_where=sa.text("action = 'read' and entity = 'sync'"),
    )
    op.add_column("organizations", sa.Column("last_practiceq_sync_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("organizations", sa.Column("sync_days_back", sa.Integer(), nullable=True))
    op.add_column("organizations", sa.Column("sync_days_ahead", sa.Integer(), nullable=True))
    op.add_column("patient_activity_log", sa.Column("organization_id", sa.UUID(), nullable=True))
    op.create_foreign_key(
        op.f("fk_patient_activity_log_organization_id"),
        "patient_activity_log",
        "organizations",
        ["organization_id"],
        ["id"],
    )
    op.add_column("sync_runs", sa.Column("requested_by", sa.Text(), nullable=True))
    op.add_column("sync_runs", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("sync_logs", sa.Column("refresh_id", sa.UUID(), nullable=True))
    op.add_column("sync_logs", sa.Column("patient_id", sa.UUID(), nullable=True))
    op.add_column("sync_logs", sa.Column("requested_by", sa.Text(), nullable=True))
    op.add_column(
        "sync_logs", sa.Column("syncing_patient_ids", sa.ARRAY(sa.UUID()), server_default="{}", nullable=False)
    )
    op.drop_index(
        op.f("uq_sync_logs_run_organization"),
        table_name="sync_logs",
        postgresql_where="(run_id IS NOT NULL)",
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(
        "uq_sync_logs_run_organization",
        "sync_logs",
        ["run_id", "organization_id", "sync_type", "refresh_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("run_id is not null"),
    )
    op.create_index(op.f("ix_sync_logs_patient_id"), "sync_logs", ["patient_id"], unique=False)
    op.create_index(op.f("ix_sync_logs_refresh_id"), "sync_logs", ["refresh_id"], unique=False)
    op.create_foreign_key(op.f("fk_sync_logs_patient_id"), "sync_logs", "patients", ["patient_id"], ["id"])
    op.create_foreign_key(
        op.f("fk_sync_logs_refresh_id"), "sync_logs", "organization_refreshes", ["refresh_id"], ["id"]
    )
    op.add_column("sync_runs", sa.Column("reads", sa.Text(), server_default="changes", nullable=False))
    op.add_column("sync_runs", sa.Column("for_everybody", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.create_index(
        "ix_webhook_events_unsettled",
        "webhook_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("state in ('received', 'failed')"),
    )
    op.create_check_constraint(
        op.f("ck_organizations_sync_days"),
        "organizations",
        "sync_days_back between 0 and 730 and sync_days_ahead between 0 and 730",
    )
    op.create_check_constraint(op.f("ck_sync_runs_reads"), "sync_runs", "reads in ('changes', 'days', 'nothing')")
    op.drop_constraint(op.f("ck_match_reviews_state"), "match_reviews")
    op.create_check_constraint(
        op.f("ck_match_reviews_state"), "match_reviews", "state in ('open', 'resolved', 'dismissed')"
    )
    op.drop_index("uq_sync_runs_pulling", table_name="sync_runs")
    op.create_index(
        "uq_sync_runs_pulling",
        "sync_runs",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("state = 'pulling' and reads = 'changes'"),
    )
    op.create_index(
        "ix_sync_runs_nights",
        "sync_runs",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("sync_type = 'automated_daily'"),
    )
    _guard()


def _guard() -> None:
    """Let partners' login see what is theirs, and the functions' login everything as before."""
    op.execute(PARTNER_ROLE)
    for table in GUARDED:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy functions on {table} to moonlit_app using (true) with check (true)")
    for table, rule in PARTNER_POLICIES.items():
        op.execute(f"create policy partners on {table} to moonlit_partner using ({rule}) with check ({rule})")
    op.execute(PARTNER_VIEWS)


def downgrade() -> None:
    raise RuntimeError("revisions are only taken forward: go back by a backup")
