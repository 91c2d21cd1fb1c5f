"""Holds: nobody but their owner has the slot, for ten minutes; at athenahealth it is frozen there too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from moonlit.booking import errors
from moonlit.booking.holds import LASTS
from moonlit.db import tables as t
from moonlit.ehr.port import Lane
from moonlit.errors import NotFound
from tests.fixtures_booking import EMIL, INES, NEW_PAYER, TEN, somebody
from tests.fixtures_ehrs import HOUR, NOOR
from tests.fixtures_house import CALLER, House, offered
from tests.fixtures_intakeq import PRACTITIONER

at_athena = pytest.mark.parametrize("side", ["athena"], indirect=True)
at_intakeq = pytest.mark.parametrize("side", ["intakeq"], indirect=True)
STRANGERS: dict[str, Any] = {"patient": somebody(1)}


def test_a_held_slot_is_its_owners_alone(house: House) -> None:
    hold = house.hold()
    assert (hold.start, hold.end, hold.expires_at) == (TEN, TEN + HOUR, house.clock.now() + LASTS)
    with pytest.raises(errors.SlotTaken):
        house.hold(caller="another address")
    with pytest.raises(errors.SlotTaken):
        house.book(**STRANGERS)
    booked = house.book(hold_id=hold.id)
    assert (booked.status, house.owners()) == ("confirmed", {booked.appointment_id})
    assert house.rows("select 1 from appointment_holds") == []


def test_a_hold_says_who_shall_serve(house: House) -> None:
    hold = house.hold(provider_id=house.side.colleague)
    booked = house.book(provider_id=None, hold_id=hold.id)
    assert booked.provider
    assert booked.provider.id == house.side.colleague


def test_a_hold_is_dropped_twice_and_the_slot_is_free_at_once(house: House) -> None:
    hold = house.hold()
    house.drop(hold.id)
    house.drop(hold.id)
    house.drop(uuid4())
    assert house.owners() == set()
    assert house.book(**STRANGERS).status == "confirmed"


def test_a_hold_that_ran_out_blocks_nobody_even_before_the_sweeper_comes(house: House) -> None:
    hold = house.hold()
    house.clock.instant = hold.expires_at - timedelta(seconds=1)
    with pytest.raises(errors.SlotTaken):
        house.hold(caller="another address")
    house.clock.advance(seconds=1)
    assert house.hold(caller="another address").start == TEN


def test_the_sweeper_deletes_what_ran_out_and_nothing_else(house: House) -> None:
    early = house.hold()
    house.clock.advance(minutes=5)
    late = house.hold(TEN + 2 * HOUR)
    house.clock.instant = early.expires_at
    assert house.sweeper.sweep()["holds_expired"] == 1
    assert [row["id"] for row in house.rows("select id from appointment_holds")] == [late.id]


def test_an_expired_hold_still_books_while_the_slot_is_free(house: House) -> None:
    hold = house.hold()
    house.clock.instant = hold.expires_at + timedelta(minutes=1)
    booked = house.book(hold_id=hold.id)
    assert (booked.status, house.owners()) == ("confirmed", {booked.appointment_id})


def test_an_expired_hold_gives_no_right_over_who_has_the_slot_now(house: House) -> None:
    hold = house.hold()
    house.clock.instant = hold.expires_at
    winner = house.book(**STRANGERS)
    with pytest.raises(errors.SlotTaken):
        house.book(hold_id=hold.id)
    assert house.owners() == {winner.appointment_id}


def test_a_hold_of_another_slot_gives_no_right_here_and_is_given_back(house: House) -> None:
    mine, theirs = house.hold(), house.hold(TEN + 2 * HOUR, caller="another address")
    with pytest.raises(errors.SlotTaken):
        house.book(theirs.start, hold_id=mine.id)
    assert house.owners() == {mine.id}  # Who was refused has not lost what they held.
    booked = house.book(TEN + 4 * HOUR, hold_id=mine.id)
    assert (house.owners(), house.owners(TEN + 4 * HOUR)) == (set(), {booked.appointment_id})


def test_a_hold_of_anybody_finds_who_is_free(house: House) -> None:
    seen = {house.hold(caller=f"address {n}", provider_id=None).provider_id for n in range(4)}
    assert len(seen) == 4
    with pytest.raises(errors.SlotTaken) as refused:
        house.hold(provider_id=None)
    assert offered(refused.value)


def test_what_is_no_slot_cannot_be_held(house: House) -> None:
    for wish, refusal in (
        ({"start": TEN + timedelta(minutes=5)}, errors.SlotNotOffered),
        ({"start": TEN + timedelta(microseconds=1)}, errors.SlotNotOffered),
        ({"payer_id": NEW_PAYER}, errors.PayerNotAccepted),
        ({"state": "NV"}, errors.ProviderNotEligible),
        ({"service_id": uuid4()}, NotFound),
    ):
        with pytest.raises(refusal):
            house.hold(**wish)
    assert house.rows("select 1 from appointment_holds") == []


@at_intakeq
def test_a_hold_of_a_co_visit_takes_both_people_and_the_room(house: House) -> None:
    room = house.room()
    house.execute("update provider_payer_networks set status = 'inactive' where provider_id = :id", id=INES)
    with house.begin() as connection:
        pair = {"resident_id": INES, "attending_id": EMIL, "level": "co_visit_required"}
        connection.execute(sa.insert(t.supervision_relationships).values(**pair, effective_date="2026-01-01"))
    hold = house.hold()
    rows = house.rows("select resource_kind, resource_id, lower(span) s, upper(span) e from time_claims")
    assert {(row["resource_kind"], row["resource_id"]) for row in rows} == {
        ("person", INES),
        ("person", EMIL),
        ("room", room),
    }
    assert {(row["s"], row["e"]) for row in rows} == {(TEN, TEN + HOUR + timedelta(minutes=10))}
    with pytest.raises(errors.SlotTaken):
        house.book(provider_id=EMIL, **STRANGERS)
    with pytest.raises(errors.RoomTaken):
        house.book(provider_id=NOOR, **STRANGERS)
    booked = house.book(hold_id=hold.id)
    assert booked.room
    assert (booked.room.id, booked.rendering_provider and booked.rendering_provider.id) == (room, EMIL)
    assert house.owners() == {booked.appointment_id}


def test_an_address_holds_so_much_and_no_more(house: House) -> None:
    house.execute("update practice_settings set settings = settings || '{\"live_holds_per_address\": 2}'")
    first, _ = house.hold(), house.hold(TEN + 2 * HOUR)
    with pytest.raises(errors.TooMany) as refused:
        house.hold(TEN + 4 * HOUR)
    assert refused.value.extra["retryAfterSeconds"] == 600
    assert house.hold(TEN + 4 * HOUR, caller="another address")
    house.drop(first.id)
    assert house.hold()
    house.clock.advance(minutes=10)  # Those that ran out do not count.
    assert house.hold(TEN + 2 * HOUR)


# ── athenahealth: the slot is frozen ──────────────────────────────────────────────────────────────────────────────────


@at_athena
def test_a_hold_freezes_the_slot_until_it_is_dropped(house: House) -> None:
    hold = house.hold()
    assert house.athena.frozen() == {TEN}
    house.drop(hold.id)
    assert house.athena.frozen() == set()
    assert house.rows("select 1 from ehr_freezes") == []


@at_athena
def test_a_hold_that_ran_out_is_thawed_by_the_sweeper(house: House) -> None:
    hold = house.hold()
    house.clock.instant = hold.expires_at
    assert house.sweeper.sweep()["slots_thawed"] == 1
    assert house.athena.is_open(TEN)
    assert house.rows("select 1 from ehr_freezes") == []


@at_athena
def test_a_booking_thaws_what_its_hold_froze(house: House) -> None:
    hold = house.hold()
    house.read_slots()  # The reading does not show what is frozen, and must not lose it.
    house.clock.advance(minutes=6)
    house.read_slots()
    assert house.book(hold_id=hold.id).status == "confirmed"
    assert (house.athena.frozen(), house.rows("select 1 from ehr_freezes")) == (set(), [])
    house.settle()
    assert [visit.start for visit in house.side.standing()] == [TEN]


@at_athena
def test_what_one_hold_froze_another_patient_can_book_once_it_ran_out(house: House) -> None:
    hold = house.hold()
    house.clock.instant = hold.expires_at  # The sweeper has not been there: the slot is still frozen.
    assert house.athena.frozen() == {TEN}
    assert house.book(**STRANGERS).status == "confirmed"


@at_athena
def test_where_freezing_is_not_granted_a_hold_is_still_one_here(house: House) -> None:
    house.athena.server.settings(freeze=False)
    hold = house.hold()
    assert (house.athena.frozen(), house.rows("select 1 from ehr_freezes")) == (set(), [])
    with pytest.raises(errors.SlotTaken):
        house.book(**STRANGERS)
    assert house.book(hold_id=hold.id).status == "confirmed"


@at_athena
def test_a_slot_that_the_ehr_gave_away_meanwhile_is_not_held(house: House) -> None:
    house.side.take(TEN)
    with pytest.raises(errors.SlotTaken):
        house.hold()
    assert house.rows("select 1 from appointment_holds") == []
    assert house.rows("select 1 from ehr_freezes") == []
    # The next one is tried instead, where anyone may serve.
    assert house.hold(provider_id=None).provider_id != NOOR


@at_athena
@pytest.mark.parametrize("kind", ["error_before", "error_after", "drop_before", "drop_after", "429", "html_after"])
def test_whatever_becomes_of_a_freeze_it_ends_with_the_hold(house: House, kind: str) -> None:
    house.side.fail("freeze", kind)
    hold = house.hold()
    assert house.owners() == {hold.id}
    house.side.server.fail()
    house.clock.instant = hold.expires_at
    house.settle()
    assert (house.athena.frozen(), house.rows("select 1 from ehr_freezes")) == (set(), [])
    assert house.athena.is_open(TEN)


@at_athena
@pytest.mark.parametrize("kind", ["error_before", "error_after", "drop_before", "drop_after", "429", "html_after"])
def test_a_thaw_that_goes_wrong_is_repeated(house: House, kind: str) -> None:
    hold = house.hold()
    house.side.fail("freeze", kind)
    house.drop(hold.id)
    house.side.server.fail()
    house.settle()
    assert (house.athena.frozen(), house.rows("select 1 from ehr_freezes")) == (set(), [])
    assert house.book(**STRANGERS).status == "confirmed"


@at_athena
@pytest.mark.parametrize("kind", ["error_before", "error_after", "drop_before", "drop_after", "429", "html_after"])
def test_a_booking_whose_slot_is_not_thawed_yet_waits_and_is_not_lost(house: House, kind: str) -> None:
    hold = house.hold()
    house.side.fail("freeze", kind)
    booked = house.book(hold_id=hold.id)
    assert booked.status == "pending"
    house.side.server.fail()
    house.settle()
    assert house.visit(booked.appointment_id)["status"] == "confirmed"
    assert [visit.start for visit in house.side.standing()] == [TEN]


@at_athena
def test_an_old_holds_thaw_leaves_the_next_ones_freeze_alone(house: House) -> None:
    old = house.hold()
    house.clock.instant = old.expires_at
    new = house.hold(caller="another address")
    assert house.sweeper.sweep()["slots_thawed"] == 0
    assert house.athena.frozen() == {TEN}
    assert house.rows("select hold_id from ehr_freezes") == [{"hold_id": new.id}]
    assert house.saga.ehr_of(house.rows("select account_id from ehr_freezes")[0]["account_id"]).open_slots(
        [("71", "1")], ["963"], TEN.date(), TEN.date(), Lane.BOOKING
    )


def test_the_caller_of_a_hold_is_remembered_as_given(house: House) -> None:
    house.hold()
    assert house.rows("select caller from appointment_holds") == [{"caller": CALLER}]


@at_athena
def test_a_slot_that_cannot_be_thawed_is_tried_for_hours_and_then_left_to_staff(house: House) -> None:
    hold = house.hold()
    house.side.fail("freeze", "error_before", times=None, status=403)
    house.drop(hold.id)
    for _ in range(12):
        house.clock.advance(hours=1)
        house.sweeper.sweep()
    assert house.told() == ["staff_alert.slot_left_frozen"]
    assert house.rows("select 1 from ehr_freezes") == []
    assert house.athena.frozen() == {TEN}


@at_athena
def test_a_hold_that_is_placed_while_the_one_before_is_thawed_keeps_its_freeze(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = house.hold()
    (freeze,) = house.rows("select account_id from ehr_freezes")
    adapter, new = house.saga.ehr_of(freeze["account_id"]), []
    thaw = adapter.thaw

    def slow(slot_id: str, lane: Lane) -> None:
        thaw(slot_id, lane)
        new.append(house.hold(caller="another address"))

    with monkeypatch.context() as patch:
        patch.setattr(adapter, "thaw", slow)
        house.drop(old.id)
    assert house.athena.frozen() == {TEN}
    assert house.rows("select hold_id from ehr_freezes") == [{"hold_id": new[0].id}]
    assert house.book(hold_id=new[0].id).status == "confirmed"


@at_intakeq
def test_a_hold_that_ran_out_says_no_more_who_shall_serve(house: House) -> None:
    hold = house.hold()
    house.clock.instant = hold.expires_at
    house.busy_in_mirror(PRACTITIONER, TEN)
    booked = house.book(provider_id=None, hold_id=hold.id)
    assert booked.provider
    assert booked.provider.id != hold.provider_id
