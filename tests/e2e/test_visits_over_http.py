"""The life of a visit as the widget and the office see it, over HTTP, in both EHRs, on a stack of real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from icalendar import Calendar

from local.running import running_stack
from tests.e2e.site import Answer, Site, booking, call
from tests.fixtures_booking import INES, TEN
from tests.fixtures_ehrs import NOOR, TOVE, make_schedule
from tests.fixtures_house import make_house
from tests.fixtures_intakeq import make_account

pytestmark = pytest.mark.stack

ADMIN = "dora.finch@example.org"
DAY = timedelta(days=1)
BY_EHR = pytest.mark.parametrize(("provider", "day"), [(INES, 1), (NOOR, 1)], ids=["intakeq", "athena"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a practice with providers in both EHRs and an admin, one night and one sweep behind it."""
    folder = tmp_path_factory.mktemp("both")
    admin = {"id": str(uuid4()), "email": ADMIN, "name": "Dora Finch", "role": "admin"}
    files = {
        "CLINIC": make_house(staff_users=[admin]),
        "INTAKEQ_ACCOUNT": make_account(clients=[]),
        "ATHENA_ACCOUNT": make_schedule(),
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    with running_stack(folder / "state", **{name: str(folder / f"{name}.json") for name in files}) as stack:
        opened = Site(stack)
        opened.night()
        opened.invoke("SweeperFunction")
        yield opened


def slot(provider: UUID, start: datetime) -> dict[str, Any]:
    """Return the body of a hold."""
    body = booking(start.isoformat(), providerId=str(provider))
    return {name: value for name, value in body.items() if name not in ("patient", "consents")}


def bearer(visit: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {visit['manageToken']}"}


def slug(answer: Answer) -> str:
    return str(answer.body["type"]).rpartition("/")[2]


def there(site: Site, system: str) -> list[str]:
    """Return the ids of the visits that stand in an EHR."""
    rows = call("GET", f"{site.stack['simulators'][system]}/_control/state").body["appointments"]
    if system == "intakeq":
        return [row["Id"] for row in rows if row["Status"] != "Canceled"]
    return [row["appointmentid"] for row in rows if row["appointmentstatus"] == "f"]


@BY_EHR
def test_held_booked_shown_moved_cancelled_and_cancelled_again(site: Site, provider: UUID, day: int) -> None:
    start, later = TEN + day * DAY, TEN + day * DAY + timedelta(hours=3)
    held = site.api("POST", "/holds", slot(provider, start))
    assert (held.status, held.body["providerId"]) == (201, str(provider))
    lifetime = datetime.fromisoformat(held.body["expiresAt"]) - site_now(site)
    assert timedelta(minutes=9) < lifetime <= timedelta(minutes=10)
    rival = booking(start.isoformat(), 50, providerId=str(provider))
    assert slug(site.book(rival)) == "slot-taken"

    number = 1 + (provider == NOOR)
    mine = booking(start.isoformat(), number, providerId=str(provider), holdId=held.body["holdId"])
    booked = site.book(mine, f"key-{number}")
    assert (booked.status, booked.body["status"], booked.body["sequence"]) == (201, "confirmed", 0)
    assert site.api("DELETE", f"/holds/{held.body['holdId']}").status == 204
    system, path = booked.body["ehr"]["system"], f"/appointments/{booked.body['appointmentId']}"
    assert booked.body["ehr"]["externalId"] in there(site, system)
    again = site.book(mine, f"key-{number}")
    assert (again.status, again.body) == (201, booked.body)
    assert slug(site.book(mine | {"state": "NV"}, f"key-{number}")) == "idempotency-key-reused"

    shown = site.api("GET", path, headers=bearer(booked.body))
    assert shown.body == booked.body | {"manageToken": None}
    first = calendar(site, path, booked.body["manageToken"])
    assert (first["sequence"], str(first["status"]), first.decoded("dtstart")) == (0, "CONFIRMED", start)

    moved = site.api("POST", f"{path}/reschedule", {"start": later.isoformat()}, headers=bearer(booked.body))
    assert (moved.status, moved.body["appointmentId"]) == (200, booked.body["appointmentId"])
    assert (datetime.fromisoformat(moved.body["start"]), moved.body["sequence"]) == (later, 1)
    assert there(site, system).count(moved.body["ehr"]["externalId"]) == 1
    second = calendar(site, path, booked.body["manageToken"])
    assert (second["uid"], second["sequence"], second.decoded("dtstart")) == (first["uid"], 1, later)
    freed = site.book(rival, f"rival-{number}")
    assert (freed.status, freed.body["status"]) == (201, "confirmed") or system == "athena"

    gone = [site.api("POST", f"{path}/cancel", {}, headers=bearer(booked.body)) for _ in range(2)]
    assert [(one.status, one.body["status"]) for one in gone] == [(200, "cancelled")] * 2
    assert gone[0].body == gone[1].body
    assert str(calendar(site, path, booked.body["manageToken"])["status"]) == "CANCELLED"
    assert moved.body["ehr"]["externalId"] not in there(site, system)
    refused = site.api("POST", f"{path}/reschedule", {"start": start.isoformat()}, headers=bearer(booked.body))
    assert (refused.status, slug(refused)) == (409, "visit-not-active")


def site_now(site: Site) -> datetime:
    """Return the stack's time, as an answer tells it."""
    (row,) = site.rows("select max(created_at) as at from appointment_holds")
    at: datetime = row["at"]
    return at


def calendar(site: Site, path: str, token: str) -> Any:
    """Return the one event of a visit's calendar file."""
    answer = site.api("GET", f"{path}/calendar.ics?token={token}")
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/calendar")
    (event,) = Calendar.from_ical(answer.body).walk("VEVENT")
    return event


def test_a_visit_moves_to_the_other_ehr_and_leaves_the_first(site: Site) -> None:
    start, later = TEN + 4 * DAY, TEN + 5 * DAY
    booked = site.book(booking(start.isoformat(), 10)).body
    path = f"/appointments/{booked['appointmentId']}"
    body = {"start": later.isoformat(), "providerId": str(TOVE)}
    moved = site.api("POST", f"{path}/reschedule", body, headers=bearer(booked))
    assert (moved.status, moved.body["ehr"]["system"]) == (200, "athena")
    site.invoke("SweeperFunction")
    assert moved.body["ehr"]["externalId"] in there(site, "athena")
    assert booked["ehr"]["externalId"] not in there(site, "intakeq")


def test_the_office_lists_books_moves_and_cancels(site: Site) -> None:
    signed_in = {"Authorization": f"Bearer {site.stack['tokens'][ADMIN]}"}
    start = TEN + 6 * DAY
    contact = {"name": "Amos Tilbury", "email": None, "phone": "801-555-0143"}
    headers = signed_in | {"Idempotency-Key": uuid4().hex}
    body = booking(start.isoformat(), 20, roiContacts=[contact])
    booked = site.api("POST", "/admin/appointments", body, headers=headers)
    assert booked.status == 201
    day = f"{start:%Y-%m-%d}"
    items = site.api("GET", f"/admin/appointments?from={day}&to={day}", headers=signed_in).body["items"]
    assert [(item["patient"]["name"], item["roiContacts"]) for item in items] == [("Pat20 Canary", [contact])]
    path = f"/admin/appointments/{booked.body['appointmentId']}"
    later = {"start": (start + timedelta(hours=2)).isoformat(), "providerId": str(NOOR)}
    assert site.api("POST", f"{path}/reschedule", later, headers=signed_in).body["provider"]["id"] == str(NOOR)
    assert site.api("POST", f"{path}/cancel", {"reason": "ill"}, headers=signed_in).body["status"] == "cancelled"
    for method, route in (("GET", "/admin/appointments"), ("POST", f"{path}/cancel"), ("POST", "/admin/appointments")):
        assert site.api(method, route, {} if method == "POST" else None).status == 401
        stranger = site.api(method, route, {} if method == "POST" else None, headers=bearer(booked.body))
        assert (stranger.status, stranger.body) == (401, {"message": "Unauthorized"})


def test_of_many_who_hold_one_slot_one_has_it(site: Site) -> None:
    body = slot(INES, TEN + 7 * DAY)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: site.api("POST", "/holds", body), range(12)))
    assert sorted(answer.status for answer in answers) == [201, *[409] * 11]
    assert {slug(answer) for answer in answers if answer.status == 409} == {"slot-taken"}
    assert all(answer.body["alternatives"] for answer in answers if answer.status == 409)
    (held,) = [answer.body for answer in answers if answer.status == 201]
    for _ in range(2):
        gone = site.api("DELETE", f"/holds/{held['holdId']}")
        assert (gone.status, gone.body) == (204, "")


