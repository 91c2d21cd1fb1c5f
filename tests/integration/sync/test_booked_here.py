"""Visits that were booked here, and what staff do to them and around them in the EHR."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from local.simulators.intakeq.wire import to_ms
from moonlit.booking.errors import SlotTaken
from moonlit.sync.applying import Applier
from moonlit.sync.pull import Meter
from moonlit.sync.webhook import Inbox, Receiver
from tests.fixtures_booking import EMIL, INES, SERVICE_ID, TEN, Office, office, somebody, wanted
from tests.fixtures_intakeq import OTHER_PRACTITIONER, OpenBudget, OpenIntakeq, make_account, make_client, make_visit
from tests.fixtures_sync import MemoryQueue, Night, Practice, nobody_asks

__all__ = ["office"]

HOUR = timedelta(hours=1)
BUFFER = timedelta(minutes=10)


@pytest.fixture
def account() -> dict[str, Any]:
    """Return an EHR account that knows one client, who is no patient here."""
    return make_account(clients=[make_client(999, FirstName="Zed", Email="zed@example.org", Phone=None)])


@pytest.fixture
def night(office: Office, open_intakeq: OpenIntakeq) -> Night:
    practice = Practice(office.begin, office.clock, office.account_id, INES, SERVICE_ID)
    meter = Meter(OpenBudget())
    return Night(practice, office.intakeq, open_intakeq(office.intakeq, meter), meter)


@pytest.fixture
def booked(office: Office, night: Night) -> UUID:
    """Book TEN, let a night see it, and stand an hour later."""
    appointment_id = book(office)
    night.run()
    office.clock.advance(hours=1)
    return appointment_id


def book(office: Office, **changes: Any) -> UUID:
    appointment_id = office.accept(wanted(**changes))
    office.saga.write(appointment_id)
    assert office.visit(appointment_id)["status"] == "confirmed"
    return appointment_id


def edit(office: Office, appointment_id: UUID, **fields: Any) -> None:
    """Let staff change a visit in the EHR."""
    office.intakeq.staff("update", id=id_in_ehr(office, appointment_id), fields=fields)


def id_in_ehr(office: Office, appointment_id: UUID) -> str:
    found = office.rows(
        "select external_id from appointment_external_ids where appointment_id = :id", id=appointment_id
    )
    return str(found[0]["external_id"])


def stranger(**fields: Any) -> dict[str, Any]:
    """Return a visit of somebody who is no patient here."""
    who: dict[str, Any] = {"ClientId": 999, "ClientEmail": "zed@example.org", "ClientDateOfBirth": "1970-01-01"}
    return make_visit(7, fields.pop("start", TEN), **{**who, **fields})


def staff_book(office: Office, **fields: Any) -> str:
    """Let staff book a visit for that stranger in the EHR; return its id."""
    kept = ("StartDate", "ClientId", "PractitionerId", "ServiceId")
    visit = {name: value for name, value in stranger(**fields).items() if name in kept}
    return str(office.intakeq.staff("create", appointment=visit)["Id"])


def claims(office: Office, appointment_id: UUID) -> dict[str, tuple[Any, ...]]:
    """Return the visit's claims: whose, from when to when, and whether the database protects them."""
    rows: list[Mapping[str, Any]] = office.rows(
        "select resource_kind, resource_id, lower(span) as first, upper(span) as last, enforced from time_claims"
        " where appointment_id = :id",
        id=appointment_id,
    )
    return {row["resource_kind"]: (row["resource_id"], row["first"], row["last"], row["enforced"]) for row in rows}


def conflicts(office: Office) -> list[tuple[UUID, str]]:
    found = office.rows("select appointment_id, external_id from schedule_conflicts order by external_id")
    return [(row["appointment_id"], row["external_id"]) for row in found]


# ── Rows of nobody ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_row_of_nobody_over_a_booking_opens_one_conflict(office: Office, night: Night, booked: UUID) -> None:
    external_id = staff_book(office, start=TEN + HOUR)  # Only the buffer is in the way.
    for _ in range(2):
        night.run()
        office.clock.advance(hours=1)
    assert conflicts(office) == [(booked, external_id)]


@pytest.mark.parametrize(
    "fields",
    [
        {"start": TEN + HOUR + BUFFER},
        {"PractitionerId": OTHER_PRACTITIONER},
    ],
    ids=["beside_it", "of_another_practitioner"],
)
def test_row_of_nobody_that_is_in_nobody_s_way_opens_none(
    office: Office, night: Night, booked: UUID, fields: dict[str, Any]
) -> None:
    staff_book(office, **fields)
    night.run()
    assert office.visit(booked)["status"] == "confirmed"
    assert conflicts(office) == []


def test_our_own_visit_is_no_conflict_while_its_client_fits_nobody_or_its_answer_is_out(
    office: Office, night: Night, booked: UUID
) -> None:
    edit(office, booked, ClientId=999, ClientEmail="zed@example.org", ClientDateOfBirth="1970-01-01")
    later = book(office, start=TEN + 3 * HOUR)
    office.execute("update ehr_writes set state = 'unknown', finished_at = null where appointment_id = :id", id=later)
    office.execute("delete from appointment_external_ids where appointment_id = :id", id=later)
    office.execute("update appointments set status = 'pending' where id = :id", id=later)
    office.execute("update patients set email = 'new@example.org', intakeq_client_id = null")  # The row fits nobody.
    night.run()
    assert conflicts(office) == []


