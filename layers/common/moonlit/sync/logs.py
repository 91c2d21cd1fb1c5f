"""Sync logs: what a run does for each organization, or a single refresh for one patient."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db.tables import sync_logs, sync_runs
from moonlit.sync.run import Run


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to visits inside the window."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: int = 0


class Logs:
    """The logs as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def open_for(self, run: Run, organization_id: UUID, refresh_id: UUID, requested_by: str, now: datetime) -> None:
        """Open a log in a run that is still being pulled, for an organization that asked for it."""
        self._connection.execute(
            sa.insert(sync_logs).values(
                id=uuid4(),
                run_id=run.id,
                organization_id=organization_id,
                refresh_id=refresh_id,
                requested_by=requested_by,
                sync_type="manual_org",
                status="in_progress",
                started_at=now,
                touched_at=now,
            )
        )

    def open(self, run: Run, unknown_rows: int, now: datetime) -> list[UUID]:
        """Return the logs of a run whose pull is complete: of those who asked, and of everybody if it is for them.

        For everybody there is a log for each active organization and one for all other patients. The run's requests
        and the number of rows that belong to nobody stand on one log, that last one where there is one, so that adding
        up logs counts them once.
        """
        if run.for_everybody:
            who = {"sync_type": run.sync_type, "requested_by": run.requested_by}
            self._connection.execute(_OPEN, {"run_id": run.id, "now": now, **who})
        spent = {"run_id": run.id, "requests": run.requests_used, "unknown": unknown_rows}
        self._connection.execute(_SPENT, spent)
        query = sa.select(sync_logs.c.id).where(sync_logs.c.run_id == run.id, sync_logs.c.status == "in_progress")
        return list(self._connection.execute(query.order_by(sync_logs.c.id)).scalars())

    def messages(self, log_ids: Collection[UUID]) -> list[dict[str, Any]]:
        """Return the message for each log that says whom to bring up to date."""
        query = sa.select(sync_logs.c.run_id, sync_logs.c.id, sync_logs.c.organization_id)
        rows = self._connection.execute(query.where(sync_logs.c.id.in_(log_ids)).order_by(sync_logs.c.id))
        return [
            {"runId": str(run_id), "syncLogId": str(log_id), "organizationId": organization and str(organization)}
            for run_id, log_id, organization in rows
        ]

    def sent(self, log_ids: Collection[UUID], now: datetime) -> None:
        """Note that their messages are on the queue."""
        self._connection.execute(
            sa.update(sync_logs).where(sync_logs.c.id.in_(log_ids)).values(sent_at=now, touched_at=now)
        )

    def stuck(self, unsent_before: datetime, untouched_before: datetime) -> list[UUID]:
        """Return the unfinished logs whose message was not sent, or whose work has stood still, since these times.

        Those of a run that is still being pulled have to wait for it.
        """
        stopped = sync_logs.c.touched_at < untouched_before
        never_sent = sa.and_(sync_logs.c.sent_at.is_(None), sync_logs.c.touched_at < unsent_before)
        query = (
            sa.select(sync_logs.c.id)
            .join(sync_runs, sync_runs.c.id == sync_logs.c.run_id)
            .where(sync_logs.c.status == "in_progress", sync_runs.c.state == "applying", sa.or_(stopped, never_sent))
        )
        return list(self._connection.execute(query.order_by(sync_logs.c.touched_at)).scalars())

    def asked_after(self, run_id: UUID, instant: datetime) -> bool:
        """Return whether somebody asked for a refresh that the run is to bring, when it was `instant` or later."""
        late = sa.exists().where(sync_logs.c.run_id == run_id, *_is_late(instant))
        return bool(self._connection.execute(sa.select(late)).scalar_one())

    def move(self, run_id: UUID, to: UUID, instant: datetime) -> None:
        """Let the run `to` bring the refreshes that `asked_after` is about."""
        late = sa.update(sync_logs).where(sync_logs.c.run_id == run_id, *_is_late(instant))
        self._connection.execute(late.values(run_id=to))

    def add_single(
        self, sync_type: str, counts: Counts, patients: int, metadata: Mapping[str, Any], now: datetime, **more: Any
    ) -> UUID:
        """Log a refresh that belongs to no run, such as a webhook's, and return its id; `more` are further columns."""
        log_id = uuid4()
        values = {
            "status": "partial" if counts.errors else "completed",
            "patients_total": patients,
            "patients_processed": patients,
            "duration_ms": 0,
            "started_at": now,
            "touched_at": now,
            "completed_at": now,
            **asdict(counts),
            **more,
        }
        self._connection.execute(
            sa.insert(sync_logs).values(id=log_id, sync_type=sync_type, metadata=dict(metadata), **values)
        )
        return log_id

    def of_run(self, run_id: UUID) -> list[dict[str, Any]]:
        """Return each log's organization, status and counts, for whoever called the sync by hand."""
        return list(json.loads(self._connection.execute(_OF_RUN, {"run_id": run_id}).scalar_one() or "[]"))


def _is_late(instant: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    unfinished = sync_logs.c.status == "in_progress"
    return unfinished, sync_logs.c.refresh_id.is_not(None), sync_logs.c.started_at >= instant


_OPEN = sa.text("""
    insert into sync_logs (
        id, run_id, organization_id, sync_type, requested_by, status, metadata, started_at, touched_at)
    select gen_random_uuid(), :run_id, o.id, :sync_type, :requested_by, 'in_progress', '{}', :now, :now
    from (select id from organizations where active union all select null) o
""")

_SPENT = sa.text("""
    update sync_logs set requests_used = :requests,
        metadata = metadata || jsonb_build_object('unmatchedRows', cast(:unknown as integer))
    where id = (
        select id from sync_logs where run_id = :run_id
        order by organization_id is not null, refresh_id nulls first, started_at, id limit 1)
""")

_OF_RUN = sa.text("""
    select json_agg(json_build_object('organizationId', organization_id, 'status', status, 'new', new,
        'updated', updated, 'unchanged', unchanged, 'errors', errors, 'patientsTotal', patients_total,
        'patientsProcessed', patients_processed, 'error', error_message) order by organization_id)::text
    from sync_logs where run_id = :run_id
""")
