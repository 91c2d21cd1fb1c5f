"""Reading an EHR's open slots while they are being booked, frozen and opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.availability.open_slots import OpenSlots
from moonlit.db import tables as t
from moonlit.db.engine import beginner, connect
from moonlit.ehr.port import BudgetExhausted, Ehr, EhrUnavailable, Lane, OpenSlot
from moonlit.sync.open_slots import refresh, refresh_due
from moonlit.sync.pull import Meter
from tests.fixtures_athena import (
    DEPARTMENT,
    LONG_REASON,
    PATIENT,
    PROVIDER,
    REASON,
    make_athena_account,
    make_slot,
)
from tests.fixtures_athena_sync import (
    HALF_HOUR,
    HOUR,
    NINE,
    AthenaPractice,
    ScriptedEhr,
    StartAthenaNight,
    make_ehr_visit,
)
from tests.fixtures_intakeq import OpenBudget


def slots(*numbers: int) -> list[OpenSlot]:
    """Return open slots, an hour apart."""
    starts = {number: NINE + number * HOUR for number in numbers}
    return [OpenSlot(str(n), PROVIDER, DEPARTMENT, (REASON,), at, at + HALF_HOUR) for n, at in starts.items()]


def known(practice: AthenaPractice) -> set[str]:
    return {row["external_id"] for row in practice.rows("select external_id from ehr_open_slots")}


def read_at(practice: AthenaPractice) -> Any:
    found = practice.rows("select slots_read_at from ehr_accounts where id = :id", id=practice.account_id)
    return found[0]["slots_read_at"]


def read(practice: AthenaPractice, reading: Callable[[], Sequence[OpenSlot]], seconds_left: float = 900.0) -> bool:
    ehr = cast("Ehr", ScriptedEhr(reading=reading))
    return refresh(practice.begin, practice.clock, ehr, practice.account_id, lambda: seconds_left)


def book(practice: AthenaPractice, slot_id: str, **fields: Any) -> UUID:
    """Do what a booking does with the slot that it takes: note the write, and forget the slot."""
    now = practice.clock.now()
    visit = practice.visit(practice.patient(None), None, start=now + HOUR)
    values: Mapping[str, Any] = {"kind": "book", "state": "waiting", "starts_at": NINE, **fields}
    with practice.begin() as connection:
        write_id = uuid4()
        connection.execute(
            sa.insert(t.ehr_writes).values(
                id=write_id, account_id=practice.account_id, appointment_id=visit, slot_id=slot_id, created_at=now,
                next_look_at=now, **values,
            )
        )  # fmt: skip
        OpenSlots(connection).forget(practice.account_id, slot_id)
    return write_id


def freeze(practice: AthenaPractice, *slot_ids: str) -> None:
    hold = {"account_id": practice.account_id, "hold_id": uuid4(), "thaw_at": NINE}
    with practice.begin() as connection:
        connection.execute(sa.insert(t.ehr_freezes), [{**hold, "slot_id": slot_id} for slot_id in slot_ids])


# ── What is asked, and what is stored ─────────────────────────────────────────────────────────────────────────────────


def test_all_seats_and_services_are_asked_for_up_to_the_horizon(athena: AthenaPractice) -> None:
    second = athena.provider("72", "2")
    athena.provider("73", active=False)
    retired = athena.service_of("999")
    athena.service_of(LONG_REASON)
    with athena.begin() as connection:
        columns = t.service_instances.c
        connection.execute(
            sa.update(t.service_instances)
            .where(columns.id == retired)
            .values(retired_at=NINE, retired_reason="duplicate_merged")
        )
        connection.execute(sa.update(t.practice_settings).values(settings={"horizon_days": 30}))
    ehr = ScriptedEhr(reading=lambda: slots(1, 2))
    assert refresh(athena.begin, athena.clock, cast("Ehr", ehr), athena.account_id, lambda: 900.0)
    assert second
    assert ehr.asked == [
        ([(PROVIDER, DEPARTMENT), ("72", "2")], [REASON, LONG_REASON], date(2027, 3, 10), date(2027, 4, 9), Lane.NIGHTLY)
    ]  # fmt: skip
    assert read_at(athena) == athena.clock.now()
    columns_kept = "external_id, practitioner_id, department_id, reason_ids, lower(span) as start, upper(span) as end"
    assert athena.rows(f"select {columns_kept} from ehr_open_slots where external_id = '1'") == [
        {"external_id": "1", "practitioner_id": PROVIDER, "department_id": DEPARTMENT, "reason_ids": [REASON],
         "start": NINE + HOUR, "end": NINE + HOUR + HALF_HOUR}
    ]  # fmt: skip


def test_a_reading_takes_the_place_of_the_one_before(athena: AthenaPractice) -> None:
    assert read(athena, lambda: slots(1, 2))
    athena.clock.advance(minutes=5)
    assert read(athena, lambda: slots(2, 3))
    assert known(athena) == {"2", "3"}
    assert {row["at"] for row in athena.rows("select read_at as at from ehr_open_slots")} == {athena.clock.now()}


def test_without_a_mapped_service_nothing_is_asked_and_nothing_offered(athena: AthenaPractice) -> None:
    read(athena, lambda: slots(1))
    with athena.begin() as connection:
        connection.execute(sa.delete(t.service_instance_integrations))
    athena.clock.advance(minutes=5)
    ehr = ScriptedEhr(reading=lambda: slots(1))
    assert refresh(athena.begin, athena.clock, cast("Ehr", ehr), athena.account_id, lambda: 900.0)
    assert (ehr.asked, known(athena)) == ([], set())


@pytest.mark.parametrize("error", [EhrUnavailable("answered 503"), BudgetExhausted(30.0)], ids=["failing", "budget"])
def test_slots_stay_when_the_ehr_does_not_answer(athena: AthenaPractice, error: Exception) -> None:
    def failing() -> Sequence[OpenSlot]:
        raise error

    read(athena, lambda: slots(1))
    began = athena.clock.now()
    athena.clock.advance(minutes=5)
    assert not read(athena, failing)
    assert (known(athena), read_at(athena)) == ({"1"}, began)


def test_a_reading_is_not_begun_without_the_time_for_it(athena: AthenaPractice) -> None:
    assert not read(athena, lambda: slots(1), seconds_left=10.0)
    assert known(athena) == set()


# ── Meanwhile ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def during(happens: Callable[[], object], found: Sequence[OpenSlot]) -> Callable[[], Sequence[OpenSlot]]:
    """Return a reading in which something happens after the EHR has looked."""

    def reading() -> Sequence[OpenSlot]:
        happens()
        return found

    return reading


@pytest.mark.parametrize("state", ["waiting", "sending", "unknown", "confirmed"])
def test_a_slot_booked_during_the_reading_does_not_come_back(athena: AthenaPractice, state: str) -> None:
    read(athena, lambda: slots(1, 2))
    athena.clock.advance(minutes=5)

    def booking() -> None:
        athena.clock.advance(seconds=1)
        book(athena, "1", state=state, finished_at=athena.clock.now() if state == "confirmed" else None)
        assert known(athena) == {"2"}

    assert read(athena, during(booking, slots(1, 2)))
    assert known(athena) == {"2"}


def test_a_slot_whose_booking_failed_is_offered_by_the_next_reading(athena: AthenaPractice) -> None:
    def refused() -> None:
        athena.clock.advance(seconds=1)
        book(athena, "1", state="failed", finished_at=athena.clock.now())

    read(athena, during(refused, slots(1)))
    assert known(athena) == set()
    athena.clock.advance(minutes=5)
    read(athena, lambda: slots(1))
    assert known(athena) == {"1"}


def test_a_slot_frozen_for_a_hold_stays_as_it_is(athena: AthenaPractice) -> None:
    read(athena, lambda: slots(1))
    athena.clock.advance(minutes=5)
    read(athena, during(lambda: freeze(athena, "1", "2"), slots(1, 2)))
    assert known(athena) == {"1"}  # The hold's owner may book it; the other was none of ours to offer.
    read(athena, tuple)
    assert known(athena) == {"1"}
    with athena.begin() as connection:
        connection.execute(sa.delete(t.ehr_freezes))
    read(athena, tuple)
    assert known(athena) == set()


def test_a_reading_that_began_earlier_does_not_replace_a_later_one(athena: AthenaPractice) -> None:
    def overtaking() -> None:
        athena.clock.advance(seconds=1)
        assert read(athena, lambda: slots(2))

    assert not read(athena, during(overtaking, slots(1)))
    assert known(athena) == {"2"}
    assert read_at(athena) == athena.clock.now()


def test_what_opened_during_the_reading_is_read_again_at_once(athena: AthenaPractice) -> None:
    def cancelling() -> None:
        athena.clock.advance(seconds=1)
        book(athena, "7", kind="cancel", state="confirmed", finished_at=athena.clock.now())

    assert read(athena, during(cancelling, slots(1)))
    assert (known(athena), read_at(athena)) == ({"1"}, None)
    athena.clock.advance(minutes=1)
    read(athena, lambda: slots(1, 2))
    assert read_at(athena) == athena.clock.now()


def test_what_was_called_stale_during_the_reading_stays_so(athena: AthenaPractice) -> None:
    def stale() -> None:
        with athena.begin() as connection:
            OpenSlots(connection).stale(athena.account_id)

    read(athena, lambda: slots(1))
    assert read_at(athena)
    athena.clock.advance(minutes=5)
    assert read(athena, during(stale, slots(2)))
    assert (known(athena), read_at(athena)) == ({"2"}, None)
    athena.clock.advance(minutes=1)
    read(athena, lambda: slots(2))
    assert read_at(athena) == athena.clock.now()


@pytest.mark.parametrize("first", ["booking", "reading"])
def test_whoever_comes_second_waits_for_the_first(athena: AthenaPractice, database_url: str, first: str) -> None:
    """Neither sees what the other has not committed, so one has to wait, or the slot would be offered once more."""
    read(athena, lambda: slots(1))
    athena.clock.advance(minutes=5)
    write_id = book(athena, "none yet", state="confirmed", finished_at=NINE - 100 * HOUR)
    engines = [connect(database_url) for _ in range(2)]
    steps: dict[str, Callable[[sa.Connection], object]] = {
        "booking": lambda connection: _book_on(connection, athena, write_id),
        "reading": lambda connection: OpenSlots(connection).replace(athena.account_id, slots(1), athena.clock.now()),
    }
    second = next(name for name in steps if name != first)
    done = threading.Event()

    def follow() -> None:
        with beginner(engines[1])() as connection:
            steps[second](connection)
        done.set()

    worker = threading.Thread(target=follow)
    with beginner(engines[0])() as connection:
        steps[first](connection)
        worker.start()
        assert not done.wait(0.3)
    worker.join(10)
    for engine in engines:
        engine.dispose()
    assert done.is_set()
    assert known(athena) == set()


def _book_on(connection: sa.Connection, practice: AthenaPractice, write_id: UUID) -> None:
    taken = sa.update(t.ehr_writes).where(t.ehr_writes.c.id == write_id)
    connection.execute(taken.values(slot_id="1", state="waiting", finished_at=None))
    OpenSlots(connection).forget(practice.account_id, "1")


# ── When ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def sweep(practice: AthenaPractice, ehr: Any) -> dict[str, int]:
    return refresh_due(practice.begin, practice.clock, lambda _: cast("Ehr", ehr), lambda: 900.0)


def test_the_sweeper_reads_what_is_old_or_was_called_stale(athena: AthenaPractice) -> None:
    ehr = ScriptedEhr(reading=lambda: slots(1))
    assert sweep(athena, ehr) == {"slots_read": 1}
    athena.clock.advance(minutes=4, seconds=59)
    assert sweep(athena, ehr) == {}
    athena.clock.advance(seconds=1)
    assert sweep(athena, ehr) == {"slots_read": 1}
    with athena.begin() as connection:
        OpenSlots(connection).stale(athena.account_id)
    assert known(athena) == {"1"}
    assert sweep(athena, ehr) == {"slots_read": 1}


def test_the_practice_says_how_old_slots_may_be(athena: AthenaPractice) -> None:
    with athena.begin() as connection:
        connection.execute(sa.update(t.practice_settings).values(settings={"slots_minutes": 2}))
    ehr = ScriptedEhr()
    sweep(athena, ehr)
    athena.clock.advance(minutes=2)
    assert sweep(athena, ehr) == {"slots_read": 1}


def test_an_account_that_cannot_be_opened_does_not_stop_the_sweep(
    athena: AthenaPractice, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: UUID) -> Ehr:
        raise LookupError("Ana Lund")

    assert refresh_due(athena.begin, athena.clock, broken, lambda: 900.0) == {}
    assert "open_slots_failed" in caplog.messages
    assert "Ana Lund" not in caplog.text


def test_intakeq_alone_has_nothing_to_read(practice: AthenaPractice) -> None:
    assert sweep(practice, None) == {}


def test_the_night_reads_the_slots_with_the_adapter_and_counts_the_requests(
    start_athena_night: StartAthenaNight,
) -> None:
    night = start_athena_night(make_athena_account(slots=[make_slot(1), make_slot(2, "10:00"), make_slot(3, "11:00")]))
    night.server.staff("freeze", appointmentid="3")
    night.server.staff("book", appointmentid="2", patientid=PATIENT, reasonid=REASON)
    summary = night.run()
    assert known(night.practice) == {"1"}
    found = night.practice.rows("select lower(span) as start, reason_ids from ehr_open_slots")
    assert [(row["start"], row["reason_ids"]) for row in found] == [(NINE, [REASON])]
    calls = [request for request in night.server.requests() if "token" not in request["path"]]
    assert summary["requestsUsed"] == len(calls)
    assert night.run()["requestsUsed"] == 2  # What changed, and what is open.


def test_a_night_goes_on_without_the_slots(athena: AthenaPractice) -> None:
    def failing() -> Sequence[OpenSlot]:
        raise EhrUnavailable("answered 503")

    athena.patient(PATIENT)
    ehr = cast("Ehr", ScriptedEhr([make_ehr_visit("1")], failing))
    nightly = athena.nightly(ehr, Meter(OpenBudget()))
    run_id = nightly.start("automated_daily")
    athena.apply_all()
    assert nightly.summary(run_id)["counts"]["new"] == 1
