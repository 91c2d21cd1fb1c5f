"""What was planned and done to make payers bookable, each action with what was before and after it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from moonlit.db.tables.base import count, instant, key, metadata, one_of, ref, text

provisioning_runs = sa.Table(
    "provisioning_runs",
    metadata,
    key(),
    # In which order runs began: of two that touched the same, the later one has to be undone first.
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    text("mode"),
    text("strategy"),
    # Null: all payers, and the orphans that belong to none.
    sa.Column("payer_ids", sa.ARRAY(UUID(as_uuid=True)), nullable=True),
    text("requested_by"),  # `staff:<id>`, or `system` for the event of a new payer.
    # `running` may also be one that was killed: what it did is done, and the next run does the rest.
    text("state"),
    count("payers_total"),
    count("payers_left"),  # Those that the run did not come to, because its time was up.
    count("actions"),
    count("actions_failed"),
    count("ready_before"),
    count("ready_after"),
    sa.Column("for_review", JSONB, nullable=False, server_default="[]"),
    sa.Column("kept_orphans", JSONB, nullable=False, server_default="[]"),
    instant("started_at"),
    instant("finished_at", nullable=True),
    instant("undone_at", nullable=True),
    text("undone_by", nullable=True),
    one_of("mode", "dryRun", "apply"),
    one_of("strategy", "contracted", "hybrid", "all"),
    one_of("state", "running", "planned", "applied", "partial", "undone"),
    sa.Index("ix_provisioning_runs_started_at", "started_at", "id"),
)

provisioning_actions = sa.Table(
    "provisioning_actions",
    metadata,
    ref("run_id", "provisioning_runs.id", primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    text("action"),
    # No references: what an action made may be undone, and what it removed is gone.
    sa.Column("payer_id", UUID(as_uuid=True), nullable=True),
    sa.Column("service_id", UUID(as_uuid=True), nullable=False),
    sa.Column("service_instance_id", UUID(as_uuid=True), nullable=False),
    sa.Column("before", JSONB, nullable=True),
    sa.Column("after", JSONB, nullable=True),
    # Whole rows, and the visits that were moved: what it takes to undo it.
    sa.Column("kept", JSONB, nullable=True),
    text("state"),
    text("error", nullable=True),
    one_of("action", "create_instance", "create_mapping", "repair_mapping", "retire_duplicate", "remove_orphan"),
    one_of("state", "planned", "done", "failed", "undone"),
    sa.Index("ix_provisioning_actions_instance", "service_instance_id", "run_id"),
)
