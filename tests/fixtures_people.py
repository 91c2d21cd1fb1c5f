"""An admin who keeps the practice's people over HTTP.

Import the fixtures into a conftest: `from tests.fixtures_people import staff`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.db.engine import Begin
from tests.fixtures_access import add_staff
from tests.fixtures_booking import INES, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions
from tests.fixtures_intakeq import NOON
from tests.fixtures_mirror import ADMIN, add_patient, as_admin

PROVIDER: Mapping[str, Any] = {
    "name": "Ines Okafor", "npi": None, "licenseStates": ["UT"], "nativeLangs": ["en"], "interpreterOk": False,
    "active": True, "acceptingNewPatients": True, "ehrSystem": "intakeq", "timezone": "America/Denver",
    "personKey": None, "maxDailyAppointments": None,
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """An answer: its status, its ETag and what it says."""

    status: int
    etag: str
    said: Any

    @property
    def slug(self) -> str:
        return str(self.said["type"]).rpartition("/")[2]

    @property
    def errors(self) -> list[tuple[str, str]]:
        assert self.status == 422, self.said
        return [(error["pointer"], error["code"]) for error in self.said["errors"]]

    @property
    def stranded(self) -> dict[UUID, str]:
        assert self.said["stranded"]["total"] == len(self.said["stranded"]["items"])
        return {UUID(item["appointmentId"]): item["reason"] for item in self.said["stranded"]["items"]}


@dataclass
class Staff:
    """The admin with this id, before the functions."""

    functions: Functions
    id: UUID

    def ask(
        self, name: str, body: Any = None, /, *, query: Mapping[str, str] | None = None, if_match: str = "", **path: Any
    ) -> Told:
        """Send a sample of the admin's with another body, query or path."""
        event = as_admin(f"admin/{name}", None if body is None else json.dumps(body, default=str), **path)
        event["queryStringParameters"] = dict(query or {})
        event["requestContext"]["requestId"] = f"request-{name}"
        if if_match:
            event["headers"]["if-match"] = if_match
        self.functions.clock.advance(seconds=1)  # What is noted of it comes after what was noted before.
        answer = self.functions.call("admin", event)
        text = answer.get("body") or "null"
        return Told(answer["statusCode"], answer["headers"].get("etag", ""), json.loads(text))

    def audited(self, entity: str) -> list[Mapping[str, Any]]:
        """Return the changes of such an entity, the oldest first."""
        return self.functions.rows(
            "select * from audit_log where entity = :entity and action not in ('read', 'refused') order by at, id",
            entity=entity,
        )

    def shown(self, entity: str) -> list[UUID]:
        """Return the patients whom answers about such an entity have shown."""
        rows = self.functions.rows("select patient_ids from audit_log where entity = :e and action = 'read'", e=entity)
        return sorted(patient_id for row in rows for patient_id in row["patient_ids"])

    def visit(self, start: datetime = TEN, minutes: int = 60, **values: Any) -> UUID:
        return add_visit(self.functions.begin, add_patient(self.functions), start, minutes, **values)

    def provider(self, **values: Any) -> UUID:
        """Store a provider of whom nothing else is known."""
        row = {"id": uuid4(), "name": "Ruth Abel", "ehr_system": "intakeq", "timezone": "America/Denver", **values}
        with self.functions.begin() as connection:
            connection.execute(sa.insert(t.providers).values(row))
        return UUID(str(row["id"]))

    def location(self) -> UUID:
        location_id = uuid4()
        row = {"id": location_id, "name": "Main Street", "timezone": "America/Denver", "pos_code": "11"}
        with self.functions.begin() as connection:
            connection.execute(sa.insert(t.locations).values(row))
        return location_id


def add_visit(begin: Begin, patient_id: UUID, start: datetime, minutes: int, **values: Any) -> UUID:
    """Store a confirmed visit of Ines' and return its id."""
    appointment_id = uuid4()
    row = {
        "id": appointment_id, "patient_id": patient_id, "provider_id": INES, "payer_id": PAYER,
        "service_id": SERVICE_ID, "start": start, "end": start + timedelta(minutes=minutes), "status": "confirmed",
        "system": "intakeq", "modality": "telehealth", "patient_state": "UT", "created_at": NOON, "updated_at": NOON,
        **values,
    }  # fmt: skip
    with begin() as connection:
        connection.execute(sa.insert(t.appointments).values(row))
    return appointment_id


@pytest.fixture
def staff(functions: Functions) -> Staff:
    return Staff(functions, add_staff(functions, "admin", ADMIN))
