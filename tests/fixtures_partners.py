"""Two partner houses and their patients before the functions: who is whose, with and without consent.

Import the fixtures into a conftest: `from tests.fixtures_partners import houses`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from local.simulators.intakeq.wire import to_ms
from moonlit.db import tables as t
from tests.fixtures_access import OPEN_HOUSE, add_partner, as_user
from tests.fixtures_booking import INES
from tests.fixtures_functions import Functions, sample
from tests.fixtures_intakeq import CLIENT, NOON, make_visit

HOUSE, OTHER_HOUSE = OPEN_HOUSE, UUID(int=0xB0)
TODAY = date(2027, 3, 10)  # The practice's day at NOON.
ADMIN, MANAGER, OTHER_ADMIN, OTHER_MANAGER = "s-admin", "s-manager", "s-other-admin", "s-other-manager"
ROLES = {ADMIN: "partner_admin", MANAGER: "case_manager", OTHER_ADMIN: "partner_admin", OTHER_MANAGER: "case_manager"}
LINK = "https://meet.example/room"


@dataclass
class Houses:
    """The functions, and the people of two houses. `dana` is the client whom the EHR's simulator knows."""

    functions: Functions
    users: dict[str, UUID]
    dana: UUID  # Ours, with consent.
    expired: UUID  # Ours; consent ended yesterday.
    silent: UUID  # Ours; never consented.
    left: UUID  # Was ours.
    theirs: UUID  # Of the other house.
    shared: UUID  # Of both.

    def patient(self, first: str, last: str, **values: Any) -> UUID:
        patient_id = uuid4()
        row = {"id": patient_id, "first_name": first, "last_name": last, "email": f"{first}.{last}@example.org".lower()}
        with self.functions.begin() as connection:
            connection.execute(sa.insert(t.patients).values(**row | values))
        return patient_id

    def affiliate(self, patient_id: UUID, organization_id: UUID = HOUSE, **values: Any) -> None:
        row = {"status": "active", "roi_consent": "active", "roi_expires_on": TODAY} | values
        with self.functions.begin() as connection:
            connection.execute(
                sa.insert(t.patient_organization_affiliations).values(
                    id=uuid4(), patient_id=patient_id, organization_id=organization_id, **row
                )
            )

    def visit(self, patient_id: UUID, hours: float, **values: Any) -> UUID:
        """Add a visit that begins `hours` after NOON and lasts one."""
        appointment_id, start = uuid4(), NOON + timedelta(hours=hours)
        row = {
            "patient_id": patient_id, "provider_id": INES, "start": start, "end": start + timedelta(hours=1),
            "status": "confirmed", "system": "intakeq", "modality": "telehealth", "meeting_url": LINK,
            "location_info": {"name": "Telehealth (UT)", "place_of_service": "10", "kind": "telehealth"},
            "created_at": NOON, "updated_at": NOON,
        }  # fmt: skip
        with self.functions.begin() as connection:
            connection.execute(sa.insert(t.appointments).values(id=appointment_id, **row | values))
        return appointment_id

    def ask(
        self, name: str, sub: str = ADMIN, *, about: UUID | str | None = None, body: Any = None, **query: str
    ) -> tuple[int, Any]:
        """Send a sample of the dashboard as somebody, about another id, and return status and body."""
        event = as_user(f"dashboard/{name}", sub=sub)
        event["queryStringParameters"] = query or event.get("queryStringParameters")
        if about is not None:
            ((parameter, sampled),) = event["pathParameters"].items()
            event["pathParameters"] = {parameter: str(about)}
            event["rawPath"] = event["requestContext"]["http"]["path"] = event["rawPath"].replace(sampled, str(about))
        if body is None:
            event.pop("body", None)
        else:
            event["body"] = json.dumps(body)
        return self.answered(event)

    def answered(self, event: dict[str, Any]) -> tuple[int, Any]:
        answer = self.functions.call("dashboard", event)
        content = answer["headers"].get("Content-Type", answer["headers"].get("content-type", ""))
        text = answer.get("body") or ""
        return answer["statusCode"], json.loads(text) if "json" in str(content) else text

    def feed(self, token: str) -> tuple[int, str]:
        """Fetch the calendar feed by a token, as a calendar program does."""
        event = sample("dashboard/calendar")
        event["queryStringParameters"] = {"token": token}
        return self.answered(event)

    def audit(self, action: str) -> list[dict[str, Any]]:
        return [
            dict(row) for row in self.functions.rows("select * from audit_log where action = :a order by at", a=action)
        ]

    def work(self) -> None:
        """Do what the workers of all queues do, until nothing is left."""
        while any(self.functions.queues[name].waiting for name in ("PullQueue", "SyncQueue")):
            for queue, function in (("PullQueue", "sync_cron"), ("SyncQueue", "sync_org")):
                if self.functions.queues[queue].waiting:
                    assert self.functions.call(function, self.functions.take(queue)) == {"batchItemFailures": []}

    def in_ehr(self, number: int, hours: float, **fields: Any) -> dict[str, Any]:
        """Have a visit of Dana's made in the EHR."""
        made = {"LastModified": to_ms(self.functions.clock.now())} | fields
        row = make_visit(number, NOON + timedelta(hours=hours), **made)
        return self.functions.intakeq.staff("create", appointment=row)


@pytest.fixture
def houses(functions: Functions) -> Houses:
    users = {sub: add_partner(functions, role, sub, HOUSE) for sub, role in list(ROLES.items())[:2]}
    users |= {sub: add_partner(functions, role, sub, OTHER_HOUSE) for sub, role in list(ROLES.items())[2:]}
    nobody = UUID(int=0)
    found = Houses(functions, users, nobody, nobody, nobody, nobody, nobody, nobody)
    known = {"date_of_birth": date(1988, 5, 23), "email": "dana.whitlock@example.org", "intakeq_client_id": str(CLIENT)}
    found.dana = found.patient("Dana", "Whitlock", **known)
    found.expired = found.patient("Odell", "Ames")
    found.silent = found.patient("Petra", "Ames")
    found.left = found.patient("Quill", "Bern")
    found.theirs = found.patient("Rosa", "Crane")
    found.shared = found.patient("Sol", "Dunn")
    found.affiliate(found.dana)
    found.affiliate(found.expired, roi_expires_on=TODAY - timedelta(days=1))
    found.affiliate(found.silent, roi_consent="missing", roi_expires_on=None)
    found.affiliate(found.left, status="ended")
    found.affiliate(found.theirs, OTHER_HOUSE)
    for house in (HOUSE, OTHER_HOUSE):
        found.affiliate(found.shared, house, roi_expires_on=None)
    for patient in (found.dana, found.expired, found.silent, found.left, found.theirs, found.shared):
        found.visit(patient, hours=30)
    return found
