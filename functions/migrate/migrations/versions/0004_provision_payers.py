"""Keep what is done to make payers bookable, action by action, and find what staff list by its time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provisioning_runs",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("payer_ids", sa.ARRAY(sa.UUID()), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payers_total", sa.Integer(), server_default="0", nullable=False),
        sa.Column("payers_left", sa.Integer(), server_default="0", nullable=False),
        sa.Column("actions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("actions_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ready_before", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ready_after", sa.Integer(), server_default="0", nullable=False),
        sa.Column("for_review", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("kept_orphans", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.CheckConstraint("mode in ('dryRun', 'apply')", name=op.f("ck_provisioning_runs_mode")),
        sa.CheckConstraint(
            "state in ('running', 'planned', 'applied', 'partial', 'undone')", name=op.f("ck_provisioning_runs_state")
        ),
        sa.CheckConstraint("strategy in ('contracted', 'hybrid', 'all')", name=op.f("ck_provisioning_runs_strategy")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_runs")),
        sa.UniqueConstraint("number", name=op.f("uq_provisioning_runs_number")),
    )
    op.create_index("ix_provisioning_runs_started_at", "provisioning_runs", ["started_at", "id"], unique=False)
    op.create_table(
        "provisioning_actions",
        sa.Column("run_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("payer_id", sa.UUID(), nullable=True),
        sa.Column("service_id", sa.UUID(), nullable=False),
        sa.Column("service_instance_id", sa.UUID(), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("kept", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "action in ('create_instance', 'create_mapping', 'repair_mapping', 'retire_duplicate', 'remove_orphan')",
            name=op.f("ck_provisioning_actions_action"),
        ),
        sa.CheckConstraint(
            "state in ('planned', 'done', 'failed', 'undone')", name=op.f("ck_provisioning_actions_state")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["provisioning_runs.id"], name=op.f("fk_provisioning_actions_run_id")),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_provisioning_actions")),
    )
    op.create_index(
        "ix_provisioning_actions_instance", "provisioning_actions", ["service_instance_id", "run_id"], unique=False
    )
    op.create_index("ix_audit_log_actor_id", "audit_log", ["actor_id", "at", "id"], unique=False)
    op.create_index(
        "ix_audit_log_system", "audit_log", ["at", "id"], unique=False, postgresql_where=sa.text("actor_id is null")
    )
    op.drop_index(op.f("ix_audit_log_entity"), table_name="audit_log")
    op.create_index("ix_audit_log_entity", "audit_log", ["entity", "at", "id"], unique=False)
    op.create_index(
        "ix_audit_log_entity_id",
        "audit_log",
        ["entity_id", "entity", "at", "id"],
        unique=False,
        postgresql_where=sa.text("entity_id is not null"),
    )
    # An id is of one kind of thing: who does not know that expects a twentieth of the lines that there are, and sorts.
    op.execute("create statistics audit_log_things (dependencies) on entity, entity_id from audit_log")
    op.drop_index("ix_outbox_unsent", table_name="outbox")
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["kind", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("sent_at is null"),
    )
    op.create_index("ix_ehr_writes_created_at", "ehr_writes", ["created_at", "id"], unique=False)
    op.drop_index(op.f("ix_leads_created_at"), table_name="leads")
    op.create_index("ix_leads_created_at", "leads", ["created_at", "id"], unique=False)
    op.create_index("ix_sync_logs_started_at", "sync_logs", ["started_at", "id"], unique=False)


def downgrade() -> None:
    raise RuntimeError("revisions are only taken forward: go back by a backup")
