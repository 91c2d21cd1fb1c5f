"""What has to be there for the sample events about a partner's patients, and what each is promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_access import OPEN_HOUSE, add_partner, add_staff
from tests.fixtures_functions import Functions, sample
from tests.fixtures_intakeq import NOON


def _path_id(name: str) -> UUID:
    return UUID(next(iter(sample(f"dashboard/{name}")["pathParameters"].values())))


def _body(answer: Mapping[str, Any], status: int = 200) -> Any:
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def a_partner(functions: Functions) -> None:
    """Store who the samples' `sub` is, and the patient that they name."""
    sub = sample("dashboard/roster")["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    add_partner(functions, "case_manager", sub, OPEN_HOUSE)
    patient = {"id": _path_id("patient"), "first_name": "Dana", "last_name": "Whitlock", "intakeq_client_id": "4821"}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.patients).values(**patient, email="dana.whitlock@example.org"))
        connection.execute(
            sa.insert(t.patient_organization_affiliations).values(
                id=uuid4(), patient_id=patient["id"], organization_id=OPEN_HOUSE, status="active", roi_consent="active"
            )
        )


def an_admin_and_a_patient(functions: Functions) -> None:
    """Store an admin by the samples' `sub`, and the patient that they name."""
    a_partner(functions)
    sub = sample("admin/sync_patient")["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    add_staff(functions, "admin", sub)


def a_refresh(functions: Functions) -> None:
    """Store a refresh under the id that the sample names."""
    a_partner(functions)
    row = {
        "id": _path_id("sync_progress"),
        "organization_id": OPEN_HOUSE,
        "requested_by": "staff",
        "requested_at": NOON,
    }
    with functions.begin() as connection:
        connection.execute(sa.insert(t.organization_refreshes).values(**row))


def roster(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["name"], item["consent"], item["nextAppointment"]) == ("Dana Whitlock", "active", None)


def patient(_: Functions, answer: Any) -> None:
    assert _body(answer)["patientId"] == str(_path_id("patient"))


def synced(functions: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["success"], said["summary"]) == (True, {"new": 0, "updated": 0, "unchanged": 0, "errors": 0})
    assert len(functions.intakeq.requests()) == 1


def history(_: Functions, answer: Any) -> None:
    assert _body(answer)["history"] == []


def started(functions: Functions, answer: Any) -> None:
    sync_id = _body(answer, 202)["syncId"]
    assert [str(row["id"]) for row in functions.rows("select id from organization_refreshes")] == [sync_id]
    assert len(functions.queues["PullQueue"].take()) == 1


def progress(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["status"], said["patientsTotal"]) == ("queued", 1)


def issued(_: Functions, answer: Any) -> None:
    assert len(_body(answer, 201)["token"]) == 43


def revoked(_: Functions, answer: Any) -> None:
    assert (answer["statusCode"], answer.get("body") or "") == (204, "")


def refused(_: Functions, answer: Any) -> None:
    assert _body(answer, 401)["type"].endswith("/calendar-refused")


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/sync_patient": an_admin_and_a_patient,
    "dashboard/issue_calendar_token": a_partner,
    "dashboard/patient": a_partner,
    "dashboard/revoke_calendar_token": a_partner,
    "dashboard/roster": a_partner,
    "dashboard/sync_all_patients": a_partner,
    "dashboard/sync_history": a_partner,
    "dashboard/sync_patient": a_partner,
    "dashboard/sync_progress": a_refresh,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/sync_patient": synced,
    "dashboard/calendar": refused,
    "dashboard/issue_calendar_token": issued,
    "dashboard/patient": patient,
    "dashboard/revoke_calendar_token": revoked,
    "dashboard/roster": roster,
    "dashboard/sync_all_patients": started,
    "dashboard/sync_history": history,
    "dashboard/sync_patient": synced,
    "dashboard/sync_progress": progress,
}
