"""Booking where the EHR keeps open slots: a visit takes one of them, under its id, and what it could not carry follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from moonlit.availability.store import SLOTS_KEEP
from moonlit.booking import errors
from moonlit.db import tables as t
from tests.fixtures_athena import make_slot
from tests.fixtures_booking import PAYER, TEN, somebody
from tests.fixtures_ehrs import HOUR, LONG_VISIT, NOOR, TOVE, make_schedule
from tests.fixtures_house import House, offered

pytestmark = pytest.mark.parametrize("side", ["athena"], indirect=True)
CARD = {"insurance": {"member_id": "W-000142", "group_number": "G-7"}}
SILVER_MESA = "318"


def known_in_the_ehr(house: House, **fields: Any) -> str:
    """Have Dana as a patient of the EHR whom it knows well enough for a policy; return the id there."""
    dana = {"firstname": "Dana", "lastname": "Whitlock", "dob": "05/23/1988", "email": "dana.whitlock@example.org"}
    rest = {"mobilephone": "8015550142", "departmentid": "1", "status": "active", "sex": "F"}
    return str(house.athena.server.staff("patient", patientid="60001", **dana | rest | fields)["patientid"])


def test_a_visit_takes_the_open_slot_and_its_id(house: House) -> None:
    slot_id = house.athena.slot(TEN)["appointmentid"]
    booked = house.book()
    assert booked.ehr.external_id == slot_id
    row = house.athena.server.appointment(slot_id)
    assert (row["appointmentstatus"], row["providerid"], row["reasonid"]) == ("f", "71", "963")
    assert row["options"] == {"nopatientcase": "true", "donotsendconfirmationemail": "true"}
    assert house.rows("select 1 from ehr_open_slots where external_id = :id", id=slot_id) == []


def test_hours_without_an_open_slot_are_not_for_sale(house: House) -> None:
    slot = house.athena.slot(TEN)
    house.athena.server.staff("close", appointmentid=slot["appointmentid"])
    house.clock.advance(minutes=6)
    house.read_slots()
    with pytest.raises(errors.SlotNotOffered):
        house.book()


def test_a_slot_that_was_closed_since_it_was_read_is_told_as_taken_and_is_not_offered_again(house: House) -> None:
    slot = house.athena.slot(TEN)
    house.athena.server.staff("close", appointmentid=slot["appointmentid"])
    with pytest.raises(errors.BookingRefused) as refused:
        house.book()
    assert TEN.timestamp() not in [
        house.clock.now().fromisoformat(one["start"]).timestamp()
        for one in offered(refused.value)
        if str(NOOR) in one["providerIds"]
    ]
    assert house.rows("select 1 from time_claims") == []
    assert house.book(provider_id=TOVE).status == "confirmed"


def test_slots_that_were_not_read_for_long_are_not_trusted(house: House) -> None:
    house.clock.instant += SLOTS_KEEP
    later = TEN + timedelta(days=1)
    with pytest.raises(errors.BookingRefused):
        house.book(later)
    house.read_slots()
    assert house.book(later).status == "confirmed"


@pytest.mark.parametrize(
    "schedule",
    [make_schedule(patterns=[], slots=[make_slot(7, "10:00", "03/11/2027"), make_slot(8, "10:30", "03/11/2027")])],
)
def test_a_slot_that_is_too_short_is_not_sold_as_a_long_one(house: House) -> None:
    with pytest.raises(errors.SlotNotOffered):
        house.book()


@pytest.mark.parametrize(
    "schedule",
    [
        make_schedule(
            patterns=[],
            slots=[make_slot(n, "10:00", "03/11/2027", appointmenttypeid=LONG_VISIT) for n in (7, 8)],
        )
    ],
)
def test_of_two_slots_at_one_time_only_one_is_sold(house: House) -> None:
    assert house.book().status == "confirmed"
    with pytest.raises(errors.SlotTaken):
        house.book(patient=somebody(1))


def test_overlapping_slots_are_not_both_sold(house: House) -> None:
    house.book()
    with pytest.raises(errors.SlotTaken):
        house.book(TEN + timedelta(minutes=30), patient=somebody(1))


def test_a_booking_under_way_keeps_its_slot_out_of_every_reading(house: House) -> None:
    house.side.fail("book", "drop_before")
    booked = house.book()
    house.side.server.fail()
    slot_id = house.write(booked.appointment_id)["slot_id"]
    house.clock.advance(minutes=6)
    house.read_slots()
    assert house.rows("select 1 from ehr_open_slots where external_id = :id", id=slot_id) == []
    house.settle()  # It never landed: the slot is everybody's again.
    assert house.visit(booked.appointment_id)["status"] == "failed"
    assert house.book(patient=somebody(1)).ehr.external_id == slot_id


# ── What a booking cannot carry ───────────────────────────────────────────────────────────────────────────────────────


def test_the_card_becomes_a_policy_of_the_patient_and_is_attached_to_the_visit(house: House) -> None:
    patient_id = known_in_the_ehr(house)
    booked = house.book(given=CARD)
    house.sweep()
    (policy,) = house.athena.server.state()["insurances"]
    assert (policy["patientid"], policy["insurancepackageid"]) == (patient_id, SILVER_MESA)
    assert (policy["insuranceidnumber"], policy["policynumber"]) == ("W-000142", "G-7")
    row = house.athena.server.appointment(booked.ehr.external_id)
    assert row["insurances"] == {"primary": policy["insuranceid"]}
    assert house.writes(booked.appointment_id) == [("book", "confirmed"), ("details", "confirmed")]


def test_a_second_visit_uses_the_policy_that_is_there(house: House) -> None:
    known_in_the_ehr(house)
    for start in (TEN, TEN + 3 * HOUR):
        house.book(start, given=CARD)
        house.sweep()
    assert len(house.athena.server.state()["insurances"]) == 1


def test_a_visit_that_moved_has_its_policy_under_its_new_id(house: House) -> None:
    known_in_the_ehr(house)
    booked = house.book(given=CARD)
    moved = house.move(booked.appointment_id, TEN + 3 * HOUR)
    house.settle()
    row = house.athena.server.appointment(moved.ehr.external_id)
    assert set(row["insurances"]) == {"primary"}
    assert len(house.athena.server.state()["insurances"]) == 1


@pytest.mark.parametrize(("sex", "package", "told"), [(None, SILVER_MESA, "sex_unknown"), ("F", None, "no_package")])
def test_a_policy_that_cannot_be_made_is_left_to_staff_and_the_visit_stands(
    house: House, sex: str | None, package: str | None, told: str
) -> None:
    known_in_the_ehr(house, sex=sex)
    if package is None:
        house.execute("delete from payer_athena_settings where payer_id = :id", id=PAYER)
    booked = house.book(given=CARD)
    house.settle()
    assert house.told() == [f"staff_alert.details_ehr_refused_{told}"]
    assert house.visit(booked.appointment_id)["status"] == "confirmed"
    assert len(house.side.standing()) == 1


def test_who_supervises_is_set_on_the_visit(house: House) -> None:
    house.execute("update provider_payer_networks set status = 'inactive' where provider_id = :id", id=NOOR)
    with house.begin() as connection:
        pair = {"resident_id": NOOR, "attending_id": TOVE, "level": "sign_off_only", "effective_date": "2026-01-01"}
        connection.execute(sa.insert(t.supervision_relationships).values(**pair))
    booked = house.book()
    house.sweep()
    row = house.athena.server.appointment(booked.ehr.external_id)
    assert (row["supervisingproviderid"], row["renderingproviderid"]) == (72, 72)
    assert booked.rendering_provider
    assert booked.rendering_provider.id == TOVE


def test_a_token_that_died_is_replaced_and_no_booking_is_lost(house: House) -> None:
    house.athena.server.expire_tokens()
    assert house.book().status == "confirmed"
