"""What the audit log keeps of the visits that staff book, move and cancel: who, what before, what after, and no names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.fixtures_access import add_staff
from tests.fixtures_booking import EMIL, INES, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_mirror import ADMIN, as_admin

__all__ = ["functions"]

REASON = "group, then single"
OVERRULE = {"patientOverlap": True, "reason": REASON}
LATER = TEN + timedelta(hours=1)


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def changes(functions: Functions) -> list[Mapping[str, Any]]:
    return functions.rows("select * from audit_log where entity = 'appointment' and action <> 'read' order by at, id")


def the_change(functions: Functions) -> Mapping[str, Any]:
    (change,) = changes(functions)
    return change


def book(functions: Functions, **values: Any) -> tuple[int, Any]:
    body = json.loads(sample("admin/book")["body"]) | {"overrule": None} | values
    sent = as_admin("admin/book", json.dumps(body))
    sent["headers"]["idempotency-key"] = uuid4().hex
    answer = functions.call("admin", sent)
    return answer["statusCode"], json.loads(answer["body"])


def change(functions: Functions, name: str, appointment_id: str, **body: Any) -> int:
    answer = functions.call("admin", as_admin(f"admin/{name}", json.dumps(body), appointmentId=appointment_id))
    return int(answer["statusCode"])


def booked(functions: Functions, **values: Any) -> str:
    """Return the id of a visit that staff booked a minute ago, as of which the log is empty."""
    status, said = book(functions, **values)
    assert status == 201, said
    functions.clock.advance(minutes=1)
    return str(said["appointmentId"])


def told(start: datetime, provider_id: UUID, status: str, **values: Any) -> dict[str, Any]:
    """Return a visit as the log keeps it."""
    return {
        "start": start.isoformat(),
        "end": (start + timedelta(hours=1)).isoformat(),
        "status": status,
        "statusReason": None,
        "providerId": str(provider_id),
        "renderingProviderId": None,
        "payerId": str(PAYER),
        "serviceId": str(SERVICE_ID),
        "locationId": None,
        "roomId": None,
        "modality": "telehealth",
        **values,
    }


def patients(functions: Functions) -> list[UUID]:
    return [row["id"] for row in functions.rows("select id from patients")]


def test_a_booking_is_noted_with_who_made_it(functions: Functions, admin: UUID) -> None:
    visit = booked(functions)
    change = the_change(functions)
    assert (change["action"], change["entity_id"], change["patient_ids"]) == ("booked", visit, patients(functions))
    assert (change["actor_kind"], change["actor_id"]) == ("staff", admin)
    assert change["request_id"] == sample("admin/book")["requestContext"]["requestId"]
    assert change["before"] is None
    assert change["after"] == told(TEN, INES, "pending", overruled=False)


def test_a_move_is_noted_with_where_the_visit_was(functions: Functions, admin: UUID) -> None:
    visit = booked(functions)
    assert change(functions, "reschedule", visit, start=LATER.isoformat(), providerId=str(EMIL)) == 200
    moved = changes(functions)[1]
    assert (moved["action"], moved["entity_id"], moved["patient_ids"]) == ("moved", visit, patients(functions))
    assert (moved["actor_id"], moved["before"]) == (admin, told(TEN, INES, "confirmed"))
    assert moved["after"] == told(LATER, EMIL, "pending", overruled=False)
    assert change(functions, "reschedule", visit, start=LATER.isoformat(), providerId=str(EMIL)) == 200
    assert len(changes(functions)) == 2  # It is there already.


def test_a_cancellation_is_noted_once_and_without_the_words_of_who_cancels(functions: Functions, admin: UUID) -> None:
    visit = booked(functions)
    for _ in range(2):
        assert change(functions, "cancel", visit, reason="the provider is ill") == 200
    _, cancelled = changes(functions)
    assert (cancelled["action"], cancelled["entity_id"]) == ("cancelled", visit)
    assert (cancelled["actor_id"], cancelled["patient_ids"]) == (admin, patients(functions))
    assert cancelled["before"] == told(TEN, INES, "confirmed")
    assert cancelled["after"] == told(TEN, INES, "cancelled", statusReason="cancelled_by_staff")


def test_a_cancellation_of_what_the_ehr_has_not_answered_is_noted_too(functions: Functions, admin: UUID) -> None:
    visit = booked(functions)
    functions.execute("update appointments set status = 'pending'")
    functions.execute("update ehr_writes set state = 'unknown', external_id = null")
    assert change(functions, "cancel", visit) == 200
    assert [each["action"] for each in changes(functions)] == ["booked", "cancelled"]


def test_an_overrule_is_marked_and_its_reason_stays_with_the_patient(functions: Functions, admin: UUID) -> None:
    booked(functions)
    second = booked(functions, providerId=str(EMIL), overrule=OVERRULE)
    assert changes(functions)[1]["after"] == told(TEN, EMIL, "pending", overruled=True)
    three = TEN + timedelta(hours=3)
    booked(functions, start=three.isoformat())
    assert change(functions, "reschedule", second, start=three.isoformat(), overrule=OVERRULE) == 200
    moved = changes(functions)[3]
    assert (moved["entity_id"], moved["after"]) == (second, told(three, EMIL, "pending", overruled=True))
    assert REASON not in str(changes(functions))


def test_what_is_refused_is_not_noted_as_a_change(functions: Functions, admin: UUID) -> None:
    visit = booked(functions)
    before = changes(functions)
    assert book(functions)[0] == book(functions, providerId=str(EMIL))[0] == 409  # Taken; the patient's other visit.
    assert change(functions, "reschedule", visit, start=(TEN + timedelta(minutes=7)).isoformat()) == 409
    assert change(functions, "reschedule", str(uuid4()), start=LATER.isoformat()) == 404
    assert change(functions, "cancel", str(uuid4())) == 404
    functions.execute("update appointments set status = 'no_show'")
    assert change(functions, "cancel", visit) == 409
    assert changes(functions) == before


def test_the_same_booking_again_is_no_second_one(functions: Functions, admin: UUID) -> None:
    sent = as_admin("admin/book")
    answers = [functions.call("admin", sent)["statusCode"] for _ in range(2)]
    assert answers == [201, 201]
    assert len(changes(functions)) == 1


def test_what_patients_book_for_themselves_is_theirs(functions: Functions, admin: UUID) -> None:
    assert functions.call("book", sample("book/book"))["statusCode"] == 201
    assert changes(functions) == []
