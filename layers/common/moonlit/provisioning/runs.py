"""The runs of provisioning and their actions, as they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from moonlit.audit.store import Audit, Change
from moonlit.db.paging import Paged, by_instant
from moonlit.db.tables import payers, provisioning_actions, provisioning_runs
from moonlit.errors import NotFound
from moonlit.provisioning.writing import Done

ENTITY, RUN = "service_instance", "provisioning_run"  # In the audit log.


class ProvisioningRuns:
    """The runs as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def open(self, run_id: UUID, **values: Any) -> None:
        """Store a run that begins."""
        self._connection.execute(sa.insert(provisioning_runs).values(id=run_id, state="running", **values))

    def end(self, run_id: UUID, values: Mapping[str, Any]) -> None:
        """Store what a run has come to, unless it was undone in the meantime."""
        running = (provisioning_runs.c.id == run_id) & (provisioning_runs.c.state == "running")
        self._connection.execute(sa.update(provisioning_runs).where(running).values(**values))

    def locked(self, run_id: UUID) -> sa.RowMapping:
        """Return a run, locked for this transaction.

        Raises:
            NotFound: There is none.
        """
        return self._run(run_id, sa.select(provisioning_runs).with_for_update())

    def has_answered(self, event_id: UUID, payer_id: UUID) -> bool:
        """Tell whether a run has done what the event asks for, even if it was undone since."""
        given = {"event_id": event_id, "payer_id": payer_id}
        return bool(self._connection.execute(_ANSWERED, given).scalar_one())

    def run(self, run_id: UUID) -> sa.RowMapping:
        """Return a run.

        Raises:
            NotFound: There is none.
        """
        return self._run(run_id, sa.select(provisioning_runs))

    def _run(self, run_id: UUID, query: sa.Select[Any]) -> sa.RowMapping:
        found = self._connection.execute(query.where(provisioning_runs.c.id == run_id)).mappings().one_or_none()
        if found is None:
            raise NotFound(f"run {run_id}")
        return found

    def page(self, *, limit: int, after: str | None) -> Paged:
        """Return a page of runs, the newest first."""
        columns = provisioning_runs.c
        query = sa.select(provisioning_runs)
        return by_instant(
            self._connection, query, columns.started_at, columns.id, limit=limit, after=after, newest_first=True
        )

    def add(self, run_id: UUID, actions: Sequence[Done], *, planned: bool) -> None:
        """Store actions, planned or carried out, and count them."""
        rows = [
            {
                "position": one.position,
                "action": one.step.action,
                "payer_id": one.step.payer_id and str(one.step.payer_id),
                "service_id": str(one.step.service_id),
                "service_instance_id": str(one.step.instance_id),
                "before": one.step.before,
                "after": one.step.after,
                "kept": one.kept,
                "state": "planned" if planned else "failed" if one.error else "done",
                "error": one.error,
            }
            for one in actions
        ]
        if rows:
            failed = sum(row["state"] == "failed" for row in rows)
            self._connection.execute(_ADD, {"run_id": run_id, "rows": rows})
            self._connection.execute(_COUNT, {"run_id": run_id, "actions": len(rows), "failed": failed})

    def actions(self, run_id: UUID, *, limit: int, after: int = -1) -> Sequence[sa.RowMapping]:
        """Return up to `limit` actions behind the position `after`, each with its payer's name."""
        columns = provisioning_actions.c
        query = (
            sa.select(provisioning_actions, sa.func.btrim(payers.c.name).label("payer_name"))
            .outerjoin(payers, payers.c.id == columns.payer_id)
            .where(columns.run_id == run_id, columns.position > after)
            .order_by(columns.position)
            .limit(limit)
        )
        return self._connection.execute(query).mappings().all()

    def names(self, payer_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Return the payers' names by id."""
        query = sa.select(payers.c.id, sa.func.btrim(payers.c.name)).where(payers.c.id.in_(payer_ids))
        return dict(self._connection.execute(query).all())


def note(audit: Audit, actions: Sequence[Done]) -> None:
    """Note in the audit log what was done."""
    audit.changed_each(
        Change(one.step.action, ENTITY, one.step.instance_id, one.step.before, one.step.after)
        for one in actions
        if one.error is None
    )


_ADD = sa.text("""
    insert into provisioning_actions (run_id, position, action, payer_id, service_id, service_instance_id, before,
        after, kept, state, error)
    select :run_id, r.* from jsonb_to_recordset(:rows) as r (position integer, action text, payer_id uuid,
        service_id uuid, service_instance_id uuid, before jsonb, after jsonb, kept jsonb, state text, error text)
""").bindparams(sa.bindparam("rows", type_=JSONB), sa.bindparam("run_id", type_=sa.UUID))
_COUNT = sa.text("""
    update provisioning_runs set actions = actions + :actions, actions_failed = actions_failed + :failed
    where id = :run_id
""").bindparams(sa.bindparam("run_id", type_=sa.UUID))
_ANSWERED = sa.text("""
    select exists (
        select from outbox o join provisioning_runs r on r.started_at >= o.created_at
        where o.id = :event_id and r.payer_ids = array[:payer_id] and r.mode = 'apply' and r.requested_by = 'system'
            and r.state in ('applied', 'undone'))
""").bindparams(sa.bindparam("event_id", type_=sa.UUID), sa.bindparam("payer_id", type_=sa.UUID))
