"""Rows of IntakeQ's calendar in the mirror of the practice behind the functions, as a pull leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.ehr.intakeq_rows import visit_of
from moonlit.ehr.port import EhrVisit
from moonlit.sync.linking import link_patients
from moonlit.sync.mirror import Mirror
from tests.fixtures_access import as_user
from tests.fixtures_booking import TEN
from tests.fixtures_functions import Functions
from tests.fixtures_intakeq import NOON, make_visit

BORN = date(1988, 5, 23)
ADMIN = "s-admin"


def account_of(functions: Functions) -> UUID:
    return UUID(str(functions.rows("select id from ehr_accounts where system = 'intakeq'")[0]["id"]))


def add_patient(functions: Functions, first_name: str = "Ana", **values: Any) -> UUID:
    row = {"id": uuid4(), "first_name": first_name, "last_name": "Lund", "date_of_birth": BORN, **values}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.patients).values(**row))
    return UUID(str(row["id"]))


def seen(number: int, starts_at: datetime = TEN, **fields: Any) -> EhrVisit:
    """Return a visit as IntakeQ shows it: of client 7001 unless said otherwise."""
    told = {"ClientId": 7001, "ClientEmail": "twins@example.org", "ClientDateOfBirth": BORN.isoformat(), **fields}
    return visit_of(make_visit(number, starts_at, **told))


def pulled(functions: Functions, *visits: EhrVisit) -> None:
    """Mirror visits and look whose they are, as every pull does."""
    now, account_id = functions.clock.now(), account_of(functions)
    with functions.begin() as connection:
        mirror = Mirror(connection, account_id)
        mirror.save(visits, now)
        link_patients(mirror, NOON - timedelta(days=90), NOON + timedelta(days=90), now)


def visits(functions: Functions) -> dict[str, Mapping[str, Any]]:
    """Return the visits that are held, by their number in IntakeQ."""
    found = functions.rows(
        "select a.*, x.external_id from appointments a join appointment_external_ids x on x.appointment_id = a.id"
    )
    return {row["external_id"].lstrip("0"): row for row in found}


def audited(functions: Functions, action: str) -> list[Mapping[str, Any]]:
    return functions.rows("select * from audit_log where action = :action order by at, id", action=action)


def as_admin(name: str, body: str | None = None, **path: Any) -> dict[str, Any]:
    """Return the sample event `name` as an admin sends it, with another body or other parameters of the path."""
    event = as_user(name, sub=ADMIN)
    if body is not None:
        event["body"] = body
    for parameter, value in path.items():
        event["rawPath"] = event["rawPath"].replace(event["pathParameters"][parameter], str(value))
        event["requestContext"]["http"]["path"] = event["rawPath"]
        event["pathParameters"][parameter] = str(value)
    return event
