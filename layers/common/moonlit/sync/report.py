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

# A night asks each EHR account in a run of its own, and is told with all of them, however long ago one ended. A patient
# of two organizations is in the logs of both.
_NIGHTS = sa.text("""
    with nights as (
        select distinct coalesce(night_id, id) as id from sync_runs
        where sync_type = 'automated_daily' and (finished_at is null or finished_at > :since)
    )
    select coalesce(r.night_id, r.id) as id, array_agg(distinct r.id::text) as run_ids, min(r.started_at) as started_at,
        bool_and(r.finished_at is not null) as is_over, max(r.finished_at) as finished_at,
        coalesce(array_agg(distinct r.error) filter (where r.error is not null), '{}') as codes,
        cast(sum(r.requests_used) as bigint), cast(sum(l.organizations) as bigint), cast(sum(l.patients) as bigint),
        cast(sum(l.new) as bigint), cast(sum(l.updated) as bigint), cast(sum(l.unchanged) as bigint),
        cast(sum(l.errors) as bigint)
    from nights
    join sync_runs r on r.sync_type = 'automated_daily' and coalesce(r.night_id, r.id) = nights.id
    cross join lateral (
        select count(organization_id) as organizations, coalesce(sum(patients_processed), 0) as patients,
            coalesce(sum(new), 0) as new, coalesce(sum(updated), 0) as updated,
            coalesce(sum(unchanged), 0) as unchanged, coalesce(sum(errors), 0) as errors
        from sync_logs where run_id = r.id and sync_type = 'automated_daily') l
    group by coalesce(r.night_id, r.id) order by min(r.started_at)
""")


@dataclass(frozen=True, slots=True)
class Night:
    """A night over all EHR accounts; `codes` say what ended runs before their time."""

    id: UUID
    run_ids: list[str]
    started_at: datetime
    is_over: bool
    finished_at: datetime | None
    codes: list[str]
    requests_used: int
    organizations: int
    patients: int
    new: int
    updated: int
    unchanged: int
    errors: int

    @property
    def went_wrong(self) -> str | None:
        """Return why people should look at it, None when they need not."""
        if self.codes:
            return "night_failed"
        return "night_errors" if self.errors > MOST_ERRORS * self.patients else None

    def told(self) -> dict[str, Any]:
        """Return the payload: ids, codes and numbers."""
        return {
            "nightId": str(self.id),
            "runIds": self.run_ids,
            "codes": self.codes,
            "requestsUsed": self.requests_used,
            "organizations": self.organizations,
            "patients": self.patients,
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
