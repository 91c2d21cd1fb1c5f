"""A sync that needs more requests than there are, and an EHR that has had enough: bookings go on, nothing is hammered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from moonlit.booking.saga import Saga
from moonlit.booking.sweep import Sweeper
from moonlit.ehr.budget import DatabaseBudget
from moonlit.ehr.intakeq import open_account
from moonlit.sync.nightly import Nightly
from moonlit.sync.pull import Meter
from moonlit.sync.resume import SyncQueues, resume_stuck
from tests.fixtures_booking import INES, SERVICE_ID, TEN, Office, somebody, wanted
from tests.fixtures_intakeq import DENVER, NOON, make_account, make_client, make_visit
from tests.fixtures_sync import MemoryQueue, Practice

PER_MINUTE, PER_DAY = 10, 20
NIGHTLY_PER_MINUTE, NIGHTLY_PER_DAY = 5, 15
PAGES = 17
CLIENT_IDS = range(1, 21)
MIDNIGHT = NOON.replace(hour=0) + timedelta(days=1)  # UTC, when a new day's budget begins.


def long_account(rows: int, **limits: Any) -> dict[str, Any]:
    """Return an account whose window has so many visits, and the vendor's own limits."""
    visits = [
        make_visit(
            number,
            NOON + timedelta(days=10 + number % 60, minutes=15 * (number % 32)),
            ClientId=CLIENT_IDS[number % len(CLIENT_IDS)],
            ClientEmail=f"client{CLIENT_IDS[number % len(CLIENT_IDS)]}@example.org",
        )
        for number in range(1, rows + 1)
    ]
    clients = [
        make_client(each, FirstName=f"C{each}", Email=f"client{each}@example.org", Phone=None) for each in CLIENT_IDS
    ]
    return make_account(
        appointments=visits, clients=clients, limits={"per_minute": PER_MINUTE, "per_day": PER_DAY} | limits
    )


@dataclass
class Town:
    """The office and the sync of its EHR account, which share one budget; `live` lets the clock run."""

    office: Office
    practice: Practice
    nightly: Nightly
    budget: DatabaseBudget
    saga: Saga
    sweeper: Sweeper
    under_way: list[tuple[datetime, UUID]] = field(default_factory=list)

    def live(self, until: datetime, step: timedelta) -> None:
        """Do every `step` what the queues and the sweeper do; nothing waits for anything else."""
        clock = self.office.clock
        while clock.now() < until:
            self._deliver()
            queues = SyncQueues(self.practice.pull_queue, self.practice.sync_queue, MemoryQueue())
            resume_stuck(self.office.begin, clock, queues)
            self.sweeper.sweep()
            self._deliver()
            self.practice.apply_all()
            clock.instant += step

    def _deliver(self) -> None:
        now = self.office.clock.now()
        for message, delay in self.practice.pull_queue.waiting:
            self.under_way.append((now + timedelta(seconds=delay), UUID(message["runId"])))
        self.practice.pull_queue.waiting.clear()
        due = [each for each in self.under_way if each[0] <= now]
        self.under_way = [each for each in self.under_way if each[0] > now]
        for _, run_id in due:
            self.nightly.go_on(run_id)

    def book(self, number: int) -> UUID:
        appointment_id = self.office.accept(wanted(TEN + timedelta(hours=2 * number), patient=somebody(number)))
        self.saga.write(appointment_id)
        return appointment_id

    def status(self, appointment_id: UUID) -> str:
        return str(self.office.visit(appointment_id)["status"])


@pytest.fixture
def town(office: Office) -> Iterator[Town]:
    practice = Practice(office.begin, office.clock, office.account_id, INES, SERVICE_ID)
    office.execute(f"update ehr_accounts set per_minute = {PER_MINUTE}, per_day = {PER_DAY}, window_first = null")
    for client_id in CLIENT_IDS:
        practice.patient(str(client_id))
    budget = DatabaseBudget(office.begin, office.account_id, office.clock)
    meter = Meter(budget)
    server = office.intakeq
    with closing(open_account(server.base_url, server.key, zone=DENVER, budget=meter)) as ehr:
        saga = Saga(office.begin, office.clock, lambda _: ehr, lambda _: False)
        yield Town(office, practice, practice.nightly(ehr, meter), budget, saga, Sweeper(saga, DENVER, lambda: 60.0))


