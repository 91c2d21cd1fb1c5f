"""How the syncs have been going, day by day or week by week."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import Field

from moonlit.db.days import midnight
from moonlit.sync.log_list import VisitCounts
from moonlit.web.malformed import in_query
from moonlit.web.models import Model

LONGEST_DAYS, USUAL_DAYS = 366, 30
GroupBy = Literal["day", "week"]


class LogCounts(Model):
    """How many logs there are, one of a run for each organization and one for everybody else, by how they ended."""

    in_progress: int
    completed: int
    partial: int
    failed: int


class Period(Model):
    """A day, or a week from its Monday, cut where the range begins and ends; both days are inclusive.

    Durations are of the syncs that have ended, null where none has; `errorRate` is the share of errors among all that
    was counted, 0 where nothing was.
    """

    from_: Annotated[date, Field(alias="from")]  # No name of Python's may be `from`.
    to: date
    logs: LogCounts
    counts: VisitCounts
    average_duration_ms: int | None
    p95_duration_ms: int | None
    requests_used: int
    error_rate: float


class Trends(Model):
    """The periods from the first to the last, those without a sync among them."""

    group_by: GroupBy
    timezone: str
    items: list[Period]
    next_cursor: None = None


@dataclass(frozen=True, slots=True)
class Range:
    """The practice's days that trends are about, both inclusive."""

    first: date
    last: date


def days(first: date | None, last: date | None, today: date) -> Range:
    """Return the days asked for: up to today, and thirty of them, unless said otherwise.

    Raises:
        RequestValidationError: They are the wrong way round, or too many.
    """
    last = last or (max(first, today) if first else today)
    first = first or last - timedelta(days=USUAL_DAYS - 1)
    if last < first:
        raise in_query("before_from", "to")
    if last - first >= timedelta(days=LONGEST_DAYS):
        raise in_query("range_too_long", "to")
    return Range(first, last)


def trends(
    connection: sa.Connection, zone: ZoneInfo, asked: Range, organization_id: UUID | None, group_by: GroupBy
) -> Trends:
    """Return how the syncs that began on these days of `zone` went, of one organization or of all."""
    values = {
        "first": asked.first,
        "last": asked.last,
        "begins": midnight(asked.first, zone),
        "ends": midnight(asked.last + timedelta(days=1), zone),
        "zone": zone.key,
        "group_by": group_by,
        "organization_id": organization_id,
    }
    found = json.loads(connection.execute(_TRENDS, values).scalar_one())
    return Trends(group_by=group_by, timezone=zone.key, items=[_period(row) for row in found])


def _period(row: dict[str, Any]) -> Period:
    return Period(
        from_=row["first"],
        to=row["last"],
        logs=LogCounts(**{name: row[name] for name in LogCounts.model_fields}),
        counts=VisitCounts(**{name: row[name] for name in VisitCounts.model_fields}),
        average_duration_ms=row["average_duration_ms"],
        p95_duration_ms=row["p95_duration_ms"],
        requests_used=row["requests_used"],
        error_rate=row["error_rate"],
    )


# Of the logs of a run one bears its requests, so a sum over all of them counts each request once.
_TRENDS = sa.text("""
    with days as (
        select cast(day as date) as day, cast(date_trunc(:group_by, day) as date) as period
        from generate_series(cast(:first as timestamp), cast(:last as timestamp), interval '1 day') as day
    ), periods as (
        select period, min(day) as first, max(day) as last from days group by period
    ), logs as (
        select cast(date_trunc(:group_by, started_at at time zone :zone) as date) as period, l.*
        from sync_logs l
        where started_at >= :begins and started_at < :ends
            and (:organization_id is null or organization_id = :organization_id)
    ), summed as (
        select p.first, p.last,
            count(l.id) filter (where status = 'in_progress') as in_progress,
            count(l.id) filter (where status = 'completed') as completed,
            count(l.id) filter (where status = 'partial') as partial,
            count(l.id) filter (where status = 'failed') as failed,
            coalesce(sum(new), 0) as new, coalesce(sum(updated), 0) as updated,
            coalesce(sum(unchanged), 0) as unchanged, coalesce(sum(errors), 0) as errors,
            coalesce(sum(requests_used), 0) as requests_used,
            cast(round(avg(duration_ms) filter (where completed_at is not null)) as bigint) as average_duration_ms,
            cast(round(cast(percentile_cont(0.95) within group (order by duration_ms)
                filter (where completed_at is not null) as numeric)) as bigint) as p95_duration_ms,
            coalesce(round(cast(sum(errors) as numeric) / nullif(sum(new + updated + unchanged + errors), 0), 4), 0)
                as error_rate
        from periods p left join logs l on l.period = p.period
        group by p.first, p.last
    )
    select json_agg(to_json(summed) order by first)::text from summed
""").bindparams(
    sa.bindparam("organization_id", type_=sa.Uuid),
    sa.bindparam("group_by", type_=sa.Text),
    sa.bindparam("zone", type_=sa.Text),
)
