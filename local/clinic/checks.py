"""Whether the rows of a clinic file fit together: references, uniqueness, and what time rules out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from local.clinic.problems import Problem
from local.clinic.reading import Clinic

# Each reference, as (table, field, the table that has the id).
REFERENCES = (
    ("partner_users", "organization_id", "organizations"),
    ("staff_users", "provider_id", "providers"),
    ("provider_intakeq_settings", "provider_id", "providers"),
    ("provider_athena_settings", "provider_id", "providers"),
    ("payer_athena_settings", "payer_id", "payers"),
    ("provider_payer_networks", "provider_id", "providers"),
    ("provider_payer_networks", "payer_id", "payers"),
    ("supervision_relationships", "resident_id", "providers"),
    ("supervision_relationships", "attending_id", "providers"),
    ("supervision_relationships", "payer_id", "payers"),
    ("rooms", "location_id", "locations"),
    ("provider_hours", "provider_id", "providers"),
    ("provider_hours", "location_id", "locations"),
    ("provider_time_off", "provider_id", "providers"),
    ("service_instances", "service_id", "services"),
    ("service_instances", "payer_id", "payers"),
    ("service_instance_integrations", "service_instance_id", "service_instances"),
    ("patient_organization_affiliations", "patient_id", "patients"),
    ("patient_organization_affiliations", "organization_id", "organizations"),
    ("patient_organization_affiliations", "case_manager_id", "partner_users"),
    ("appointments", "patient_id", "patients"),
    ("appointments", "provider_id", "providers"),
    ("appointments", "payer_id", "payers"),
    ("appointments", "service_instance_id", "service_instances"),
)

# What may stand once only, besides the id of every row that has one. A null in it is no value.
UNIQUE = (
    ("partner_users", ("email",)),
    ("staff_users", ("email",)),
    ("provider_intakeq_settings", ("provider_id",)),
    ("provider_intakeq_settings", ("practitioner_id",)),
    ("provider_athena_settings", ("provider_id",)),
    ("provider_athena_settings", ("athena_provider_id", "department_id")),
    ("payer_athena_settings", ("payer_id",)),
    ("service_instance_integrations", ("service_instance_id", "system")),
    ("patients", ("intakeq_client_id",)),
    ("patients", ("athena_patient_id",)),
    ("appointments", ("system", "external_id")),
)


def problems_of(clinic: Clinic) -> list[Problem]:
    """Return everything that does not fit, table by table."""
    ids = {table: {row.id for row in rows if hasattr(row, "id")} for table, rows in clinic.rows.items()}
    found: list[Problem] = []
    for table, rows in clinic.rows.items():
        if rows and hasattr(rows[0], "id"):
            found += _repeated(table, rows, ("id",))
    for table, fields in UNIQUE:
        found += _repeated(table, clinic.rows[table], fields)
    for table, field, target in REFERENCES:
        found += _dangling(table, clinic.rows[table], field, target, ids[target])
    for position, service in enumerate(clinic.practice.default_services):
        if service.service_id not in ids["services"]:
            reason = f"default_services.{position}.service_id: no such row in services"
            found.append(Problem("practice", None, None, reason))
    return [*found, *_completed_too_early(clinic.rows["appointments"], clinic.as_of)]


def _repeated(table: str, rows: Iterable[Any], fields: Sequence[str]) -> Iterator[Problem]:
    first: dict[tuple[object, ...], int] = {}
    for index, row in enumerate(rows):
        value = tuple(getattr(row, field) for field in fields)
        if None not in value and first.setdefault(value, index) != index:
            reason = f"{' and '.join(fields)}: the same as in {table}[{first[value]}]"
            yield Problem(table, index, _id(row), reason)


def _dangling(table: str, rows: Iterable[Any], field: str, target: str, known: set[object]) -> Iterator[Problem]:
    for index, row in enumerate(rows):
        value = getattr(row, field)
        if value is not None and value not in known:
            yield Problem(table, index, _id(row), f"{field}: {value} is not in {target}")


def _completed_too_early(appointments: Iterable[Any], as_of: datetime) -> Iterator[Problem]:
    for index, row in enumerate(appointments):
        if row.status == "completed" and row.end > as_of:
            yield Problem("appointments", index, _id(row), "status: completed, but it ends after as_of")


def _id(row: Any) -> str:
    names = ("id", "provider_id", "payer_id")  # The first that a row has tells it from the others, or whose it is.
    return str(next(getattr(row, name) for name in names if hasattr(row, name)))
