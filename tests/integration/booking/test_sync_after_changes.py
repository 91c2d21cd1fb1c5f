"""What staff and the EHR do to a visit after we have moved or cancelled it, and what a night makes of that."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
import sqlalchemy as sa

from moonlit.booking.ledger import Ledger
from moonlit.booking.moving import Change, Moving
from moonlit.booking.settlement import Settlement
from moonlit.booking.store import Kept
from moonlit.db.engine import beginner, connect
from moonlit.errors import MoonlitError
from moonlit.sync.fan_out import FanOut
from moonlit.sync.nightly import Nightly
from moonlit.sync.organizations import Organizations
from moonlit.sync.pull import Meter, Puller
from tests.fixtures_booking import TEN, somebody
from tests.fixtures_ehrs import HOUR, System
from tests.fixtures_house import House
from tests.fixtures_intakeq import OTHER_PRACTITIONER, OpenBudget
from tests.fixtures_sync import MemoryQueue

INTAKEQ = pytest.mark.parametrize("side", ["intakeq"], indirect=True)


def night(house: House, system: System) -> int:
    """Bring one EHR's visits up to date and return how many errors there were."""
    house.clock.advance(hours=1)
    account_id = house.rows("select id from ehr_accounts where system = :system", system=system)[0]["id"]
    sync, pull = MemoryQueue(), MemoryQueue()
    puller = Puller(house.begin, house.clock, house.saga.ehr_of(account_id), Meter(OpenBudget()), lambda: 900.0)
    nightly = Nightly(system, puller, FanOut(house.begin, house.clock, sync), pull)
    run_id = nightly.start("automated_daily")
    for message in sync.take():
        Organizations(house.begin, house.clock, lambda: 900.0).bring_up_to_date(UUID(message["syncLogId"]))
    return int(nightly.summary(run_id)["counts"]["errors"])


@pytest.mark.parametrize("who", ["colleague", "abroad"])
@pytest.mark.parametrize("staff", ["move", "cancel"])
def test_what_staff_change_after_a_move_is_taken_though_the_old_place_is_cancelled_later(
    house: House, who: str, staff: str
) -> None:
    there = house.other_side if who == "abroad" else house.side
    booked = house.book()
    moved = house.move(booked.appointment_id, TEN + 3 * HOUR, there.provider if who == "abroad" else there.colleague)
    external_id = str(moved.ehr.external_id)
    house.clock.advance(seconds=5)
    if staff == "move":
        there.move(external_id, TEN + 5 * HOUR)
    else:
        there.cancel(external_id)
    house.settle()  # The old place is cancelled a minute after that.
    for _ in range(2):
        assert [night(house, system) for system in house.sides] == [0, 0]
    visit = house.visit(booked.appointment_id)
    expected = (TEN + 5 * HOUR, "confirmed") if staff == "move" else (TEN + 3 * HOUR, "cancelled")
    assert (visit["start"], visit["status"]) == expected


@INTAKEQ
def test_a_visit_that_ended_and_comes_back_with_another_practitioner_does_not_stop_its_patients_other_rows(
    house: House,
) -> None:
    first, other = house.book(), house.book(TEN + 5 * HOUR, provider_id=house.side.colleague)
    house.side.cancel(str(first.ehr.external_id))
    assert night(house, "intakeq") == 0
    house.clock.advance(minutes=1)
    fields = {"Status": "Confirmed", "PractitionerId": OTHER_PRACTITIONER, "PractitionerEmail": "e@example.org"}
    house.side.server.staff("update", id=first.ehr.external_id, fields=fields)
    house.side.cancel(str(other.ehr.external_id))
    assert night(house, "intakeq") == 0
    assert [house.visit(each.appointment_id)["status"] for each in (first, other)] == ["confirmed", "cancelled"]


@INTAKEQ
def test_a_place_that_the_ehr_does_not_give_up_is_not_sold(house: House) -> None:
    booked = house.book()
    house.side.fail("cancel", "error_before", None, status=400)
    house.move(booked.appointment_id, TEN + 3 * HOUR, house.side.colleague)
    house.settle()
    night(house, "intakeq")
    house.side.server.fail()
    with pytest.raises(MoonlitError):
        house.book(TEN, patient=somebody(1), by_staff=True)


def test_a_move_waits_for_its_turn_before_it_takes_a_row_of_the_ledger(
    house: House, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked = house.book()
    write_id = house.rows("select id from ehr_writes order by created_at, kind")[-1]["id"]
    checked, ended, check = threading.Event(), threading.Event(), Moving._check

    def paused(self: Moving, connection: sa.Connection, visit: Kept, now: object) -> None:
        check(self, connection, visit, house.clock.now())
        checked.set()
        assert ended.wait(10)

    monkeypatch.setattr(Moving, "_check", paused)
    change = Change(booked.appointment_id, TEN + 3 * HOUR, by_staff=True)
    mover, settler = connect(app_url), connect(app_url)
    moving = threading.Thread(target=Moving(house.clock, change).run, args=(beginner(mover),))
    moving.start()
    try:
        assert checked.wait(10)
        with beginner(settler)() as connection:
            connection.execute(sa.text("set local lock_timeout = '2s'"))
            settlement = Settlement(connection, house.clock.now())
            assert settlement.current(Ledger(connection).look(write_id)).id == write_id
    finally:
        ended.set()
        moving.join()
        mover.dispose()
        settler.dispose()
    assert house.visit(booked.appointment_id)["status"] == "pending"
