"""Lay the tables: practice, people, visits with the time they claim, the EHR's mirror and ledger, sync."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The functions' login owns nothing. Its timeouts stand here and not in a SET, which would pin a session of RDS Proxy.
APPLICATION_ROLE = """
do $$ begin
    if not exists (select from pg_roles where rolname = 'moonlit_app') then
        create role moonlit_app nologin;
    end if;
exception when duplicate_object or unique_violation then null;  -- Another database of this cluster was faster.
end $$;
alter role moonlit_app set statement_timeout = '25s';
alter role moonlit_app set lock_timeout = '8s';
alter role moonlit_app set idle_in_transaction_session_timeout = '30s';
grant usage on schema public to moonlit_app;
grant select, insert, update, delete on all tables in schema public to moonlit_app;
alter default privileges in schema public grant select, insert, update, delete on tables to moonlit_app;
"""


def upgrade() -> None:
    # Core PostgreSQL has no gist operator class for uuid; a range over it does, and lets one constraint watch every
    # resource's time without the extension btree_gist.
    op.execute("create type uuid_span as range (subtype = uuid)")
    op.create_table(
        "ehr_accounts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("per_day", sa.Integer(), nullable=True),
        sa.Column("synced_through", sa.DateTime(timezone=True), nullable=True),
        sa.Column("window_first", sa.Date(), nullable=True),
        sa.Column("window_last", sa.Date(), nullable=True),
        sa.CheckConstraint("system in ('intakeq', 'athena')", name=op.f("ck_ehr_accounts_system")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ehr_accounts")),
        sa.UniqueConstraint("system", name=op.f("uq_ehr_accounts_system")),
    )
    op.create_table(
        "locations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("pos_code", sa.Text(), nullable=False),
        sa.Column("athena_department_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locations")),
    )
    op.create_table(
        "organizations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "patients",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("alternate_emails", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("date_of_birth", sa.Date(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("intakeq_client_id", sa.Text(), nullable=True),
        sa.Column("athena_patient_id", sa.Text(), nullable=True),
        sa.Column("last_practiceq_sync_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
        sa.UniqueConstraint("athena_patient_id", name=op.f("uq_patients_athena_patient_id")),
        sa.UniqueConstraint("intakeq_client_id", name=op.f("uq_patients_intakeq_client_id")),
    )
    op.create_index(op.f("ix_patients_date_of_birth"), "patients", ["date_of_birth"], unique=False)
    op.create_index(
        "ix_patients_email_normalized", "patients", [sa.literal_column("lower(btrim(email))")], unique=False
    )
    op.create_table(
        "payers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status_code", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("plan_codes", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.CheckConstraint(
            "status_code in ('approved', 'pending', 'suspended', 'rejected')", name=op.f("ck_payers_status_code")
        ),
        sa.CheckConstraint("type in ('private', 'medicaid', 'self_pay')", name=op.f("ck_payers_type")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payers")),
    )
    op.create_table(
        "practice_settings",
        sa.Column("singleton", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("default_services", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("ehr_limits", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("singleton", name=op.f("ck_practice_settings_one_row")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_practice_settings")),
    )
    op.create_table(
        "providers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("npi", sa.Text(), nullable=True),
        sa.Column("license_states", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("native_langs", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("interpreter_ok", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("accepting_new_patients", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("ehr_system", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("person_key", sa.Text(), nullable=True),
        sa.Column(
            "person_id", sa.UUID(), sa.Computed("coalesce(md5(person_key)::uuid, id)", persisted=True), nullable=False
        ),
        sa.Column("max_daily_appointments", sa.Integer(), nullable=True),
        sa.CheckConstraint("ehr_system in ('intakeq', 'athena')", name=op.f("ck_providers_ehr_system")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_providers")),
    )
    op.create_index(op.f("ix_providers_person_id"), "providers", ["person_id"], unique=False)
    op.create_table(
        "services",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("duration_minutes", sa.Integer(), nullable=False),
        sa.Column("buffer_before_minutes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("buffer_after_minutes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("min_notice_minutes", sa.Integer(), nullable=True),
        sa.Column("codes", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("base_rate", sa.Numeric(precision=10, scale=2), nullable=True),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("room_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("dose_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint(
            "kind in ('intake', 'follow_up', 'injection', 'assessment', 'psychotherapy', 'consultation')",
            name=op.f("ck_services_kind"),
        ),
        sa.CheckConstraint("modality in ('telehealth', 'in_person')", name=op.f("ck_services_modality")),
        sa.CheckConstraint(
            "buffer_before_minutes >= 0 and buffer_after_minutes >= 0", name=op.f("ck_services_buffers")
        ),
        sa.CheckConstraint("duration_minutes between 5 and 1440", name=op.f("ck_services_duration")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_services")),
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('received', 'applied', 'ignored', 'malformed', 'failed')", name=op.f("ck_webhook_events_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
        sa.UniqueConstraint("source", "content_hash", name=op.f("uq_webhook_events_source_content_hash")),
    )
    op.create_table(
        "appointment_holds",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("service_id", sa.UUID(), nullable=False),
        sa.Column("payer_id", sa.UUID(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_appointment_holds_payer_id")),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_appointment_holds_provider_id")),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name=op.f("fk_appointment_holds_service_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appointment_holds")),
    )
    op.create_index("ix_appointment_holds_expires_at", "appointment_holds", ["expires_at"], unique=False)
    op.create_table(
        "ehr_appointments",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("client_email", sa.Text(), nullable=True),
        sa.Column("client_birth_date", sa.Date(), nullable=True),
        sa.Column("patient_id", sa.UUID(), nullable=True),
        sa.Column("practitioner_id", sa.Text(), nullable=True),
        sa.Column("ehr_service_id", sa.Text(), nullable=True),
        sa.Column("span", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("meeting_url", sa.Text(), nullable=True),
        sa.Column("location_name", sa.Text(), nullable=True),
        sa.Column("place_of_service", sa.Text(), nullable=True),
        sa.Column("deleted_in_ehr", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("raw", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('scheduled', 'confirmed', 'cancelled', 'declined', 'no_show')",
            name=op.f("ck_ehr_appointments_status"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_ehr_appointments_account_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_ehr_appointments_patient_id")),
        sa.PrimaryKeyConstraint("account_id", "external_id", name=op.f("pk_ehr_appointments")),
    )
    op.create_index(
        "ix_ehr_appointments_busy",
        "ehr_appointments",
        ["span"],
        unique=False,
        postgresql_using="gist",
        postgresql_where=sa.text("status in ('scheduled', 'confirmed') and not deleted_in_ehr"),
    )
    op.create_index("ix_ehr_appointments_client_email", "ehr_appointments", ["client_email"], unique=False)
    op.create_index("ix_ehr_appointments_client_id", "ehr_appointments", ["account_id", "client_id"], unique=False)
    op.create_index("ix_ehr_appointments_patient_id", "ehr_appointments", ["patient_id"], unique=False)
    op.create_table(
        "ehr_budget",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("minute_hits", sa.ARRAY(sa.BigInteger()), server_default="{}", nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("day_used", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_ehr_budget_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_ehr_budget")),
    )
    op.create_table(
        "match_reviews",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("candidate_patient_ids", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('open', 'resolved')", name=op.f("ck_match_reviews_state")),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_match_reviews_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_reviews")),
        sa.UniqueConstraint("account_id", "external_id", name=op.f("uq_match_reviews_account_id_external_id")),
    )
    op.create_table(
        "partner_users",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("identity_sub", sa.Text(), nullable=True),
        sa.CheckConstraint("role in ('partner_admin', 'case_manager')", name=op.f("ck_partner_users_role")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_partner_users_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner_users")),
        sa.UniqueConstraint("email", name=op.f("uq_partner_users_email")),
        sa.UniqueConstraint("identity_sub", name=op.f("uq_partner_users_identity_sub")),
    )
    op.create_table(
        "patient_activity_log",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("patient_id", sa.UUID(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_patient_activity_log_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_activity_log")),
    )
    op.create_index(op.f("ix_patient_activity_log_patient_id"), "patient_activity_log", ["patient_id"], unique=False)
    op.create_table(
        "provider_athena_settings",
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("athena_provider_id", sa.Text(), nullable=False),
        sa.Column("department_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name=op.f("fk_provider_athena_settings_provider_id")
        ),
        sa.PrimaryKeyConstraint("provider_id", name=op.f("pk_provider_athena_settings")),
        sa.UniqueConstraint(
            "athena_provider_id",
            "department_id",
            name=op.f("uq_provider_athena_settings_athena_provider_id_department_id"),
        ),
    )
    op.create_table(
        "provider_hours",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("weekday", sa.SmallInteger(), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("end", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("location_id", sa.UUID(), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.CheckConstraint("modality in ('telehealth', 'in_person')", name=op.f("ck_provider_hours_modality")),
        sa.CheckConstraint("\"end\" ~ '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$'", name=op.f("ck_provider_hours_end")),
        sa.CheckConstraint("\"start\" ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'", name=op.f("ck_provider_hours_start")),
        sa.CheckConstraint("valid_from <= valid_to", name=op.f("ck_provider_hours_valid")),
        sa.CheckConstraint("weekday between 0 and 6", name=op.f("ck_provider_hours_weekday")),
        sa.ForeignKeyConstraint(["location_id"], ["locations.id"], name=op.f("fk_provider_hours_location_id")),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_provider_hours_provider_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_hours")),
    )
    op.create_index(op.f("ix_provider_hours_provider_id"), "provider_hours", ["provider_id"], unique=False)
    op.create_table(
        "provider_intakeq_settings",
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("practitioner_id", sa.Text(), nullable=False),
        sa.Column("practitioner_email", sa.Text(), nullable=True),
        sa.Column("location_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name=op.f("fk_provider_intakeq_settings_provider_id")
        ),
        sa.PrimaryKeyConstraint("provider_id", name=op.f("pk_provider_intakeq_settings")),
        sa.UniqueConstraint("practitioner_id", name=op.f("uq_provider_intakeq_settings_practitioner_id")),
    )
    op.create_table(
        "provider_payer_networks",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("payer_id", sa.UUID(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=True),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status in ('credentialing_in_progress', 'active', 'inactive')",
            name=op.f("ck_provider_payer_networks_status"),
        ),
        sa.CheckConstraint("effective_date <= end_date", name=op.f("ck_provider_payer_networks_dates")),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_provider_payer_networks_payer_id")),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_provider_payer_networks_provider_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_payer_networks")),
    )
    op.create_index(op.f("ix_provider_payer_networks_payer_id"), "provider_payer_networks", ["payer_id"], unique=False)
    op.create_table(
        "provider_time_off",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint('"start" < "end"', name=op.f("ck_provider_time_off_order")),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_provider_time_off_provider_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_time_off")),
    )
    op.create_index(op.f("ix_provider_time_off_provider_id"), "provider_time_off", ["provider_id"], unique=False)
    op.create_table(
        "rooms",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("location_id", sa.UUID(), nullable=False),
        sa.Column("room_number", sa.Text(), nullable=False),
        sa.Column("room_name", sa.Text(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("equipment", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(["location_id"], ["locations.id"], name=op.f("fk_rooms_location_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rooms")),
    )
    op.create_table(
        "service_instances",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("service_id", sa.UUID(), nullable=False),
        sa.Column("payer_id", sa.UUID(), nullable=True),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("pos_code", sa.Text(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(retired_at is null) = (retired_reason is null)", name=op.f("ck_service_instances_retired")
        ),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_service_instances_payer_id")),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name=op.f("fk_service_instances_service_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_instances")),
    )
    op.create_index("ix_service_instances_payer_id", "service_instances", ["payer_id"], unique=False)
    op.create_index(
        "uq_service_instances_live",
        "service_instances",
        ["service_id", "payer_id", "location", "pos_code"],
        unique=True,
        postgresql_where=sa.text("retired_at is null"),
    )
    op.create_table(
        "staff_users",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=True),
        sa.Column("identity_sub", sa.Text(), nullable=True),
        sa.CheckConstraint("role in ('admin', 'biller', 'provider')", name=op.f("ck_staff_users_role")),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_staff_users_provider_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_users")),
        sa.UniqueConstraint("email", name=op.f("uq_staff_users_email")),
        sa.UniqueConstraint("identity_sub", name=op.f("uq_staff_users_identity_sub")),
    )
    op.create_table(
        "supervision_relationships",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("resident_id", sa.UUID(), nullable=False),
        sa.Column("attending_id", sa.UUID(), nullable=False),
        sa.Column("payer_id", sa.UUID(), nullable=True),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "level in ('sign_off_only', 'co_visit_required')", name=op.f("ck_supervision_relationships_level")
        ),
        sa.CheckConstraint("effective_date <= end_date", name=op.f("ck_supervision_relationships_dates")),
        sa.CheckConstraint("resident_id <> attending_id", name=op.f("ck_supervision_relationships_two_people")),
        sa.ForeignKeyConstraint(
            ["attending_id"], ["providers.id"], name=op.f("fk_supervision_relationships_attending_id")
        ),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_supervision_relationships_payer_id")),
        sa.ForeignKeyConstraint(
            ["resident_id"], ["providers.id"], name=op.f("fk_supervision_relationships_resident_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supervision_relationships")),
    )
    op.create_index(
        op.f("ix_supervision_relationships_resident_id"), "supervision_relationships", ["resident_id"], unique=False
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("sync_type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("page", sa.Integer(), server_default="1", nullable=False),
        sa.Column("changed_since", sa.Date(), nullable=True),
        sa.Column("window_first", sa.Date(), nullable=False),
        sa.Column("window_last", sa.Date(), nullable=False),
        sa.Column("round", sa.Integer(), server_default="1", nullable=False),
        sa.Column("round_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("brake_confirmed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("rows_read", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requests_used", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("phase in ('window', 'changed', 'deleted', 'pulled')", name=op.f("ck_sync_runs_phase")),
        sa.CheckConstraint(
            "state in ('pulling', 'applying', 'completed', 'failed', 'partial')", name=op.f("ck_sync_runs_state")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_sync_runs_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_runs")),
    )
    op.create_index(
        "uq_sync_runs_pulling", "sync_runs", ["account_id"], unique=True, postgresql_where=sa.text("state = 'pulling'")
    )
    op.create_table(
        "appointments",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("patient_id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=True),
        sa.Column("rendering_provider_id", sa.UUID(), nullable=True),
        sa.Column("payer_id", sa.UUID(), nullable=True),
        sa.Column("service_id", sa.UUID(), nullable=True),
        sa.Column("service_instance_id", sa.UUID(), nullable=True),
        sa.Column("location_id", sa.UUID(), nullable=True),
        sa.Column("room_id", sa.UUID(), nullable=True),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=True),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("meeting_url", sa.Text(), nullable=True),
        sa.Column("location_info", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("billing", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("insurance", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("roi_contacts", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("consents", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("deleted_in_ehr", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("ehr_modified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("modality in ('telehealth', 'in_person')", name=op.f("ck_appointments_modality")),
        sa.CheckConstraint(
            "status in ('pending', 'scheduled', 'confirmed', 'cancelled', 'declined', 'no_show', 'failed')",
            name=op.f("ck_appointments_status"),
        ),
        sa.CheckConstraint("system in ('intakeq', 'athena')", name=op.f("ck_appointments_system")),
        sa.CheckConstraint('"start" < "end"', name=op.f("ck_appointments_order")),
        sa.ForeignKeyConstraint(["location_id"], ["locations.id"], name=op.f("fk_appointments_location_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_appointments_patient_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_appointments_payer_id")),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_appointments_provider_id")),
        sa.ForeignKeyConstraint(
            ["rendering_provider_id"], ["providers.id"], name=op.f("fk_appointments_rendering_provider_id")
        ),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name=op.f("fk_appointments_room_id")),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name=op.f("fk_appointments_service_id")),
        sa.ForeignKeyConstraint(
            ["service_instance_id"], ["service_instances.id"], name=op.f("fk_appointments_service_instance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appointments")),
    )
    op.create_index(op.f("ix_appointments_patient_id"), "appointments", ["patient_id"], unique=False)
    op.create_index(op.f("ix_appointments_provider_id"), "appointments", ["provider_id"], unique=False)
    op.create_index("ix_appointments_service_instance_id", "appointments", ["service_instance_id"], unique=False)
    op.create_index("ix_appointments_start", "appointments", ["start"], unique=False)
    op.create_table(
        "patient_organization_affiliations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("patient_id", sa.UUID(), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("case_manager_id", sa.UUID(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("roi_consent", sa.Text(), nullable=False),
        sa.Column("roi_expires_on", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "roi_consent in ('active', 'missing')", name=op.f("ck_patient_organization_affiliations_roi_consent")
        ),
        sa.CheckConstraint("status in ('active', 'ended')", name=op.f("ck_patient_organization_affiliations_status")),
        sa.ForeignKeyConstraint(
            ["case_manager_id"], ["partner_users.id"], name=op.f("fk_patient_organization_affiliations_case_manager_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_patient_organization_affiliations_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.id"], name=op.f("fk_patient_organization_affiliations_patient_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_organization_affiliations")),
    )
    op.create_index(
        op.f("ix_patient_organization_affiliations_organization_id"),
        "patient_organization_affiliations",
        ["organization_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_patient_organization_affiliations_patient_id"),
        "patient_organization_affiliations",
        ["patient_id"],
        unique=False,
    )
    op.create_table(
        "service_instance_integrations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("service_instance_id", sa.UUID(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.CheckConstraint("system in ('intakeq', 'athena')", name=op.f("ck_service_instance_integrations_system")),
        sa.ForeignKeyConstraint(
            ["service_instance_id"],
            ["service_instances.id"],
            name=op.f("fk_service_instance_integrations_service_instance_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_instance_integrations")),
        sa.UniqueConstraint(
            "service_instance_id", "system", name=op.f("uq_service_instance_integrations_service_instance_id_system")
        ),
    )
    op.create_table(
        "sync_logs",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("run_id", sa.UUID(), nullable=True),
        sa.Column("organization_id", sa.UUID(), nullable=True),
        sa.Column("sync_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("new", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("errors", sa.Integer(), server_default="0", nullable=False),
        sa.Column("patients_total", sa.Integer(), server_default="0", nullable=False),
        sa.Column("patients_processed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requests_used", sa.Integer(), server_default="0", nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('in_progress', 'completed', 'failed', 'partial')", name=op.f("ck_sync_logs_status")
        ),
        sa.CheckConstraint(
            "sync_type in ('manual_patient', 'manual_org', 'automated_daily', 'webhook')",
            name=op.f("ck_sync_logs_sync_type"),
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_sync_logs_organization_id")),
        sa.ForeignKeyConstraint(["run_id"], ["sync_runs.id"], name=op.f("fk_sync_logs_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_logs")),
    )
    op.create_index(
        "ix_sync_logs_in_progress",
        "sync_logs",
        ["touched_at"],
        unique=False,
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(op.f("ix_sync_logs_run_id"), "sync_logs", ["run_id"], unique=False)
    op.create_index(
        "uq_sync_logs_run_organization",
        "sync_logs",
        ["run_id", "organization_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("run_id is not null"),
    )
    op.create_table(
        "sync_patient_results",
        sa.Column("run_id", sa.UUID(), nullable=False),
        sa.Column("patient_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("new", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("errors", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('synced', 'error')", name=op.f("ck_sync_patient_results_status")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_sync_patient_results_patient_id")),
        sa.ForeignKeyConstraint(["run_id"], ["sync_runs.id"], name=op.f("fk_sync_patient_results_run_id")),
        sa.PrimaryKeyConstraint("run_id", "patient_id", name=op.f("pk_sync_patient_results")),
    )
    op.create_table(
        "appointment_external_ids",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("appointment_id", sa.UUID(), nullable=False),
        sa.Column("is_current", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("applied_hash", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ehr_accounts.id"], name=op.f("fk_appointment_external_ids_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["appointment_id"], ["appointments.id"], name=op.f("fk_appointment_external_ids_appointment_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "external_id", name=op.f("pk_appointment_external_ids")),
    )
    op.create_index(
        op.f("ix_appointment_external_ids_appointment_id"), "appointment_external_ids", ["appointment_id"], unique=False
    )
    op.create_table(
        "ehr_writes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("appointment_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("practitioner_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("ehr_service_id", sa.Text(), nullable=False),
        sa.Column("ehr_location_id", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('book', 'cancel', 'reschedule')", name=op.f("ck_ehr_writes_kind")),
        sa.CheckConstraint(
            "state in ('waiting', 'sending', 'unknown', 'confirmed', 'failed', 'watching')",
            name=op.f("ck_ehr_writes_state"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_ehr_writes_account_id")),
        sa.ForeignKeyConstraint(["appointment_id"], ["appointments.id"], name=op.f("fk_ehr_writes_appointment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ehr_writes")),
    )
    op.create_index(op.f("ix_ehr_writes_appointment_id"), "ehr_writes", ["appointment_id"], unique=False)
    op.create_index(
        "ix_ehr_writes_next_look_at",
        "ehr_writes",
        ["next_look_at"],
        unique=False,
        postgresql_where=sa.text("state in ('waiting', 'sending', 'unknown', 'watching')"),
    )
    op.create_index(
        "ix_ehr_writes_visit",
        "ehr_writes",
        ["account_id", "practitioner_id", "starts_at"],
        unique=False,
        postgresql_where=sa.text("state in ('waiting', 'sending', 'unknown', 'watching')"),
    )
    op.create_index(
        "uq_ehr_writes_open",
        "ehr_writes",
        ["appointment_id", "kind"],
        unique=True,
        postgresql_where=sa.text("state in ('waiting', 'sending', 'unknown')"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("appointment_id", sa.UUID(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["appointment_id"], ["appointments.id"], name=op.f("fk_idempotency_keys_appointment_id")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_appointment_id"), "idempotency_keys", ["appointment_id"], unique=False)
    op.create_table(
        "schedule_conflicts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("appointment_id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('open', 'resolved')", name=op.f("ck_schedule_conflicts_state")),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_schedule_conflicts_account_id")),
        sa.ForeignKeyConstraint(
            ["appointment_id"], ["appointments.id"], name=op.f("fk_schedule_conflicts_appointment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_conflicts")),
        sa.UniqueConstraint(
            "appointment_id",
            "account_id",
            "external_id",
            name=op.f("uq_schedule_conflicts_appointment_id_account_id_external_id"),
        ),
    )
    op.create_index(
        op.f("ix_schedule_conflicts_appointment_id"), "schedule_conflicts", ["appointment_id"], unique=False
    )
    op.create_table(
        "time_claims",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("resource_kind", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.UUID(), nullable=False),
        sa.Column("span", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("appointment_id", sa.UUID(), nullable=True),
        sa.Column("hold_id", sa.UUID(), nullable=True),
        sa.Column("enforced", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        postgresql.ExcludeConstraint(
            (sa.text("uuid_span(resource_id, resource_id, '[]')"), "&&"),
            (sa.column("span"), "&&"),
            where=sa.text("enforced"),
            using="gist",
            name="ex_time_claims_no_overlap",
        ),
        sa.CheckConstraint("resource_kind in ('person', 'room', 'patient')", name=op.f("ck_time_claims_resource_kind")),
        sa.CheckConstraint(
            "not isempty(span) and not lower_inf(span) and not upper_inf(span)", name=op.f("ck_time_claims_span")
        ),
        sa.CheckConstraint("num_nonnulls(appointment_id, hold_id) = 1", name=op.f("ck_time_claims_one_owner")),
        sa.ForeignKeyConstraint(
            ["appointment_id"], ["appointments.id"], name=op.f("fk_time_claims_appointment_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["hold_id"], ["appointment_holds.id"], name=op.f("fk_time_claims_hold_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_time_claims")),
    )
    op.create_index(op.f("ix_time_claims_appointment_id"), "time_claims", ["appointment_id"], unique=False)
    op.create_index(op.f("ix_time_claims_hold_id"), "time_claims", ["hold_id"], unique=False)
    op.create_index("ix_time_claims_span", "time_claims", ["span"], unique=False, postgresql_using="gist")
    op.execute(APPLICATION_ROLE)


def downgrade() -> None:
    raise RuntimeError("the first revision is undone by dropping the database")
