"""What the practice's admins are told after each night: a summary, and an alert when it went wrong or does not end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.booking.outbox import Outbox
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.observability import logger

LOOKS_BACK = timedelta(hours=26)  # A sweeper that was away for a day still tells of the last night.
TOO_LONG = timedelta(hours=12)
MOST_ERRORS = 0.05  # Of the patients; more is a trouble of its own.

# A night asks each EHR account in a run of its own, and is told with all of them, however long ago one ended. Who is
# known to two accounts or looked after by two organizations is one patient.
_NIGHTS = sa.text("""
    with recent as (
        select distinct coalesce(night_id, id) as id from sync_runs
        where sync_type = 'automated_daily' and (finished_at is null or finished_at > :since)
    ), nights as (
        select recent.id, array_agg(r.id) as run_ids, min(r.started_at) as started_at,
            bool_and(r.finished_at is not null) as is_over, max(r.finished_at) as finished_at,
            coalesce(array_agg(distinct r.error) filter (where r.error is not null), '{}') as codes,
            cast(sum(r.requests_used) as bigint) as requests_used
        from recent join sync_runs r on r.sync_type = 'automated_daily' and coalesce(r.night_id, r.id) = recent.id
        group by recent.id
    )
    select n.id, n.run_ids::text[], n.started_at, n.is_over, n.finished_at, n.codes, n.requests_used,
        l.organizations, x.*
    from nights n
    cross join lateral (
        select count(distinct organization_id) as organizations from sync_logs
        where run_id = any(n.run_ids) and sync_type = 'automated_daily') l
    cross join lateral (
        select count(distinct patient_id), count(distinct patient_id) filter (where status = 'error'),
            coalesce(sum(new), 0)::bigint, coalesce(sum(updated), 0)::bigint, coalesce(sum(unchanged), 0)::bigint,
            coalesce(sum(errors), 0)::bigint
        from sync_patient_results where run_id = any(n.run_ids)) x
    order by n.started_at
""")


@dataclass(frozen=True, slots=True)
class Night:
    """A night over all EHR accounts.

    Attributes:
        codes: What ended runs before their time.
        patients: How many were brought up to date, or should have been: `failed` of them were not, in some account.
        new: Of visits, as are those that follow.
    """

    id: UUID
    run_ids: list[str]
    started_at: datetime
    is_over: bool
    finished_at: datetime | None
    codes: list[str]
    requests_used: int
    organizations: int
    patients: int
    failed: int
    new: int
    updated: int
    unchanged: int
    errors: int

    @property
    def went_wrong(self) -> str | None:
        """Return why people should look at it, None when they need not."""
        if self.codes:
            return "night_failed"
        return "night_errors" if self.failed > MOST_ERRORS * self.patients else None

    def told(self) -> dict[str, Any]:
        """Return the payload: ids, codes and numbers."""
        return {
            "nightId": str(self.id),
            "runIds": self.run_ids,
            "codes": self.codes,
            "requestsUsed": self.requests_used,
            "organizations": self.organizations,
            "patients": self.patients,
            "patientsFailed": self.failed,
            "counts": {name: getattr(self, name) for name in ("new", "updated", "unchanged", "errors")},
            "startedAt": self.started_at.isoformat(),
            "finishedAt": self.finished_at and self.finished_at.isoformat(),
        }


def report_nights(begin: Begin, clock: Clock) -> dict[str, int]:
    """Put what is to be told of nights into the outbox, each once, and return how many summaries and alerts are new."""
    now = clock.now()
    told = {"nights_told": 0, "night_alerts": 0}
    with begin() as connection:
        outbox = Outbox(connection)
        for row in connection.execute(_NIGHTS, {"since": now - LOOKS_BACK}):
            night = Night(*row)
            reason = night.went_wrong if night.is_over else _overdue(night, now)
            if night.is_over:
                told["nights_told"] += outbox.add("night_summary", night.id, now, **night.told())
            if reason and outbox.add(f"staff_alert.{reason}", night.id, now, reason=reason, **night.told()):
                told["night_alerts"] += 1
                logger.error("night_alert", reason=reason, night_id=str(night.id), codes=night.codes)
    return {name: count for name, count in told.items() if count}


def _overdue(night: Night, now: datetime) -> str | None:
    return "night_not_over" if now - night.started_at > TOO_LONG else None
