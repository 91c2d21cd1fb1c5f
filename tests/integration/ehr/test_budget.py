"""The limiter on a real database, with several callers, and under the simulator's own limits."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db.engine import Begin
from moonlit.db.tables import ehr_accounts, ehr_budget
from moonlit.ehr.budget import DatabaseBudget
from moonlit.ehr.port import BudgetExhausted, Lane
from tests.fixtures_intakeq import NOON, MovableClock, OpenIntakeq, StartIntakeq, make_account
from tests.integration.ehr.takers import taken, taken_elsewhere


def add_account(begin: Begin, per_minute: int = 10, per_day: int | None = 500) -> UUID:
    account_id = uuid4()
    with begin() as connection:
        connection.execute(
            sa.insert(ehr_accounts).values(id=account_id, system="intakeq", per_minute=per_minute, per_day=per_day)
        )
    return account_id


def until_somebody_waits(connection: sa.Connection) -> None:
    """Return once another session of this database waits for a lock."""
    waiting = sa.text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    deadline = time.monotonic() + 10
    while not connection.execute(waiting).scalar_one():
        assert time.monotonic() < deadline
        connection.execute(sa.text("select pg_stat_clear_snapshot()"))


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


def test_lower_lanes_stop_first_and_bookings_have_their_reserve(begin: Begin, clock: MovableClock) -> None:
    budget = DatabaseBudget(begin, add_account(begin), clock)
    lanes = (Lane.NIGHTLY, Lane.ON_DEMAND, Lane.WEBHOOK, Lane.BOOKING)
    assert [taken(budget, lane, 20) for lane in lanes] == [5, 0, 1, 4]


def test_a_refusal_says_when_there_is_room_and_counts_nothing(begin: Begin, clock: MovableClock) -> None:
    budget = DatabaseBudget(begin, add_account(begin, per_minute=2), clock)
    assert taken(budget, Lane.BOOKING, 3) == 2
    with pytest.raises(BudgetExhausted) as exhausted:
        budget.take(Lane.BOOKING)
    assert budget.usage().day_used == 2
    clock.advance(seconds=exhausted.value.retry_after)
    assert taken(budget, Lane.BOOKING, 3) == 2


def test_the_day_ends_at_midnight_utc(begin: Begin) -> None:
    clock = MovableClock(datetime(2027, 3, 10, 23, 0, tzinfo=UTC))
    budget = DatabaseBudget(begin, add_account(begin, per_minute=100, per_day=4), clock)
    assert taken(budget, Lane.BOOKING, 5) == 4
    clock.advance(minutes=59)
    assert taken(budget, Lane.BOOKING, 5) == 0
    clock.advance(minutes=1)
    assert taken(budget, Lane.BOOKING, 5) == 4


def test_a_429_stops_everybody_and_a_shorter_one_does_not_shorten_it(begin: Begin, clock: MovableClock) -> None:
    budget = DatabaseBudget(begin, add_account(begin), clock)
    budget.back_off(60)
    budget.back_off(5)
    clock.advance(seconds=59)
    with pytest.raises(BudgetExhausted) as exhausted:
        budget.take(Lane.BOOKING)
    assert exhausted.value.retry_after == 1
    clock.advance(seconds=1)
    budget.take(Lane.NIGHTLY)


def test_the_stored_hits_stay_few_and_in_order_though_a_clock_runs_behind(begin: Begin, clock: MovableClock) -> None:
    budget = DatabaseBudget(begin, add_account(begin), clock)
    for _ in range(20):
        assert taken(budget, Lane.BOOKING, 1) == 1
        clock.advance(seconds=25)
    clock.advance(seconds=-30)
    assert taken(budget, Lane.BOOKING, 1) == 1
    with begin() as connection:
        hits = connection.execute(sa.select(ehr_budget.c.minute_hits)).scalar_one()
    assert hits == sorted(hits)
    assert len(hits) == 4


def test_processes_together_never_take_more_than_the_limit(begin: Begin, database_url: str) -> None:
    account_id = add_account(begin, per_minute=25)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        passed = list(pool.map(taken_elsewhere, [database_url] * 3, [account_id] * 3, [20] * 3))
    assert sum(passed) == 25


def test_two_callers_that_both_find_no_row_share_one(begin: Begin, engine: sa.Engine, database_url: str) -> None:
    account_id = add_account(begin)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as first:
            first.execute(sa.insert(ehr_budget).values(account_id=account_id))
            second = pool.submit(taken_elsewhere, database_url, account_id, 1)
            until_somebody_waits(first)
        assert second.result(10) == 1


def test_the_vendor_never_has_to_say_429(
    begin: Begin, start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq, clock: MovableClock
) -> None:
    """Spend two days as fast as the limiter lets us, the clock jumping ahead by what it asks for."""
    limits = {"per_minute": 10, "per_day": 60}
    server = start_intakeq(make_account(limits=limits), clock)
    budget = DatabaseBudget(begin, add_account(begin, **limits), clock)
    ehr = open_intakeq(server, budget)
    end = NOON + timedelta(days=2)
    count = 0
    while clock.instant < end:
        count += 1
        try:
            ehr.deleted(1, Lane.BOOKING)
        except BudgetExhausted as exhausted:
            clock.advance(seconds=exhausted.retry_after if count % 3 else exhausted.retry_after / 2)
        clock.advance(milliseconds=count % 7 * 100)
    statuses = [row["status"] for row in server.requests()]
    assert set(statuses) == {200}
    assert len(statuses) == 3 * 60  # The clock touches three days in UTC, and each is spent to the end.