def test_webhook_of_nobody_s_visit_over_a_booking_opens_a_conflict_at_once(office: Office, booked: UUID) -> None:
    row = stranger()
    queue = MemoryQueue()
    body = json.dumps({"EventType": "AppointmentCreated", "Appointment": row, "ClientId": 999}).encode()
    Receiver(Inbox(office.begin, office.clock, queue), ["secret"]).receive("secret", body)
    for message in queue.take():
        Applier(office.begin, office.clock, nobody_asks, nobody_asks).apply(UUID(message["eventId"]))
    assert conflicts(office) == [(booked, row["Id"])]


@pytest.mark.parametrize("account", [make_account(clients=[], appointments=[stranger(Status="Tentative")])])
def test_time_of_a_row_with_an_unknown_status_is_not_sold(office: Office, night: Night) -> None:
    night.run()
    with pytest.raises(SlotTaken):
        office.accept(wanted())


# ── Claims ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_booking_that_staff_move_stays_protected_with_its_buffers(office: Office, night: Night, booked: UUID) -> None:
    moved = TEN + HOUR
    edit(office, booked, StartDate=to_ms(moved))
    night.run()
    patient_id = office.visit(booked)["patient_id"]
    assert claims(office, booked) == {
        "person": (INES, moved, moved + HOUR + BUFFER, True),
        "patient": (patient_id, moved, moved + HOUR, True),
    }
    with pytest.raises(SlotTaken):
        office.accept(wanted(start=moved + HOUR, patient=somebody(4)))


def test_shorter_visit_in_the_ehr_does_not_shrink_what_the_service_needs(
    office: Office, night: Night, booked: UUID
) -> None:
    edit(office, booked, Duration=50)
    night.run()
    assert claims(office, booked)["person"] == (INES, TEN, TEN + HOUR + BUFFER, True)
    assert office.visit(booked)["end"] == TEN + timedelta(minutes=50)


def test_booking_that_staff_cancel_and_take_back_is_protected_again(office: Office, night: Night, booked: UUID) -> None:
    office.intakeq.staff("cancel", id=id_in_ehr(office, booked))
    night.run()
    assert claims(office, booked) == {}
    office.clock.advance(hours=1)
    edit(office, booked, Status="Confirmed")
    night.run()
    assert claims(office, booked)["person"] == (INES, TEN, TEN + HOUR + BUFFER, True)


def test_booking_given_to_another_provider_keeps_its_room(office: Office, night: Night, booked: UUID) -> None:
    location_id, room_id = uuid4(), uuid4()
    office.execute(
        "insert into locations (id, name, timezone, pos_code) values (:id, 'L', 'America/Denver', '11')", id=location_id
    )
    office.execute(
        "insert into rooms (id, location_id, room_name, room_number, capacity, is_active)"
        " values (:id, :location_id, 'R', '1', 1, true)",
        id=room_id, location_id=location_id,
    )  # fmt: skip
    office.execute("update appointments set room_id = :room_id where id = :id", room_id=room_id, id=booked)
    edit(office, booked, PractitionerId=OTHER_PRACTITIONER)
    night.run()
    found = claims(office, booked)
    assert (found["person"][0], found["room"]) == (EMIL, (room_id, TEN, TEN + HOUR + BUFFER, True))


def test_co_visit_that_staff_move_keeps_its_attending(office: Office, night: Night, booked: UUID) -> None:
    office.execute(
        "update appointments set rendering_provider_id = :emil, co_visit = true where id = :id", emil=EMIL, id=booked
    )
    edit(office, booked, StartDate=to_ms(TEN + HOUR))
    night.run()
    found = office.rows("select resource_id, enforced from time_claims where resource_kind = 'person'")
    assert {(row["resource_id"], row["enforced"]) for row in found} == {(INES, True), (EMIL, True)}


def test_bookings_that_staff_put_on_one_another_both_keep_their_claims_and_open_a_conflict(
    office: Office, night: Night, booked: UUID
) -> None:
    other = book(office, start=TEN + 3 * HOUR, patient=somebody(2))
    night.run()
    office.clock.advance(hours=1)
    moved = TEN + 5 * HOUR
    for each in (booked, other):
        edit(office, each, StartDate=to_ms(moved))
    summary = night.run()
    assert (summary["state"], summary["counts"]["errors"]) == ("completed", 0)
    persons = [claims(office, each)["person"] for each in (booked, other)]
    assert [person[:3] for person in persons] == [(INES, moved, moved + HOUR + BUFFER)] * 2
    assert sorted(person[3] for person in persons) == [False, True]
    assert conflicts(office)


def test_patient_s_visit_over_a_booking_that_was_moved_opens_a_conflict(
    office: Office, night: Night, booked: UUID
) -> None:
    edit(office, booked, StartDate=to_ms(TEN + HOUR))
    night.run()
    office.clock.advance(hours=1)
    night.practice.patient("999", email="zed@example.org")
    external_id = staff_book(office, start=TEN + HOUR)
    night.run()
    assert conflicts(office) == [(booked, external_id)]
