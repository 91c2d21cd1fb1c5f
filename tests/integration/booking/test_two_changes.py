"""Two changes of one visit after each other, where the first one's outcome comes late, or is seen late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.booking import errors
from moonlit.booking.keys import Keys, Replay
from moonlit.booking.sweep import BETWEEN_LOOKS
from moonlit.booking.tokens import TokenRefused
from moonlit.booking.use_cases import accept
from moonlit.booking.wanted import Key
from moonlit.ehr.port import Ehr, Lane
from moonlit.sync.apply import apply_patients
from moonlit.sync.mirror import Mirror
from moonlit.sync.schedule import Scope
from tests.fixtures_booking import TEN, wanted
from tests.fixtures_ehrs import HOUR
from tests.fixtures_house import House

INTAKEQ = pytest.mark.parametrize("side", ["intakeq"], indirect=True)
ATHENA = pytest.mark.parametrize("side", ["athena"], indirect=True)
ONE = TEN + 3 * HOUR


def test_a_row_from_before_a_cancellation_does_not_bring_the_visit_back(house: House) -> None:
    booked = house.book()
    account_id = house.rows("select id from ehr_accounts where system = :system", system=house.side.system)[0]["id"]
    row = house.saga.ehr_of(account_id).visit(str(booked.ehr.external_id), Lane.NIGHTLY)
    assert row
    patient_id = house.visit(booked.appointment_id)["patient_id"]
    with house.begin() as connection:  # A pull has read it, and nobody has applied it yet.
        Mirror(connection, account_id).save([row], house.clock.now())
        connection.execute(sa.text("update ehr_appointments set patient_id = :patient"), {"patient": patient_id})
    house.cancel(booked.appointment_id)
    house.settle()
    scope = Scope(account_id, house.side.system, TEN - timedelta(days=90), TEN + timedelta(days=90))
    with house.begin() as connection:
        apply_patients(connection, scope, [str(patient_id)], house.clock.now())
    assert house.visit(booked.appointment_id)["status"] == "cancelled"
    assert house.claims(booked.appointment_id) == set()


@ATHENA
def test_a_visit_that_staff_moved_before_it_was_cancelled_here_is_cancelled_where_it_is(house: House) -> None:
    booked = house.book()
    house.side.move(str(booked.ehr.external_id), ONE)
    house.cancel(booked.appointment_id)
    house.settle()
    assert house.side.standing() == []


def test_the_watch_of_a_move_that_came_to_nothing_leaves_the_next_one_alone(house: House) -> None:
    booked = house.book()
    house.side.fail("book", "drop_before")
    house.move(booked.appointment_id, ONE, house.side.colleague)
    house.side.server.fail()
    for _ in range(2):
        house.sweeper.sweep()
        house.clock.instant += BETWEEN_LOOKS
    house.clock.instant -= timedelta(seconds=40)  # Soon enough to be taken for the first one's late visit.
    house.read_slots()
    assert house.move(booked.appointment_id, ONE, house.side.colleague).status == "confirmed"
    house.settle()
    assert [visit.start for visit in house.side.standing()] == [ONE]


def test_a_visit_does_not_move_back_before_the_ehr_has_given_up_the_place_that_it_left(house: House) -> None:
    booked = house.book()
    house.side.fail("cancel", "429")
    house.move(booked.appointment_id, ONE, house.side.colleague)
    house.sweeper.sweep()
    with pytest.raises(errors.ChangePending):
        house.move(booked.appointment_id, TEN, house.side.provider)
    house.side.server.fail()
    house.settle()
    assert [visit.start for visit in house.side.standing()] == [ONE]


def test_who_was_told_to_wait_is_told_when_it_comes_to_nothing(house: House) -> None:
    house.side.fail("book", "drop_before")
    assert house.book().status == "pending"
    house.side.server.fail()
    house.settle()
    assert house.told() == ["booking_released"]


def test_the_token_of_a_visit_that_was_moved_far_ahead_opens_it_there(house: House) -> None:
    booked = house.book()
    token = str(booked.manage_token)
    moved = house.move(booked.appointment_id, TEN + timedelta(days=42))
    house.clock.instant = moved.start - timedelta(days=3)
    house.desk.check(booked.appointment_id, token)
    house.clock.instant = moved.end + timedelta(days=31)
    with pytest.raises(TokenRefused):
        house.desk.check(booked.appointment_id, token)


@INTAKEQ
def test_a_cancellation_that_the_ehr_does_not_let_in_is_told_to_staff_once(house: House) -> None:
    booked = house.book()
    house.side.fail("cancel", "error_before", times=None, status=403)
    house.cancel(booked.appointment_id)
    for _ in range(3):
        house.clock.advance(hours=1)
        house.sweeper.sweep()
    assert house.told() == ["staff_alert.cancel_not_written_yet"]


@ATHENA
def test_a_secret_that_cannot_be_read_does_not_end_the_sweep(house: House) -> None:
    hold = house.hold()
    house.clock.instant = hold.expires_at + timedelta(seconds=1)

    def unreadable(_: UUID) -> Ehr:
        raise RuntimeError("the text of a secret")

    done = replace(house.sweeper, saga=replace(house.saga, ehr_of=unreadable)).sweep()
    assert (done["holds_expired"], done["slots_thawed"]) == (1, 0)


@INTAKEQ
def test_a_repetition_that_meets_its_own_visit_is_not_counted_as_a_probe(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.execute("update practice_settings set settings = settings || '{\"bookings_per_address_hour\": 1}'")
    booking, key = wanted(caller="somebody"), Key("the-same-key", "body")
    first = accept(house.begin, house.clock, booking, key)
    seen, early = Keys.used, [True]  # Its first look at the key came too early, and another time is free by now.

    def used(self: Keys, value: str, **besides: Any) -> Replay | None:
        return None if early and early.pop() else seen(self, value, **besides)

    monkeypatch.setattr(Keys, "used", used)
    again = accept(house.begin, house.clock, replace(booking, provider_id=house.side.colleague), key)
    assert again.appointment_id == first.appointment_id


@INTAKEQ
def test_asking_when_a_patient_has_visits_is_counted(house: House) -> None:
    house.book()
    house.execute("update practice_settings set settings = settings || '{\"bookings_per_address_hour\": 2}'")
    probe = wanted(provider_id=house.side.colleague, caller="a stranger")
    for expected in (errors.PatientOverlap, errors.PatientOverlap, errors.TooMany):
        with pytest.raises(expected):
            accept(house.begin, house.clock, probe, Key(uuid4().hex, "body"))