@pytest.mark.parametrize("account", [long_account(100 * PAGES - 1)], ids=["long"])
def test_a_pull_longer_than_the_day_s_budget_is_whole_after_midnight_and_bookings_pass_meanwhile(town: Town) -> None:
    office = town.office
    run_id = town.nightly.start("automated_daily")
    office.clock.advance(minutes=1)
    town.live(NOON + timedelta(hours=1), timedelta(minutes=2))
    assert town.budget.usage().day_used == NIGHTLY_PER_DAY
    assert town.nightly.summary(run_id)["state"] == "pulling"

    booked = town.book(1)  # The reserve of bookings is untouched.
    assert town.status(booked) == "confirmed"
    office.intakeq.forget()
    town.live(MIDNIGHT - timedelta(minutes=1), timedelta(minutes=10))
    assert town.nightly.summary(run_id)["state"] == "pulling"
    assert [row["path"] for row in office.intakeq.requests()] == []  # It is taken up, and asks nobody.

    town.live(MIDNIGHT + timedelta(minutes=40), timedelta(minutes=5))
    summary = town.nightly.summary(run_id)
    assert (summary["state"], summary["error"]) == ("completed", None)
    standing = {row["Id"]: row["StartDate"] for row in office.in_ehr()}
    ours = office.rows("select x.external_id, extract(epoch from a.start)::bigint * 1000 as start from appointments a "
                       "join appointment_external_ids x on x.appointment_id = a.id")  # fmt: skip
    assert {row["external_id"]: row["start"] for row in ours} == standing
    assert len(standing) == 100 * PAGES
    assert {row["status"] for row in office.intakeq.requests()} == {200}


@pytest.mark.parametrize("account", [long_account(100 * PAGES - 1)], ids=["long"])
def test_no_lane_takes_more_than_its_share_on_the_way(town: Town) -> None:
    office = town.office
    town.nightly.start("automated_daily")
    town.live(NOON + timedelta(minutes=20), timedelta(seconds=30))
    asked = [datetime.fromisoformat(row["at"]) for row in office.intakeq.requests()]
    assert len(asked) == NIGHTLY_PER_DAY
    by_minute = [sum(start <= each < start + timedelta(minutes=1) for each in asked) for start in asked]
    assert max(by_minute) <= NIGHTLY_PER_MINUTE
    assert {row["status"] for row in office.intakeq.requests()} == {200}


@pytest.mark.parametrize("account", [long_account(150, per_minute=1000, per_day=None)], ids=["short"])
def test_an_ehr_that_turns_everything_away_is_left_alone_and_gets_everything_later(town: Town) -> None:
    office = town.office
    office.execute("update ehr_accounts set per_minute = 1000, per_day = null")
    office.intakeq.fail({"kind": "429", "times": None})
    run_id = town.nightly.start("automated_daily")
    booked = [town.book(1), town.book(2)]
    assert [town.status(each) for each in booked] == ["pending", "pending"]
    town.live(NOON + timedelta(minutes=30), timedelta(seconds=30))
    turned_away = office.intakeq.requests()
    assert Counter(row["status"] for row in turned_away).keys() == {429}
    assert len(turned_away) <= 31  # One a minute for everybody together.
    assert town.nightly.summary(run_id)["state"] == "pulling"
    assert [town.status(each) for each in booked] == ["pending", "pending"]

    office.intakeq.fail()
    town.live(NOON + timedelta(minutes=45), timedelta(seconds=30))
    assert town.nightly.summary(run_id)["state"] == "completed"
    assert [town.status(each) for each in booked] == ["confirmed", "confirmed"]
    assert len(office.in_ehr()) == len(office.rows("select * from appointment_external_ids")) == 152
