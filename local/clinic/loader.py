"""A clinic file into an empty database: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from pydantic_core import to_jsonable_python
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from local.clinic.checks import problems_of
from local.clinic.problems import ClinicRefused, Problem
from local.clinic.reading import Clinic, parse
from local.clinic.report import LoadReport, report_on
from local.clinic.rows import KINDS
from local.clinic.twins import surplus
from moonlit.db import tables
from moonlit.db.engine import sqlstate

DUPLICATE = "duplicate_on_import"
# What an account may send when the file says nothing: in IntakeQ what the contract says; in athenahealth five a second,
# as its clients do for want of an official number, and a tenth less than the 50,000 a day that have been seen, because
# the token calls and whatever else uses the same key are not counted here.
DEFAULT_LIMITS = {
    "intakeq": {"per_minute": 10, "per_day": 500},
    "athena": {"per_minute": 300, "per_day": 45_000},
}
_UNDEFINED_TABLE = "42P01"
_BATCH = 10_000  # Rows in one statement, so that a large file does not become one huge message.
_ACTIVE = ("pending", "scheduled", "confirmed")


def load(connection: sa.Connection, content: Mapping[str, Any]) -> LoadReport:
    """Load a clinic file into the empty database behind `connection`, within the caller's transaction.

    Args:
        connection: The owner's; its transaction is left usable when the file is refused.
        content: The file's JSON object (shape: `local.clinic.rows`).

    Raises:
        ClinicRefused: The file is wrong, or the database is not empty or not migrated; nothing was written.
    """
    clinic = parse(content)
    if problems := problems_of(clinic):
        raise ClinicRefused(problems)
    _require_empty(connection)
    retired = surplus(clinic)
    with connection.begin_nested():
        for table, rows in _stored(clinic, retired).items():
            _insert(connection, table, rows)
        connection.execute(_PERSON_CLAIMS)
        connection.execute(_PATIENT_CLAIMS)
    return report_on(clinic, retired)


def _require_empty(connection: sa.Connection) -> None:
    filled = sa.select(*(sa.exists(sa.select(tables.metadata.tables[t])).label(t) for t in _FILLED))
    try:
        with connection.begin_nested():
            answer = connection.execute(filled).mappings().one()
    except DBAPIError as error:
        if sqlstate(error) != _UNDEFINED_TABLE:
            raise
        reason = "has no tables: run the migrations first"
        raise ClinicRefused([Problem("database", None, None, reason)]) from None
    if found := [table for table, is_filled in answer.items() if is_filled]:
        reason = f"is not empty: there are rows in {', '.join(found)}"
        raise ClinicRefused([Problem("database", None, None, reason)])


def _stored(clinic: Clinic, retired: Iterable[object]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every table, as PostgreSQL reads them from JSON, in the order of their references."""
    accounts = _accounts(clinic)
    rows = {"practice_settings": [_practice(clinic)], "ehr_accounts": list(accounts.values())}
    rows |= {table: [row.model_dump(mode="json") for row in clinic.rows[table]] for table in KINDS}
    surplus_ids = {str(instance) for instance in retired}
    as_of = to_jsonable_python(clinic.as_of)
    for instance in rows["service_instances"]:
        if instance["id"] in surplus_ids:
            instance |= {"retired_at": as_of, "retired_reason": DUPLICATE}
    services = {row["id"]: row["service_id"] for row in rows["service_instances"]}
    rows["appointment_external_ids"] = []
    for visit in rows["appointments"]:
        external_id = visit.pop("external_id")
        if external_id is not None:
            account_id = accounts[visit["system"]]["id"]
            rows["appointment_external_ids"].append(
                {
                    "account_id": account_id,
                    "external_id": external_id,
                    "appointment_id": visit["id"],
                    "is_current": True,
                }
            )
        visit |= {"service_id": services.get(visit["service_instance_id"]), "created_at": as_of, "updated_at": as_of}
        if visit["status"] == "completed":  # Derived from the clock when read, so never stored.
            visit["status"] = "confirmed"
    for without_id in ("provider_hours", "provider_time_off"):
        rows[without_id] = [{"id": str(uuid4()), **row} for row in rows[without_id]]
    return rows


def _practice(clinic: Clinic) -> dict[str, Any]:
    practice = clinic.practice.model_dump(mode="json")
    # Settings that the file leaves out stay out, so that a later default reaches this practice.
    return practice | {"settings": clinic.practice.settings.model_dump(mode="json", exclude_unset=True)}


def _accounts(clinic: Clinic) -> dict[str, dict[str, Any]]:
    """Return one EHR account for IntakeQ, and one for every other system that somebody works in."""
    used = {"intakeq", *(row.ehr_system for row in clinic.rows["providers"])}
    used |= {row.system for row in clinic.rows["appointments"]}
    given = {system: limits.model_dump() for system, limits in (clinic.practice.ehr_limits or {}).items()}
    return {
        system: {"id": str(uuid4()), "system": system} | given.get(system, DEFAULT_LIMITS[system])
        for system in sorted(used)
    }


def _insert(connection: sa.Connection, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of one shape: one statement for ten thousand of them, instead of one for each."""
    if not rows:
        return
    table = tables.metadata.tables[name]
    columns = [table.c[column] for column in rows[0]]
    source = (
        sa.func.jsonb_to_recordset(sa.bindparam("rows", type_=JSONB))
        .table_valued(*(sa.column(column.name, column.type) for column in columns))
        .render_derived(name="source", with_types=True)
    )
    insert = sa.insert(table).from_select([column.name for column in columns], sa.select(source))
    for start in range(0, len(rows), _BATCH):
        connection.execute(insert, {"rows": rows[start : start + _BATCH]})


def _claims(kind: str, resource: sa.ColumnElement[Any], source: sa.FromClause) -> sa.Insert:
    """Return the statement that claims every active visit's time for one kind of resource.

    The EHR's rows are taken as they are, even overlapping: not enforced, and without buffers.
    """
    visits = tables.appointments
    taken = sa.select(
        sa.func.gen_random_uuid(),
        sa.literal(kind),
        resource,
        sa.func.tstzrange(visits.c.start, visits.c.end, "[)"),
        visits.c.id,
        sa.false(),
    ).select_from(source)
    columns = ["id", "resource_kind", "resource_id", "span", "appointment_id", "enforced"]
    return sa.insert(tables.time_claims).from_select(columns, taken.where(visits.c.status.in_(_ACTIVE)))


_PERSON_CLAIMS = _claims(
    "person",
    tables.providers.c.person_id,
    tables.appointments.join(tables.providers, tables.providers.c.id == tables.appointments.c.provider_id),
)
_PATIENT_CLAIMS = _claims("patient", tables.appointments.c.patient_id, tables.appointments)
_FILLED = ("practice_settings", "ehr_accounts", *KINDS)
