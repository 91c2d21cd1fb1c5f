"""Cancelling: free at once here, told to the EHR, verified there; whatever the visit was doing at that moment."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from moonlit.booking import errors
from moonlit.booking.answers import AppointmentAnswer
from moonlit.errors import NotFound
from tests.fixtures_booking import TEN, somebody
from tests.fixtures_ehrs import HOUR, TOVE
from tests.fixtures_house import House

at_athena = pytest.mark.parametrize("side", ["athena"], indirect=True)
at_intakeq = pytest.mark.parametrize("side", ["intakeq"], indirect=True)
DAY = timedelta(days=1)


def is_free(house: House, booked: AppointmentAnswer) -> None:
    """Check that nothing of a cancelled visit is left: not here, and not in the EHR."""
    assert house.visit(booked.appointment_id)["status"] == "cancelled"
    assert house.claims(booked.appointment_id) == set()
    assert [visit.start for side in house.sides.values() for visit in side.standing()] == []
    assert {state for _, state in house.writes(booked.appointment_id)} <= {"confirmed", "failed"}


def test_a_cancelled_visit_is_free_at_once_here_and_gone_in_the_ehr(house: House) -> None:
    booked = house.book()
    cancelled = house.cancel(booked.appointment_id)
    assert (cancelled.status, cancelled.sequence) == ("cancelled", booked.sequence + 1)
    assert house.owners() == set()
    assert house.side.standing() == []
    house.sweep()
    is_free(house, booked)
    assert house.book(patient=somebody(1)).status == "confirmed"


def test_a_second_cancel_answers_like_the_first_and_asks_nobody(house: House) -> None:
    booked = house.book()
    first = house.cancel(booked.appointment_id)
    house.sweep()
    house.side.server.forget()
    assert house.cancel(booked.appointment_id) == first
    assert house.side.server.requests() == []
    assert [kind for kind, _ in house.writes(booked.appointment_id)].count("cancel") == 1


def test_a_patient_may_cancel_until_the_window_closes_and_staff_always(house: House) -> None:
    house.clock.instant = TEN - 23 * HOUR
    house.read_slots()
    early, late = house.book(TEN + 4 * HOUR), house.book(TEN, patient=somebody(1))
    house.clock.instant = early.start - DAY
    assert house.cancel(early.appointment_id, by_staff=False).status == "cancelled"
    house.clock.instant = late.start - DAY + timedelta(seconds=1)
    with pytest.raises(errors.TooLate):
        house.cancel(late.appointment_id, by_staff=False)
    assert house.visit(late.appointment_id)["status"] == "confirmed"
    house.clock.instant = late.start + timedelta(minutes=5)
    assert house.cancel(late.appointment_id).status == "cancelled"


def test_the_window_is_the_practices_own(house: House) -> None:
    house.execute("update practice_settings set settings = settings || '{\"guest_window_hours\": 2}'")
    booked = house.book()
    house.clock.instant = TEN - 2 * HOUR
    assert house.cancel(booked.appointment_id, by_staff=False).status == "cancelled"


def test_a_visit_that_never_was_cannot_be_cancelled(house: House) -> None:
    with pytest.raises(NotFound):
        house.cancel(uuid4())
    house.side.take(TEN)
    house.side.fail("book", "refuse_taken")
    with pytest.raises(errors.SlotTaken):
        house.book()
    (lost,) = house.rows("select id from appointments")
    with pytest.raises(errors.NotActive):
        house.cancel(lost["id"])


def test_a_booking_that_was_not_sent_is_never_sent(house: House) -> None:
    house.side.fail("book", "429")
    booked = house.book()
    assert (booked.status, house.cancel(booked.appointment_id).status) == ("pending", "cancelled")
    house.side.server.fail()
    house.side.server.forget()
    house.settle()
    assert house.side.asked("book") == 0
    is_free(house, booked)


@at_athena
def test_the_slot_of_a_booking_that_was_not_sent_is_offered_again(house: House) -> None:
    house.side.fail("book", "429")
    booked = house.book()
    house.side.server.fail()
    house.clock.advance(minutes=5)
    house.read_slots()  # The reading leaves out what is being booked.
    house.cancel(booked.appointment_id)
    house.sweep()
    assert house.book(patient=somebody(1)).status == "confirmed"


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "error_before", "error_after"])
def test_a_booking_whose_outcome_nobody_knows_is_cancelled_wherever_it_landed(house: House, kind: str) -> None:
    house.side.fail("book", kind)
    booked = house.book()
    assert booked.status == "pending"
    assert house.cancel(booked.appointment_id).status == "cancelled"
    assert house.owners() == set()
    house.side.server.fail()
    house.settle()
    is_free(house, booked)


def test_a_booking_that_is_on_its_way_is_cancelled_when_it_arrives(house: House) -> None:
    booked = house.accept(house.wanted())
    house.execute(
        "update ehr_writes set state = 'sending', client_id = :id, sent_at = :now", id="50342", now=house.clock.now()
    )
    house.cancel(booked)
    house.side.take(TEN)  # The one that was travelling: the same client, practitioner and start.
    house.settle()
    assert house.visit(booked)["status"] == "cancelled"
    assert {state for _, state in house.writes(booked)} == {"confirmed"}
    assert house.rows("select 1 from time_claims") == []


def test_what_was_cancelled_on_its_way_is_not_sent_again_when_the_ehr_turns_it_away(house: House) -> None:
    booked = house.accept(house.wanted())
    house.execute("update ehr_writes set state = 'sending', client_id = '50342', sent_at = :now", now=house.clock.now())
    house.cancel(booked)
    # What the process that was sending it then writes down: the EHR had no room for it.
    house.execute("update ehr_writes set state = 'waiting', attempts = 1, next_look_at = :now", now=house.clock.now())
    rival = house.book(patient=somebody(1))
    house.settle()
    assert [visit.start for visit in house.side.standing()] == [TEN]
    assert (house.visit(rival.appointment_id)["status"], house.visit(booked)["status"]) == ("confirmed", "cancelled")
    assert house.writes(booked) == [("book", "failed")]


def test_a_visit_that_came_from_the_ehr_is_cancelled_there(house: House) -> None:
    booked = house.book()
    # As sync stores a visit that was made in the EHR: no write of ours, no payer, an unenforced claim without buffers.
    house.execute("delete from ehr_writes")
    house.execute("delete from idempotency_keys")
    house.execute("update appointments set payer_id = null, service_instance_id = null, billing = '[]'")
    house.execute("update time_claims set enforced = false")
    assert house.cancel(booked.appointment_id).status == "cancelled"
    house.sweep()
    is_free(house, booked)


@pytest.mark.parametrize("kind", ["drop_before", "error_before", "429", "html", "gateway", "drop_after", "error_after"])
def test_a_cancellation_that_is_not_answered_is_read_back_and_repeated_until_it_is_so(house: House, kind: str) -> None:
    booked = house.book()
    house.side.fail("cancel", kind)
    assert house.cancel(booked.appointment_id).status == "cancelled"
    assert house.owners() == set()
    house.settle()
    is_free(house, booked)
    assert house.told() == []


def test_a_cancellation_that_the_ehr_keeps_refusing_is_left_to_staff_once(house: House) -> None:
    booked = house.book()
    house.side.fail("cancel", "error_before", times=None, status=400)
    assert house.cancel(booked.appointment_id).status == "cancelled"
    house.settle()
    assert ("cancel", "failed") in house.writes(booked.appointment_id)
    assert house.told() == ["staff_alert.cancel_ehr_refused_400"]
    (alert,) = house.rows("select payload from outbox")
    assert alert["payload"]["appointmentId"] == str(booked.appointment_id)
    assert house.visit(booked.appointment_id)["status"] == "cancelled"


def test_a_cancellation_that_the_ehr_confirms_without_doing_it_is_left_to_staff(house: House) -> None:
    booked = house.book()
    house.cancel(booked.appointment_id)
    # The EHR takes the visit back each time: to us it says that it stands.
    house.execute(
        "update ehr_writes set external_id = :id where kind = 'cancel'",
        id=house.book(TEN + 3 * HOUR, patient=somebody(1)).ehr.external_id,
    )
    house.execute("update ehr_writes set attempts = 5 where kind = 'cancel'")
    house.sweep()
    assert house.told() == ["staff_alert.cancel_not_taken"]


def test_a_visit_that_staff_cancelled_in_the_ehr_first_is_no_trouble(house: House) -> None:
    booked = house.book()
    house.side.cancel(str(booked.ehr.external_id))
    assert house.cancel(booked.appointment_id).status == "cancelled"
    house.settle()
    is_free(house, booked)
    assert house.told() == []


def test_a_move_that_was_not_sent_is_forgotten_and_the_visit_cancelled_where_it_is(house: House) -> None:
    booked = house.book()
    house.side.fail("reschedule", "429")
    assert house.move(booked.appointment_id, TEN + 3 * HOUR).status == "pending"
    assert house.cancel(booked.appointment_id).status == "cancelled"
    house.side.server.fail()
    house.side.server.forget()
    assert house.owners() | house.owners(TEN + 3 * HOUR) == set()
    house.settle()
    assert house.side.asked("reschedule") == 0
    is_free(house, booked)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "error_before", "error_after"])
def test_a_move_whose_outcome_nobody_knows_is_cancelled_wherever_the_visit_is(house: House, kind: str) -> None:
    booked = house.book()
    house.side.fail("reschedule", kind)
    house.move(booked.appointment_id, TEN + 3 * HOUR)
    house.cancel(booked.appointment_id)
    house.side.server.fail()
    rival = house.accept(house.wanted(TEN + 3 * HOUR, patient=somebody(1)))  # Free at once, for others too.
    house.settle()
    assert {state for _, state in house.writes(booked.appointment_id)} <= {"confirmed", "failed"}
    # Where the EHR has open slots, the rival may come before the cancellation: then they are told so.
    status = house.visit(rival)["status"]
    assert status in (("confirmed",) if house.side.system == "intakeq" else ("confirmed", "failed"))
    assert [visit.start for visit in house.side.standing()] == [TEN + 3 * HOUR] * (status == "confirmed")
    assert house.owners() == set()
    assert house.owners(TEN + 3 * HOUR) == ({rival} if status == "confirmed" else set())


@pytest.mark.parametrize("kind", ["429", "drop_before", "drop_after"])
def test_a_move_to_the_other_ehr_is_cancelled_on_both_sides(house: House, kind: str) -> None:
    booked = house.book()
    house.other_side.fail("book", kind)
    moved = house.move(booked.appointment_id, TEN + 3 * HOUR, house.other_side.provider)
    assert (moved.status, moved.ehr.system) == ("pending", house.other_side.system)
    house.cancel(booked.appointment_id)
    house.other_side.server.fail()
    house.settle()
    is_free(house, booked)
    assert house.told() == []


def test_who_is_known_to_both_ehrs_is_named_to_each_as_it_knows_them(house: House) -> None:
    first = house.book(TEN - HOUR, provider_id=house.other_side.provider)
    booked = house.book(TEN + HOUR)
    house.other_side.fail("book", "429")
    house.move(booked.appointment_id, TEN + 3 * HOUR, house.other_side.provider)
    house.cancel(booked.appointment_id)
    house.settle()
    assert house.side.standing() == []
    assert [visit.external_id for visit in house.other_side.standing()] == [first.ehr.external_id]
    assert house.told() == []


@at_athena
def test_a_cancelled_slot_is_offered_again_under_its_new_id(house: House) -> None:
    booked = house.book()
    house.cancel(booked.appointment_id)
    house.sweep()
    again = house.book(patient=somebody(1))
    assert again.status == "confirmed"
    assert again.ehr.external_id != booked.ehr.external_id


@at_athena
def test_what_was_still_to_be_set_on_a_cancelled_visit_is_not_set(house: House) -> None:
    insurance = {"member_id": "W-1", "group_number": None}
    booked = house.book(given={"insurance": insurance})
    house.cancel(booked.appointment_id)
    house.side.server.forget()
    house.settle()
    assert [house.side.asked(call) for call in ("details", "policy", "attach")] == [0, 0, 0]
    assert ("details", "failed") in house.writes(booked.appointment_id)


@at_intakeq
def test_one_cancellation_frees_the_room_and_both_people(house: House) -> None:
    room = house.room()
    booked = house.book()
    assert booked.room
    assert booked.room.id == room
    with pytest.raises(errors.RoomTaken):
        house.book(provider_id=TOVE, patient=somebody(1))
    house.cancel(booked.appointment_id)
    assert house.rows("select 1 from time_claims") == []
    assert house.book(provider_id=TOVE, patient=somebody(1)).room
