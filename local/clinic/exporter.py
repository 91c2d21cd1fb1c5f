"""A database as a clinic file: the inverse of `loader`, so that two exports can be compared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_jsonable_python

from local.clinic.problems import ClinicRefused, Problem
from local.clinic.reading import IGNORED
from local.clinic.rows import KINDS
from moonlit.booking.statuses import shown_status
from moonlit.db import tables

# Tables whose rows have no id in the file, and what orders them instead.
_ORDERS = {
    "provider_intakeq_settings": ("provider_id",),
    "provider_athena_settings": ("provider_id",),
    "payer_athena_settings": ("payer_id",),
    "provider_hours": ("provider_id", "weekday", "start", "end", "modality", "valid_from", "valid_to", "location_id"),
    "provider_time_off": ("provider_id", "start", "end"),
}


def export(connection: sa.Connection, now: datetime) -> dict[str, Any]:
    """Return the database as a clinic file; every key is there, null where it has no value.

    Args:
        connection: In a transaction that sees one snapshot (REPEATABLE READ), when others are writing.
        now: What `as_of` says, and what decides which visits are shown as completed.

    Raises:
        ClinicRefused: The database holds no practice.
    """
    content = {"as_of": now.astimezone(UTC).replace(microsecond=0), "practice": _practice(connection)}
    for table in KINDS:
        content[table] = _appointments(connection, now) if table == "appointments" else _rows(connection, table)
    content[IGNORED] = _sync_logs(connection)
    exported: dict[str, Any] = to_jsonable_python(content)
    return exported


def latest_change(connection: sa.Connection) -> datetime | None:
    """Return when a visit was last written: no export can be older than that."""
    latest: datetime | None = connection.execute(sa.select(sa.func.max(tables.appointments.c.updated_at))).scalar_one()
    return latest


def _practice(connection: sa.Connection) -> dict[str, Any]:
    columns = [column for column in tables.practice_settings.c if column.name != "singleton"]
    found = connection.execute(sa.select(*columns)).mappings().one_or_none()
    if found is None:
        raise ClinicRefused([Problem("database", None, None, "holds no practice to export")])
    return dict(found)


def _rows(connection: sa.Connection, name: str) -> list[dict[str, Any]]:
    table = tables.metadata.tables[name]
    order = [table.c[column] for column in _ORDERS.get(name, ("id",))]
    columns = [table.c[field] for field in KINDS[name].model_fields]
    return _dicts(connection.execute(sa.select(*columns).order_by(*order)))


def _appointments(connection: sa.Connection, now: datetime) -> list[dict[str, Any]]:
    visits, external, accounts = tables.appointments, tables.appointment_external_ids, tables.ehr_accounts
    current = (
        sa.select(external.c.appointment_id, external.c.external_id, accounts.c.system)
        .join(accounts, accounts.c.id == external.c.account_id)
        .where(external.c.is_current)
        .subquery()
    )
    columns = [
        current.c.external_id if field == "external_id" else visits.c[field]
        for field in KINDS["appointments"].model_fields
    ]
    known_as = (current.c.appointment_id == visits.c.id) & (current.c.system == visits.c.system)
    rows = connection.execute(sa.select(*columns).outerjoin_from(visits, current, known_as).order_by(visits.c.id))
    return [row | {"status": shown_status(row["status"], row["end"], now)} for row in _dicts(rows)]


def _sync_logs(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return what each refresh did for an organization; a night is one, however many EHRs it asked."""
    rows = _dicts(connection.execute(_SYNC_LOGS))
    counts = ("new", "updated", "unchanged", "errors")
    return [
        {
            **{name: value for name, value in row.items() if name not in counts},
            "counts": {name: row[name] for name in counts},
        }
        for row in rows
    ]


_SYNC_LOGS = sa.text("""
    select l.organization_id, l.sync_type,
        case when bool_or(l.status = 'in_progress') then 'in_progress'
            when count(distinct l.status) = 1 then min(l.status) else 'partial' end as status,
        sum(l.requests_used) as requests_used, min(l.started_at) as started_at,
        case when bool_and(l.completed_at is not null) then max(l.completed_at) end as completed_at,
        sum(l.new) as new, sum(l.updated) as updated, sum(l.unchanged) as unchanged, sum(l.errors) as errors
    from sync_logs l left join sync_runs r on r.id = l.run_id
    group by l.organization_id, l.sync_type, coalesce(r.night_id, l.run_id, l.id)
    order by min(l.started_at), min(l.id::text)
""")


def _dicts(result: sa.CursorResult[Any]) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in result.mappings()]