def test_a_move_and_a_cancellation_at_once_leave_one_visit_or_none(site: Site) -> None:
    for number, day in enumerate((11, 12, 13)):
        start = TEN + day * DAY
        booked = site.book(booking(start.isoformat(), 30 + number)).body
        path, headers = f"/appointments/{booked['appointmentId']}", bearer(booked)
        later = {"start": (start + timedelta(hours=3)).isoformat()}
        with ThreadPoolExecutor(2) as pool:
            moved = pool.submit(site.api, "POST", f"{path}/reschedule", later, headers=headers)
            gone = pool.submit(site.api, "POST", f"{path}/cancel", {}, headers=headers)
        assert gone.result().status == 200
        assert moved.result().status in (200, 409)
        site.invoke("SweeperFunction")
        assert site.api("GET", path, headers=headers).body["status"] == "cancelled"
        assert booked["ehr"]["externalId"] not in there(site, "intakeq")
        assert site.rows("select 1 from time_claims where appointment_id = :id", id=UUID(booked["appointmentId"])) == []


def test_a_lead_is_taken_for_a_payer_that_is_not(site: Site) -> None:
    left = site.api("POST", "/leads", {"payerName": "Some Plan", "email": "pat.lead@example.org"})
    assert left.status == 201
    assert [str(row["id"]) for row in site.rows("select id from leads")] == [left.body["leadId"]]
