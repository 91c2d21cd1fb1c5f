"""One run as an admin follows it: how far its pull is, and how many of its parts are done."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.errors import NotFound
from moonlit.sync.log_list import SyncType, VisitCounts
from moonlit.web.models import Model


class RunShown(Model):
    """A run. While it is `pulling`, `phase` and `page` move on; while it is `applying`, `logsOpen` falls."""

    run_id: UUID
    system: Literal["intakeq", "athena"]
    type: SyncType
    state: Literal["pulling", "applying", "completed", "failed", "partial"]
    phase: Literal["window", "changed", "deleted", "pulled"]
    page: int
    requests_used: int
    error: str | None
    started_at: datetime
    finished_at: datetime | None
    logs_total: int
    logs_open: int
    counts: VisitCounts


def run_shown(connection: sa.Connection, run_id: UUID, zone: ZoneInfo) -> RunShown:
    """Return how far a run is, instants in `zone`.

    Raises:
        NotFound: There is no such run.
    """
    row = connection.execute(_RUN, {"id": run_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"run {run_id}")
    known = {name: row[name] for name in RunShown.model_fields if name in row}
    finished = row["finished_at"]
    return RunShown(**known | {
        "started_at": row["started_at"].astimezone(zone),
        "finished_at": finished and finished.astimezone(zone),
        "counts": VisitCounts(**{name: row[name] for name in VisitCounts.model_fields}),
    })  # fmt: skip


# Who is looked after by two organizations is counted in the logs of both, and here once.
_RUN = sa.text("""
    select r.id as run_id, a.system, r.sync_type as type, r.state, r.phase, r.page, r.requests_used, r.error,
        r.started_at, r.finished_at, l.logs_total, l.logs_open, x.*
    from sync_runs r join ehr_accounts a on a.id = r.account_id
    cross join lateral (
        select count(*) as logs_total, count(*) filter (where status = 'in_progress') as logs_open
        from sync_logs where run_id = r.id) l
    cross join lateral (
        select coalesce(sum(new), 0) as new, coalesce(sum(updated), 0) as updated,
            coalesce(sum(unchanged), 0) as unchanged, coalesce(sum(errors), 0) as errors
        from sync_patient_results where run_id = r.id) x
    where r.id = :id
""").bindparams(sa.bindparam("id", type_=sa.Uuid))
