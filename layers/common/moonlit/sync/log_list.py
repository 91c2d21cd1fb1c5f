"""The sync logs as admins see them: what was brought up to date, for whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.db.days import between
from moonlit.db.paging import by_instant
from moonlit.db.tables import ehr_accounts, organizations, sync_logs, sync_runs
from moonlit.web import csv_text
from moonlit.web.models import Model

SyncType = Literal["manual_patient", "manual_org", "automated_daily", "webhook"]
SyncStatus = Literal["in_progress", "completed", "failed", "partial"]
MOST_CSV_ROWS = 10_000


class VisitCounts(Model):
    """What happened to visits."""

    new: int
    updated: int
    unchanged: int
    errors: int


class LogShown(Model):
    """What one sync did for an organization, for a patient, or with what a webhook told.

    Without an organization it is about all patients that none looks after, about one patient, or about a webhook.
    `system` is null for refreshes of one patient, which may ask several EHRs; `requestedBy` for schedules and webhooks.
    Of the logs of a run one bears the run's requests.
    """

    sync_id: UUID
    run_id: UUID | None
    type: SyncType
    status: SyncStatus
    organization_id: UUID | None
    organization_name: str | None
    patient_id: UUID | None
    requested_by: str | None
    system: Literal["intakeq", "athena"] | None
    started_at: datetime
    completed_at: datetime | None
    duration_ms: int | None
    counts: VisitCounts
    patients_total: int
    patients_processed: int
    requests_used: int
    error: str | None


class LogPage(Model):
    """A page of logs, the newest first."""

    items: list[LogShown]
    next_cursor: str | None

    def patient_ids(self) -> list[UUID]:
        """Return the patients who are shown."""
        return sorted({item.patient_id for item in self.items if item.patient_id})


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs: those begun on the practice's days `first` to `last`, and so on; None stands for any."""

    sync_type: str | None = None
    status: str | None = None
    organization_id: UUID | None = None
    run_id: UUID | None = None
    first: date | None = None
    last: date | None = None

    def conditions(self, zone: ZoneInfo) -> Iterator[sa.ColumnElement[bool]]:
        """Yield the filter in SQL.

        Raises:
            RequestValidationError: The days are the wrong way round.
        """
        exact = {
            "sync_type": self.sync_type,
            "status": self.status,
            "organization_id": self.organization_id,
            "run_id": self.run_id,
        }
        yield from (sync_logs.c[name] == value for name, value in exact.items() if value is not None)
        yield from between(sync_logs.c.started_at, self.first, self.last, zone)


def page(connection: sa.Connection, zone: ZoneInfo, wanted: LogFilter, *, limit: int, after: str | None) -> LogPage:
    """Return a page of logs, instants in `zone`; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    query = _LOGS.where(*wanted.conditions(zone))
    at, key = sync_logs.c.started_at, sync_logs.c.id
    found = by_instant(connection, query, at, key, limit=limit, after=after, newest_first=True)
    return LogPage(items=[_shown(row, zone) for row in found.rows], next_cursor=found.next_cursor)


def _shown(row: Mapping[Any, Any], zone: ZoneInfo) -> LogShown:
    completed = row["completed_at"]
    return LogShown(
        sync_id=row["id"],
        type=row["sync_type"],
        started_at=row["started_at"].astimezone(zone),
        completed_at=completed and completed.astimezone(zone),
        counts=VisitCounts(**{name: row[name] for name in VisitCounts.model_fields}),
        error=row["error_message"],
        **{name: row[name] for name in _SAME},
    )


def as_csv(items: Sequence[LogShown]) -> str:
    """Return the logs as a table, with the names of the JSON members for a header."""
    plain = [name for name in LogShown.model_fields if name != "counts"]
    aliases = [str(LogShown.model_fields[name].alias) for name in plain]
    rows = [
        [*(_cell(getattr(item, name)) for name in plain), *(getattr(item.counts, name) for name in _COUNTS)]
        for item in items
    ]
    return csv_text.written([*aliases, *_COUNTS], rows)


def _cell(value: Any) -> csv_text.Cell:
    return str(value) if isinstance(value, UUID) else value


_COUNTS = tuple(VisitCounts.model_fields)
# What is shown as it is stored, under the name that it has there.
_SAME = (
    "run_id", "status", "organization_id", "organization_name", "patient_id", "requested_by", "system", "duration_ms",
    "patients_total", "patients_processed", "requests_used",
)  # fmt: skip
_STORED = ("id", "sync_type", "started_at", "completed_at", "error_message", *_COUNTS, *_SAME)
_LOGS = (
    sa.select(
        *(sync_logs.c[name] for name in _STORED if name in sync_logs.c),
        organizations.c.name.label("organization_name"),
        ehr_accounts.c.system,
    )
    .select_from(sync_logs)
    .outerjoin(organizations, organizations.c.id == sync_logs.c.organization_id)
    .outerjoin(sync_runs, sync_runs.c.id == sync_logs.c.run_id)
    .outerjoin(ehr_accounts, ehr_accounts.c.id == sync_runs.c.account_id)
)
