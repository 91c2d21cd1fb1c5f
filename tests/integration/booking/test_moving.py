"""Moving: one change with one identity, in the same EHR, under a new id there, or across to the other one."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from moonlit.booking import errors
from moonlit.booking.answers import AppointmentAnswer
from moonlit.booking.sweep import BETWEEN_LOOKS, WATCHES
from moonlit.booking.wanted import Overrule
from moonlit.errors import NotFound
from tests.fixtures_booking import INES, TEN, somebody
from tests.fixtures_ehrs import HOUR, NOOR, Side
from tests.fixtures_house import House, offered

at_athena = pytest.mark.parametrize("side", ["athena"], indirect=True)
at_intakeq = pytest.mark.parametrize("side", ["intakeq"], indirect=True)
ONE = TEN + 3 * HOUR
UNKNOWN = ["drop_before", "drop_after", "error_before", "error_after", "html", "html_after", "gateway_after"]
TARGETS = ["provider", "colleague", "abroad"]


def target(house: House, name: str) -> tuple[UUID, Side, str]:
    """Return to whom a visit is moved, in which EHR, and by which request."""
    if name == "abroad":
        return house.other_side.provider, house.other_side, "book"
    return (
        (house.side.provider, house.side, "reschedule")
        if name == "provider"
        else (house.side.colleague, house.side, "book")
    )


def stands_once(house: House, booked: AppointmentAnswer, *, moved: bool) -> None:
    """Check that the visit stands at exactly one of its two times, the same here and in the EHRs."""
    visit, start = house.visit(booked.appointment_id), ONE if moved else TEN
    assert (visit["status"], visit["start"], visit["end"]) == ("confirmed", start, start + HOUR)
    assert [each.start for side in house.sides.values() for each in side.standing()] == [start]
    (standing,) = house.sides[visit["system"]].standing()
    assert [one for one, is_current in house.external_ids(booked.appointment_id).items() if is_current] == [
        standing.external_id
    ]
    assert (house.owners(TEN), house.owners(ONE)) == (
        (set(), {booked.appointment_id}) if moved else ({booked.appointment_id}, set())
    )
    spans = house.rows("select resource_kind, lower(span) s, upper(span) e from time_claims order by 1")
    assert [(row["resource_kind"], row["s"], row["e"]) for row in spans] == [
        ("patient", start, start + HOUR),
        ("person", start, start + HOUR + timedelta(minutes=10)),
    ]
    assert {state for _, state in house.writes(booked.appointment_id)} <= {"confirmed", "failed"}


@pytest.mark.parametrize("to", TARGETS)
def test_a_visit_moves_with_one_identity(house: House, to: str) -> None:
    provider_id, side, _ = target(house, to)
    booked = house.book()
    moved = house.move(booked.appointment_id, ONE, provider_id)
    assert (moved.status, moved.start, moved.ehr.system) == ("confirmed", ONE, side.system)
    assert moved.provider
    assert moved.provider.id == provider_id
    assert (moved.appointment_id, moved.sequence) == (booked.appointment_id, booked.sequence + 1)
    house.settle()
    stands_once(house, booked, moved=True)
    assert len(house.rows("select 1 from appointments")) == 1
    assert house.told() == []


@pytest.mark.parametrize("to", TARGETS)
def test_a_repeated_move_changes_nothing(house: House, to: str) -> None:
    provider_id, _, _ = target(house, to)
    booked = house.book()
    moved = house.move(booked.appointment_id, ONE, provider_id)
    house.settle()
    for side in house.sides.values():
        side.server.forget()
    again = house.move(booked.appointment_id, ONE, provider_id)
    assert (again.sequence, again.ehr) == (moved.sequence, moved.ehr)
    assert [side.server.requests() for side in house.sides.values()] == [[], []]


@pytest.mark.parametrize("to", TARGETS)
def test_a_visit_moves_there_and_back(house: House, to: str) -> None:
    provider_id, _, _ = target(house, to)
    booked = house.book()
    house.move(booked.appointment_id, ONE, provider_id)
    house.sweep()
    assert house.move(booked.appointment_id, TEN, house.side.provider).status == "confirmed"
    house.settle()
    stands_once(house, booked, moved=False)
    assert house.visit(booked.appointment_id)["sequence"] == 2


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_move_whose_outcome_nobody_knows_ends_at_exactly_one_time(house: House, to: str, kind: str) -> None:
    provider_id, side, call = target(house, to)
    booked = house.book()
    side.fail(call, kind)
    moved = house.move(booked.appointment_id, ONE, provider_id)
    assert (moved.status, moved.start) == ("pending", ONE)
    side.server.fail()
    for start in (TEN, ONE):  # Neither is sold before it is clear which one the visit keeps.
        with pytest.raises(errors.SlotTaken):
            house.book(start, provider_id=house.side.provider if start == TEN else provider_id, patient=somebody(1))
    house.settle()
    # A reschedule that had no effect is sent again; a booking is not, since it may land late.
    stands_once(house, booked, moved=call == "reschedule" or kind.endswith("_after"))


@pytest.mark.parametrize("to", TARGETS)
def test_a_move_that_the_ehr_has_no_room_for_is_made_when_it_has(house: House, to: str) -> None:
    provider_id, side, call = target(house, to)
    booked = house.book()
    side.fail(call, "429")
    assert house.move(booked.appointment_id, ONE, provider_id).status == "pending"
    house.settle()
    stands_once(house, booked, moved=True)


@pytest.mark.parametrize("to", TARGETS)
def test_where_the_ehr_has_somebody_else_the_visit_stays_and_others_are_offered(house: House, to: str) -> None:
    provider_id, side, call = target(house, to)
    booked = house.book()
    side.fail(call, "error_before", status=409)
    with pytest.raises(errors.SlotTaken) as refused:
        house.move(booked.appointment_id, ONE, provider_id)
    assert offered(refused.value)
    visit = house.visit(booked.appointment_id)
    assert (visit["status"], visit["start"]) == ("confirmed", TEN)
    assert (house.owners(TEN), house.owners(ONE)) == ({booked.appointment_id}, set())
    assert (visit["provider_id"], visit["system"]) == (house.side.provider, house.side.system)
    assert visit["sequence"] == 2  # There and back: a calendar that saw the new time takes the old one.
    side.server.fail()
    house.settle()
    stands_once(house, booked, moved=False)
    house.read_slots()
    assert house.book(ONE, provider_id=provider_id, patient=somebody(1)).status == "confirmed"


def test_a_move_may_overlap_the_visits_own_old_time(house: House) -> None:
    booked = house.book()
    half_past = TEN + timedelta(minutes=30)
    assert house.move(booked.appointment_id, half_past).status == "confirmed"
    house.settle()
    assert [visit.start for visit in house.side.standing()] == [half_past]
    rows = house.rows("select lower(span) s, upper(span) e from time_claims where resource_kind = 'person'")
    assert [(row["s"], row["e"]) for row in rows] == [(half_past, half_past + timedelta(minutes=70))]


def test_a_move_that_is_under_way_holds_both_times_in_one_claim_where_they_overlap(house: House) -> None:
    booked = house.book()
    house.side.fail("reschedule", "429")
    half_past = TEN + timedelta(minutes=30)
    house.move(booked.appointment_id, half_past)
    rows = house.rows("select lower(span) s, upper(span) e from time_claims where resource_kind = 'person'")
    assert [(row["s"], row["e"]) for row in rows] == [(TEN, half_past + timedelta(minutes=70))]


def test_a_visit_is_not_moved_before_the_ehr_has_it(house: House) -> None:
    house.side.fail("book", "429")
    booked = house.book()
    with pytest.raises(errors.ChangePending):
        house.move(booked.appointment_id, ONE)
    assert house.move(booked.appointment_id, TEN).status == "pending"  # It is on its way there.


def test_a_second_move_waits_for_the_first(house: House) -> None:
    booked = house.book()
    house.side.fail("reschedule", "429")
    house.move(booked.appointment_id, ONE)
    with pytest.raises(errors.ChangePending):
        house.move(booked.appointment_id, ONE + HOUR)
    with pytest.raises(errors.ChangePending):
        house.move(booked.appointment_id, TEN)
    assert house.move(booked.appointment_id, ONE).status == "pending"
    assert [kind for kind, _ in house.writes(booked.appointment_id)].count("reschedule") == 1


def test_a_patient_may_move_until_the_window_closes(house: House) -> None:
    booked = house.book(TEN + timedelta(days=1))
    house.clock.instant = booked.start - timedelta(days=1)
    house.read_slots()
    moved = house.move(booked.appointment_id, booked.start + HOUR, by_staff=False)
    assert moved.status == "confirmed"
    house.clock.instant = moved.start - timedelta(days=1) + timedelta(seconds=1)
    house.read_slots()
    with pytest.raises(errors.TooLate):
        house.move(booked.appointment_id, booked.start, by_staff=False)
    assert house.move(booked.appointment_id, booked.start).status == "confirmed"


def test_what_is_no_slot_leaves_the_visit_where_it_is(house: House) -> None:
    booked = house.book()
    other = house.book(TEN + 5 * HOUR, patient=somebody(1))
    for start, provider_id, refusal in (
        (other.start, None, errors.SlotTaken),
        (TEN + 9 * HOUR, None, errors.SlotNotOffered),
        (
            TEN + timedelta(minutes=7),
            None,
            errors.SlotNotOffered,
        ),
        (TEN - timedelta(days=2), None, errors.SlotNotOffered),
        (ONE, uuid4(), NotFound),
    ):
        with pytest.raises(refusal):
            house.move(booked.appointment_id, start, provider_id)
    house.execute(
        "update provider_payer_networks set status = 'inactive' where provider_id = :id", id=house.side.colleague
    )
    with pytest.raises(errors.ProviderNotEligible):
        house.move(booked.appointment_id, ONE, house.side.colleague)
    house.cancel(other.appointment_id)
    house.settle()
    stands_once(house, booked, moved=False)
    assert house.visit(booked.appointment_id)["sequence"] == 0


def test_the_patients_other_visits_stand_against_a_move_unless_staff_overrule(house: House) -> None:
    house.book(ONE, provider_id=house.side.colleague)
    booked = house.book()
    with pytest.raises(errors.PatientOverlap) as refused:
        house.move(booked.appointment_id, ONE)
    assert offered(refused.value)
    staff_id = uuid4()
    moved = house.move(booked.appointment_id, ONE, overrule=Overrule(staff_id, "a family session"))
    assert moved.status == "confirmed"
    (row,) = house.rows("select * from patient_activity_log")
    assert (row["kind"], row["actor"]) == ("overlap_overruled", f"staff:{staff_id}")
    assert row["details"] == {"appointmentId": str(booked.appointment_id), "reason": "a family session"}


def test_a_visit_that_does_not_stand_is_not_moved(house: House) -> None:
    booked = house.book()
    house.cancel(booked.appointment_id)
    with pytest.raises(errors.NotActive):
        house.move(booked.appointment_id, ONE)
    with pytest.raises(NotFound):
        house.move(uuid4(), ONE)


def test_a_visit_of_which_too_little_is_known_is_moved_in_the_ehr(house: House) -> None:
    booked = house.book()
    house.execute("update appointments set payer_id = null")
    with pytest.raises(errors.NotBookedHere):
        house.move(booked.appointment_id, ONE)


@pytest.mark.parametrize("to", TARGETS)
def test_a_move_that_could_not_be_made_in_time_is_given_up_and_staff_hear_of_it(house: House, to: str) -> None:
    provider_id, side, call = target(house, to)
    booked = house.book()
    side.fail(call, "429", times=None)
    house.move(booked.appointment_id, ONE, provider_id)
    house.clock.instant = ONE
    house.sweeper.sweep()
    visit = house.visit(booked.appointment_id)
    assert (visit["status"], visit["start"]) == ("confirmed", TEN)
    assert visit["status_reason"] == "not_moved_not_written_in_time"
    assert house.owners(ONE) == set()
    assert "staff_alert.not_written_in_time" in house.told()


# ── Staff change the visit in the EHR meanwhile ───────────────────────────────────────────────────────────────────────


def lost_move(house: House) -> AppointmentAnswer:
    """Book, move, and let the request get lost."""
    booked = house.book()
    house.side.fail("reschedule", "drop_before")
    house.move(booked.appointment_id, ONE)
    house.side.server.fail()
    return booked


def test_a_visit_that_staff_moved_elsewhere_is_not_pulled_back(house: House) -> None:
    booked = lost_move(house)
    elsewhere = TEN + 5 * HOUR
    house.side.move(str(booked.ehr.external_id), elsewhere)
    house.settle()
    assert [visit.start for visit in house.side.standing()] == [elsewhere]
    assert house.owners(ONE) == set()
    assert {state for _, state in house.writes(booked.appointment_id)} <= {"confirmed", "failed"}


def test_a_visit_that_staff_cancelled_is_not_brought_back(house: House) -> None:
    booked = lost_move(house)
    house.side.cancel(str(booked.ehr.external_id))
    house.settle()
    assert house.side.standing() == []
    assert house.owners(ONE) == set()
    assert {state for _, state in house.writes(booked.appointment_id)} <= {"confirmed", "failed"}


def test_a_visit_that_staff_moved_to_the_very_time_is_where_it_was_to_go(house: House) -> None:
    booked = lost_move(house)
    house.side.move(str(booked.ehr.external_id), ONE)
    house.settle()
    stands_once(house, booked, moved=True)


def test_the_time_of_a_move_that_waited_is_checked_again(house: House) -> None:
    booked = house.book()
    house.side.fail("reschedule", "429")
    house.move(booked.appointment_id, ONE)
    house.side.server.fail()
    (write,) = house.rows("select practitioner_id, account_id from ehr_writes where kind = 'reschedule'")
    house.account_id = write["account_id"]
    house.busy_in_mirror(write["practitioner_id"], ONE)
    house.side.server.forget()
    house.settle()
    assert house.side.asked("reschedule") == 0
    visit = house.visit(booked.appointment_id)
    assert (visit["status"], visit["start"], visit["status_reason"]) == (
        "confirmed",
        TEN,
        "not_moved_slot_taken_in_ehr",
    )


# ── Across ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("to", ["colleague", "abroad"])
def test_a_visit_that_lands_at_the_other_provider_after_all_is_cancelled_there(house: House, to: str) -> None:
    provider_id, side, _ = target(house, to)
    booked = house.book()
    side.fail("book", "drop_before")
    house.move(booked.appointment_id, ONE, provider_id)
    side.server.fail()
    for _ in range(2):
        house.sweeper.sweep()
        house.clock.instant += BETWEEN_LOOKS
    assert house.visit(booked.appointment_id)["start"] == TEN
    (late,) = house.rows("select * from ehr_writes where state = 'watching'")
    now, house.clock.instant = house.clock.instant, late["sent_at"]
    side.land(ONE, late["practitioner_id"], late["client_id"])
    house.clock.instant = now
    assert len([each for one in house.sides.values() for each in one.standing()]) == 2
    house.clock.instant += WATCHES[0]
    house.settle()
    stands_once(house, booked, moved=False)


@at_athena
def test_the_new_id_is_current_and_the_old_one_stays_known(house: House) -> None:
    booked = house.book()
    moved = house.move(booked.appointment_id, ONE)
    assert moved.ehr.external_id != booked.ehr.external_id
    assert house.external_ids(booked.appointment_id) == {booked.ehr.external_id: False, moved.ehr.external_id: True}
    house.settle()
    assert house.athena.is_open(TEN)
    assert house.cancel(booked.appointment_id).status == "cancelled"  # Under the id that it has now.
    house.settle()
    assert house.side.standing() == []


@at_athena
def test_what_was_to_be_set_on_the_old_visit_is_set_on_the_new_one(house: House) -> None:
    booked = house.book()
    moved = house.move(booked.appointment_id, ONE)
    rows = house.rows("select external_id, state, last_error from ehr_writes where kind = 'details' order by state")
    assert [(row["external_id"], row["state"], row["last_error"]) for row in rows] == [
        (booked.ehr.external_id, "confirmed", "superseded"),
        (moved.ehr.external_id, "waiting", None),
    ]


@at_athena
def test_what_was_to_be_set_on_a_visit_that_left_is_not_set(house: House) -> None:
    booked = house.book(given={"insurance": {"member_id": "W-1", "group_number": None}})
    house.move(booked.appointment_id, ONE, INES)
    house.settle()
    assert [house.athena.asked(call) for call in ("details", "policy", "attach")] == [0, 0, 0]
    assert house.told() == []


@at_intakeq
def test_a_move_takes_another_room_when_the_first_is_taken_then(house: House) -> None:
    first = house.room()
    house.execute(
        "insert into rooms (id, location_id, room_number, room_name, capacity)"
        " select :id, location_id, '2', 'Green', 4 from rooms",
        id=(second := uuid4()),
    )
    booked, rival = house.book(), house.book(ONE, provider_id=NOOR, patient=somebody(1))
    assert (booked.room and booked.room.id, rival.room and rival.room.id) == (first, first)
    moved = house.move(booked.appointment_id, ONE)
    assert moved.room
    assert moved.room.id == second
    with pytest.raises(errors.RoomTaken):
        house.book(ONE, provider_id=house.side.colleague, patient=somebody(2))
    assert house.book(provider_id=NOOR, patient=somebody(2)).room == booked.room
