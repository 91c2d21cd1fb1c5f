"""Two at the same people at once: who comes second sees what the first one did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.audit.store import Actor
from moonlit.booking.claims import lock
from moonlit.db import tables as t
from moonlit.db.engine import Begin, beginner, connect
from moonlit.people.hours import Change, HoursWanted, ProviderHours
from moonlit.people.partner_users import PartnerUsers, PartnerUserWanted
from moonlit.people.provider_answers import ProviderWanted
from moonlit.people.provider_store import ProviderStore
from moonlit.people.providers import Change as ProviderChange
from moonlit.people.providers import Providers
from moonlit.people.resync import Resync
from moonlit.people.time_off import Change as TimeOffChange
from moonlit.people.time_off import ProviderTimeOff, TimeOffWanted
from moonlit.sync.practitioners import Practitioners
from moonlit.web.etags import StaleEtag, etag
from tests.fixtures_booking import INES, TEN, load_practice, make_clinic
from tests.fixtures_intakeq import DENVER, MovableClock
from tests.fixtures_people import PROVIDER, add_visit
from tests.fixtures_sync import MemoryQueue

ACTOR = Actor("staff", UUID(int=0x99))
HOUSES = UUID(int=0x51), UUID(int=0x52)


@pytest.fixture
def opened(begin: Begin, database_url: str) -> Iterator[Callable[[], Begin]]:
    """Return what opens further connections to the practice's database."""
    load_practice(begin, make_clinic())
    with ExitStack() as engines:

        def another() -> Begin:
            engine = connect(database_url)
            engines.callback(engine.dispose)
            return beginner(engine)

        yield another


def wait_for_one_in_line(begin: Begin) -> None:
    """Wait until somebody waits for a lock of another."""
    deadline = time.monotonic() + 10
    with begin() as connection:
        while not connection.execute(sa.text("select 1 from pg_locks where not granted")).first():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def answer_while_booked(opened: Callable[[], Begin], work: Callable[[Begin], Any]) -> tuple[UUID, Any]:
    """Do `work` while somebody books Ines at TEN who was there before, and return the visit and what it answered."""
    first, second = opened(), opened()
    patient_id = uuid4()
    with first() as connection:
        row = {"id": patient_id, "first_name": "Ana", "last_name": "Lund"}
        connection.execute(sa.insert(t.patients).values(row))
    with ThreadPoolExecutor(1) as pool:
        with first() as connection:
            lock(connection, [INES])
            answered: Future[Any] = pool.submit(work, second)
            wait_for_one_in_line(opened())
            visit_id = add_visit(lambda: _Open(connection), patient_id, TEN, 60)
        return visit_id, answered.result(timeout=10)


class _Open:
    """A transaction that goes on."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sa.Connection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        return None


def test_hours_that_end_while_somebody_books_tell_that_visit_too(opened: Callable[[], Begin]) -> None:
    def end_all(begin: Begin) -> Any:
        change = Change(INES, HoursWanted(items=[]), None, dry_run=False)
        return ProviderHours(begin, MovableClock()).replace(change, ACTOR)[0].stranded

    visit_id, stranded = answer_while_booked(opened, end_all)
    assert [item.appointment_id for item in stranded.items] == [visit_id]


def test_time_off_that_is_given_while_somebody_books_tells_that_visit_too(opened: Callable[[], Begin]) -> None:
    def add(begin: Begin) -> Any:
        end = TEN + timedelta(hours=1)
        wanted = TimeOffWanted.model_validate({"start": TEN.isoformat(), "end": end.isoformat()})
        return ProviderTimeOff(begin, MovableClock(), DENVER).change(TimeOffChange(INES, wanted), ACTOR).stranded

    visit_id, stranded = answer_while_booked(opened, add)
    assert [item.appointment_id for item in stranded.items] == [visit_id]


def test_of_two_who_change_what_they_read_the_second_is_told(opened: Callable[[], Begin]) -> None:
    first, second = opened(), opened()
    with first() as connection:
        tag = etag(ProviderStore(connection).get(INES))

    def change(cap: int) -> Any:
        wanted = ProviderWanted.model_validate({**PROVIDER, "maxDailyAppointments": cap})
        return Providers(second, MovableClock()).change(ProviderChange(INES, wanted, tag, dry_run=False), ACTOR)

    with ThreadPoolExecutor(1) as pool:
        with first() as connection:
            ProviderStore(connection).locked(INES)
            late = pool.submit(change, 5)
            wait_for_one_in_line(opened())
            connection.execute(sa.update(t.providers).where(t.providers.c.id == INES).values(max_daily_appointments=4))
        with pytest.raises(StaleEtag):
            late.result(timeout=10)
    with first() as connection:
        assert ProviderStore(connection).get(INES).max_daily_appointments == 4


def test_who_is_moved_to_another_house_meanwhile_is_still_found(opened: Callable[[], Begin]) -> None:
    first, second = opened(), opened()
    wanted = PartnerUserWanted(organization_id=HOUSES[0], email="leo@example.org", name="Leo", role="case_manager")
    with first() as connection:
        connection.execute(sa.insert(t.organizations), [{"id": house, "name": "House"} for house in HOUSES])
    clock = MovableClock()
    read = PartnerUsers(first, clock).add(wanted, ACTOR)
    again = wanted.model_copy(update={"name": "Leo Marsh"})
    with ThreadPoolExecutor(1) as pool:
        with first() as connection:
            moved = sa.update(t.partner_users).where(t.partner_users.c.id == read.id)
            connection.execute(moved.values(organization_id=HOUSES[1]))
            waiting = pool.submit(PartnerUsers(second, clock).change, read.id, again, etag(read), ACTOR)
            wait_for_one_in_line(opened())
        with pytest.raises(StaleEtag):
            waiting.result(timeout=10)


def test_of_two_who_resync_at_once_one_opens_the_run(opened: Callable[[], Begin]) -> None:
    queue = MemoryQueue()

    def start(begin: Begin) -> Any:
        clock = MovableClock()
        return Resync(begin, clock, Practitioners(begin, clock, lambda: 60.0), lambda: queue).start(INES, ACTOR).runs

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(start, [opened() for _ in range(4)]))
    assert len({run.run_id for runs in answers for run in runs}) == 1
    assert len(queue.take()) == 1
