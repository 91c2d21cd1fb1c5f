"""Staff's routes: the list with its filters and pages, and what staff may do that patients may not."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures_access import ROLES, add_partner, add_staff, as_user
from tests.fixtures_booking import EMIL, INES, TEN
from tests.fixtures_functions import Functions, functions, sample

__all__ = ["functions"]

ADMIN = "s-admin"
CONTACT = {"name": "Amos Tilbury", "email": "amos.tilbury@example.org", "phone": "(801) 555-0143"}
OLIVE = {
    "firstName": "Olive",
    "lastName": "Marsh",
    "dateOfBirth": "1980-02-03",
    "email": "olive.marsh@example.org",
    "phone": "801-555-0199",
}
ROUTES = ("appointments", "book", "cancel", "reschedule")


@pytest.fixture
def practice(functions: Functions) -> Functions:
    """Return the functions with an admin signed in."""
    add_staff(functions, "admin", ADMIN)
    return functions


def event(name: str, body: Any = None, sub: str = ADMIN, **query: str) -> dict[str, Any]:
    """Return a sample of `admin` as sent by somebody, with another body or query."""
    sent = as_user(f"admin/{name}", sub=sub)
    if body is not None:
        sent["body"] = json.dumps(body)
    if name == "appointments":
        sent["queryStringParameters"] = query
    return sent


def ask(practice: Functions, name: str, body: Any = None, **query: str) -> tuple[int, Any]:
    answer = practice.call("admin", event(name, body, **query))
    return answer["statusCode"], json.loads(answer["body"])


def at(name: str, appointment_id: str, body: Any) -> dict[str, Any]:
    """Return a sample about another visit."""
    sent = event(name, body)
    path = f"/admin/appointments/{appointment_id}/{name}"
    sent["rawPath"] = sent["requestContext"]["http"]["path"] = path
    return sent


def booked(practice: Functions, number: int, **changes: Any) -> dict[str, Any]:
    """Book for a patient of that number, as staff, and return the answer."""
    body = json.loads(sample("admin/book")["body"])
    body["patient"] |= {
        "firstName": f"Pat{number}",
        "email": f"pat{number}@example.org",
        "phone": f"801-555-01{number:02}",
    }
    sent = event("book", body | {"start": (TEN + timedelta(hours=2 * number)).isoformat(), "overrule": None} | changes)
    sent["headers"]["idempotency-key"] = uuid4().hex
    answer = practice.call("admin", sent)
    assert answer["statusCode"] == 201, answer
    return dict(json.loads(answer["body"]))


def listed(practice: Functions, **query: str) -> list[str]:
    status, said = ask(practice, "appointments", **query)
    assert status == 200, said
    return [item["appointmentId"] for item in said["items"]]


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_only_an_admin_reaches_the_visits(functions: Functions, name: str, role: str) -> None:
    (add_partner if role in {"partner_admin", "case_manager"} else add_staff)(functions, role, "s-1")
    for sub, status in (("s-1", 403), ("s-nobody", 401)):
        answer = functions.call("admin", event(name, sub=sub))
        assert (answer["statusCode"], "appointments" in answer["body"]) == (status, False)
    assert functions.rows("select 1 from appointments") == []


def test_the_list_shows_whose_visit_it_is_and_who_may_be_told(practice: Functions) -> None:
    first = booked(practice, 0, roiContacts=[CONTACT, {"name": "Dora Finch"}])
    status, said = ask(practice, "appointments")
    (item,) = said["items"]
    assert (status, said["nextCursor"]) == (200, None)
    assert (item["appointmentId"], item["patient"]["name"]) == (first["appointmentId"], "Pat0 Whitlock")
    assert item["roiContacts"] == [CONTACT, {"name": "Dora Finch", "email": None, "phone": None}]
    assert (item["statusReason"], item["manageToken"]) == (None, None)
    shared = set(first) - {"manageToken"}
    assert {name: item[name] for name in shared} == {name: first[name] for name in shared}


def test_each_filter_leaves_what_it_says(practice: Functions) -> None:
    first, second = booked(practice, 0), booked(practice, 1, providerId=str(EMIL))
    later = booked(practice, 2, start=(TEN + timedelta(days=1)).isoformat())
    practice.call("admin", at("cancel", second["appointmentId"], {}))
    ids = [each["appointmentId"] for each in (first, second, later)]
    patient = practice.rows("select patient_id from appointments where id = :id", id=ids[2])[0]["patient_id"]
    assert listed(practice) == ids
    assert listed(practice, **{"from": "2027-03-12"}) == [ids[2]]
    assert listed(practice, to="2027-03-11") == ids[:2]
    assert listed(practice, **{"from": "2027-03-11", "to": "2027-03-12"}) == ids
    assert listed(practice, providerId=str(EMIL)) == [ids[1]]
    assert listed(practice, patientId=str(patient)) == [ids[2]]
    assert listed(practice, status="cancelled") == [ids[1]]
    assert listed(practice, status="confirmed", providerId=str(INES), to="2027-03-11") == [ids[0]]
    assert listed(practice, status="failed") == listed(practice, patientId=str(uuid4())) == []


def test_days_are_the_practices(practice: Functions) -> None:
    evening = booked(practice, 0)
    # Half past eleven in Denver, and the next day already in London.
    practice.execute("update appointments set start = '2027-03-12T06:30:00Z', \"end\" = '2027-03-12T07:30:00Z'")
    assert listed(practice, **{"from": "2027-03-11", "to": "2027-03-11"}) == [evening["appointmentId"]]
    assert listed(practice, **{"from": "2027-03-12"}) == []


def test_the_attending_of_a_visit_finds_it_too(practice: Functions) -> None:
    first = booked(practice, 0)
    practice.execute("update appointments set rendering_provider_id = :id", id=EMIL)
    assert listed(practice, providerId=str(EMIL)) == [first["appointmentId"]]


def test_pages_hold_every_visit_once_by_its_start(practice: Functions) -> None:
    for number in range(3):
        booked(practice, number)
    booked(practice, 0, providerId=str(EMIL), patient=OLIVE)  # So that a page ends between equals.
    seen, query = [], {"limit": "1"}
    while query.get("cursor") != "":
        status, said = ask(practice, "appointments", **query)
        assert (status, len(said["items"])) == (200, 1)
        seen += said["items"]
        query["cursor"] = said["nextCursor"] or ""
    assert len({item["appointmentId"] for item in seen}) == 4
    assert [item["start"] for item in seen] == sorted(item["start"] for item in seen)
    assert [item["appointmentId"] for item in seen] == listed(practice)


@pytest.mark.parametrize("cursor", ["x", "bnVsbA==", "WzEsIDJd", "WyIyMDI3LTAzLTEwIiwgMl0="])
def test_a_cursor_of_nobodys_is_malformed(practice: Functions, cursor: str) -> None:
    status, said = ask(practice, "appointments", cursor=cursor)
    assert (status, said["errors"]) == (422, [{"pointer": "/query/cursor", "code": "cursor"}])


def test_staff_book_at_short_notice_and_over_the_patients_other_visits_with_a_reason(practice: Functions) -> None:
    practice.clock.instant = TEN - timedelta(minutes=20)
    body = json.loads(sample("admin/book")["body"]) | {"overrule": None}
    assert ask(practice, "book", body)[0] == 201
    second = body | {"providerId": str(EMIL)}
    sent = event("book", second)
    sent["headers"]["idempotency-key"] = "another"
    refused = practice.call("admin", sent)
    assert (refused["statusCode"], json.loads(refused["body"])["type"].endswith("/patient-overlap")) == (409, True)
    sent = event("book", second | {"overrule": {"patientOverlap": True, "reason": "group, then single"}})
    sent["headers"]["idempotency-key"] = "a-third"
    assert practice.call("admin", sent)["statusCode"] == 201
    (row,) = practice.rows("select l.actor, l.details, s.id from patient_activity_log l, staff_users s")
    assert (row["actor"], row["details"]["reason"]) == (f"staff:{row['id']}", "group, then single")
    assert practice.rows("select 1 from public_uses") == []


def test_staff_cancel_and_move_inside_the_patients_window(practice: Functions) -> None:
    visit = booked(practice, 0)
    practice.clock.instant = TEN - timedelta(hours=1)
    later = (TEN + timedelta(hours=1)).isoformat()
    moved = practice.call("admin", at("reschedule", visit["appointmentId"], {"start": later, "providerId": str(EMIL)}))
    assert (moved["statusCode"], json.loads(moved["body"])["provider"]["id"]) == (200, str(EMIL))
    for _ in range(2):
        gone = practice.call("admin", at("cancel", visit["appointmentId"], {"reason": "the provider is ill"}))
        assert (gone["statusCode"], json.loads(gone["body"])["status"]) == (200, "cancelled")
    assert practice.call("admin", at("cancel", str(uuid4()), {}))["statusCode"] == 404
    assert practice.call("admin", at("reschedule", str(uuid4()), {"start": later}))["statusCode"] == 404


def test_a_visit_that_came_from_the_ehr_is_listed_with_what_is_known(practice: Functions) -> None:
    booked(practice, 0)
    practice.execute(
        "update appointments set payer_id = null, service_id = null, provider_id = null, modality = null,"
        ' location_info = \'{"name": "Main Street", "kind": "office", "place_of_service": "11"}\''
    )
    (item,) = ask(practice, "appointments")[1]["items"]
    assert [item[name] for name in ("payer", "service", "provider", "modality")] == [None] * 4
    assert item["location"] == {"name": "Main Street", "kind": "office"}
