"""Keep what a second EHR brings (open slots, freezes, a shared token), moves and cancellations, leads, and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_unsent", "outbox", ["created_at"], unique=False, postgresql_where=sa.text("sent_at is null")
    )
    op.create_table(
        "public_uses",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uses", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("kind in ('hold', 'booking', 'lead')", name=op.f("ck_public_uses_kind")),
        sa.PrimaryKeyConstraint("kind", "caller", "hour", name=op.f("pk_public_uses")),
    )
    op.create_index("ix_public_uses_hour", "public_uses", ["hour"], unique=False)
    op.create_table(
        "ehr_freezes",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.UUID(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("thaw_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_ehr_freezes_account_id")),
        sa.PrimaryKeyConstraint("account_id", "slot_id", name=op.f("pk_ehr_freezes")),
    )
    op.create_index(op.f("ix_ehr_freezes_hold_id"), "ehr_freezes", ["hold_id"], unique=False)
    op.create_index("ix_ehr_freezes_thaw_at", "ehr_freezes", ["thaw_at"], unique=False)
    op.create_table(
        "ehr_open_slots",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("practitioner_id", sa.Text(), nullable=False),
        sa.Column("department_id", sa.Text(), nullable=False),
        sa.Column("reason_ids", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("span", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_ehr_open_slots_account_id")),
        sa.PrimaryKeyConstraint("account_id", "external_id", name=op.f("pk_ehr_open_slots")),
    )
    op.create_index("ix_ehr_open_slots_span", "ehr_open_slots", ["span"], unique=False, postgresql_using="gist")
    op.create_table(
        "ehr_tokens",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("access_token", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("minute_hits", sa.ARRAY(sa.BigInteger()), server_default="{}", nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["ehr_accounts.id"], name=op.f("fk_ehr_tokens_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_ehr_tokens")),
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("payer_id", sa.UUID(), nullable=True),
        sa.Column("payer_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("effective_date", sa.Date(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('pending', 'contacted', 'converted')", name=op.f("ck_leads_status")),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_leads_payer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leads")),
    )
    op.create_index("ix_leads_created_at", "leads", ["created_at"], unique=False)
    op.create_table(
        "payer_athena_settings",
        sa.Column("payer_id", sa.UUID(), nullable=False),
        sa.Column("insurance_package_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["payer_id"], ["payers.id"], name=op.f("fk_payer_athena_settings_payer_id")),
        sa.PrimaryKeyConstraint("payer_id", name=op.f("pk_payer_athena_settings")),
    )
    op.add_column("appointment_holds", sa.Column("caller", sa.Text(), nullable=True))
    op.create_index("ix_appointment_holds_caller", "appointment_holds", ["caller"], unique=False)
    op.add_column("ehr_accounts", sa.Column("slots_read_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("ehr_appointments", sa.Column("location_id", sa.Text(), nullable=True))
    op.add_column("ehr_appointments", sa.Column("moved_to", sa.Text(), nullable=True))
    op.create_index(
        "ix_ehr_appointments_moved",
        "ehr_appointments",
        ["account_id", "external_id"],
        unique=False,
        postgresql_where=sa.text("moved_to is not null"),
    )
    op.add_column("sync_runs", sa.Column("night_id", sa.UUID(), nullable=True))
    op.add_column("ehr_writes", sa.Column("slot_id", sa.Text(), nullable=True))
    op.add_column("ehr_writes", sa.Column("move", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("ehr_writes", sa.Column("reason", sa.Text(), nullable=True))
    op.alter_column("ehr_writes", "practitioner_id", existing_type=sa.TEXT(), nullable=True)
    op.alter_column("ehr_writes", "ehr_service_id", existing_type=sa.TEXT(), nullable=True)
    op.create_index(
        "uq_appointment_external_ids_current",
        "appointment_external_ids",
        ["appointment_id"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    op.drop_index("uq_ehr_writes_open", table_name="ehr_writes")
    op.create_index(
        "uq_ehr_writes_open",
        "ehr_writes",
        ["appointment_id", "kind", sa.text("coalesce(external_id, '')")],
        unique=True,
        postgresql_where=sa.text("state in ('waiting', 'sending', 'unknown')"),
    )
    op.drop_constraint(op.f("ck_ehr_writes_kind"), "ehr_writes")
    op.create_check_constraint(
        op.f("ck_ehr_writes_kind"), "ehr_writes", "kind in ('book', 'cancel', 'reschedule', 'details')"
    )
    op.add_column("appointments", sa.Column("patient_state", sa.Text(), nullable=True))
    op.add_column("appointments", sa.Column("co_visit", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    raise RuntimeError("revisions are only taken forward: go back by a backup")
