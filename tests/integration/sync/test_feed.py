"""The feed of changes, which forgets what it has shown: nothing of it may be lost here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from moonlit.ehr.athena_feed import changed_row
from moonlit.ehr.athena_rows import Practice as Departments
from moonlit.ehr.athena_rows import department_of
from moonlit.ehr.port import Changes, Ehr, Lane
from moonlit.queues import MessageNotSent
from moonlit.sync.applying import Applier
from moonlit.sync.feed import LEASE, REFUSED_PAUSE, SECONDS_KEPT, FeedReader, Feeds
from moonlit.sync.resume import SyncQueues, resume_stuck
from tests.fixtures_athena import PATIENT, REASON, make_athena_account, make_slot
from tests.fixtures_athena_sync import AthenaNight, AthenaPractice, OpenAthena, StartAthenaNight
from tests.fixtures_sync import MemoryQueue, Practice, nobody_asks

FEED, SUBSCRIPTION = "/appointments/changed", "/appointments/changed/subscription"


@dataclass
class Minute:
    """What the sweeper does each minute about the feed, and the workers after it."""

    night: AthenaNight
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    time_left: Callable[[], float] = lambda: 50.0
    ehr: Any = None

    @property
    def practice(self) -> AthenaPractice:
        return self.night.practice

    def reader(self, queue: Any = None) -> FeedReader:
        practice = self.practice
        ehr: Ehr = self.ehr or self.night.ehr
        return FeedReader(practice.begin, practice.clock, lambda _: ehr, queue or self.queue, self.time_left)

    def read(self) -> int:
        """Read as the next sweep does, and return how many rows came."""
        self.practice.clock.advance(minutes=1)
        self.night.server.forget()
        return self.reader().read_all().get("feed_rows", 0)

    def apply(self) -> None:
        practice = self.practice
        for message in self.queue.take():
            Applier(practice.begin, practice.clock, lambda _: (self.night.ehr, self.night.meter), nobody_asks).apply(
                UUID(message["eventId"])
            )

    def asked(self) -> list[str]:
        paths = [request["path"] for request in self.night.server.requests()]
        return [path for path in paths if "changed" in path]

    def events(self) -> list[tuple[str | None, str, str | None]]:
        """Return appointment, state and error of each event."""
        found = self.practice.rows(
            "select external_id, state, error from webhook_events where source = 'athena_feed'"
            " order by received_at, external_id, state"
        )
        return [(row["external_id"], row["state"], row["error"]) for row in found]

    def statuses(self) -> dict[str, str]:
        return {external_id: visit["status"] for external_id, visit in self.practice.visits().items()}

    def account(self) -> Any:
        (row,) = self.practice.rows("select * from ehr_accounts where system = 'athena'")
        return row


@pytest.fixture
def minute(start_athena_night: StartAthenaNight) -> Minute:
    """Serve three open slots; nothing has happened yet."""
    slots = [make_slot(number, f"{8 + number:02}:00") for number in (1, 2, 3)]
    night = start_athena_night(make_athena_account(slots=slots))
    night.practice.patient(PATIENT)
    return Minute(night)


def book(minute: Minute, number: int) -> None:
    minute.night.server.staff("book", appointmentid=str(number), patientid=PATIENT, reasonid=REASON)


def test_what_happened_is_stored_mirrored_and_applied_without_asking_again(minute: Minute) -> None:
    book(minute, 1)
    book(minute, 2)
    minute.night.server.staff("cancel", appointmentid="2")
    assert minute.read() == 3
    assert minute.practice.rows("select external_id from ehr_appointments order by 1") == [
        {"external_id": "1"}, {"external_id": "2"},
    ]  # fmt: skip
    minute.night.server.forget()
    minute.apply()
    assert minute.night.server.requests() == []
    assert minute.statuses() == {"1": "confirmed", "2": "cancelled"}
    assert minute.events() == [("1", "applied", None), ("2", "applied", None), ("2", "applied", None)]
    (row,) = minute.practice.rows("select body from webhook_events where external_id = '1'")
    assert row["body"].startswith(b'{"appointmentid":')


def test_a_quiet_minute_costs_one_request(minute: Minute) -> None:
    minute.read()
    assert minute.read() == 0
    assert minute.asked() == [FEED]
    assert minute.account()["feed_read_at"] == minute.practice.clock.now()


def test_the_subscription_is_asked_for_once(minute: Minute) -> None:
    minute.read()
    assert minute.asked() == [SUBSCRIPTION, FEED]
    minute.read()
    assert minute.asked() == [FEED]


def test_an_account_that_may_not_read_the_feed_is_left_alone_for_an_hour(minute: Minute) -> None:
    minute.read()
    minute.night.server.settings(changed=False)
    minute.read()
    minute.read()
    assert minute.asked() == []
    minute.night.server.settings(changed=True)
    minute.practice.clock.advance(hours=1)
    book(minute, 1)
    assert minute.read() == 1
    assert minute.asked() == [SUBSCRIPTION, FEED, FEED]
    assert timedelta(hours=1) == REFUSED_PAUSE


def test_one_reader_at_a_time_and_a_dead_one_is_replaced(minute: Minute) -> None:
    practice = minute.practice
    book(minute, 1)
    with practice.begin() as connection:
        now = practice.clock.now()
        assert Feeds(connection).lease(practice.account_id, now, now + LEASE)
        assert Feeds(connection).lease(practice.account_id, now, now + LEASE) is None
    assert minute.read() == 0
    assert minute.asked() == []
    practice.clock.advance(minutes=1)
    assert minute.read() == 1
    assert minute.account()["feed_lease_until"] is None


def test_a_reader_that_was_overtaken_does_not_give_back_what_another_holds(minute: Minute) -> None:
    practice, now = minute.practice, minute.practice.clock.now()
    with practice.begin() as connection:
        feeds = Feeds(connection)
        mine = feeds.lease(practice.account_id, now, now + LEASE)
        theirs = feeds.lease(practice.account_id, now + LEASE, now + 2 * LEASE)
        assert mine
        assert theirs
        feeds.release(practice.account_id, mine.until, None)
    assert minute.account()["feed_lease_until"] == theirs.until


def test_a_crash_between_commit_and_queue_loses_nothing(minute: Minute) -> None:
    class Dead:
        def send(self, *_: object) -> None:
            raise MessageNotSent

    book(minute, 1)
    minute.practice.clock.advance(minutes=1)
    assert minute.reader(Dead()).read_all() == {}
    assert minute.events() == [("1", "received", None)]
    assert minute.read() == 0
    minute.practice.clock.advance(minutes=6)
    queues = SyncQueues(minute.practice.pull_queue, minute.practice.sync_queue, minute.queue)
    assert resume_stuck(minute.practice.begin, minute.practice.clock, queues)["events"] == 1
    minute.apply()
    assert minute.statuses() == {"1": "confirmed"}


def test_a_page_that_got_lost_is_made_up_for_by_the_night(minute: Minute, caplog: pytest.LogCaptureFixture) -> None:
    minute.read()
    book(minute, 1)
    minute.night.server.fail({"path": FEED, "kind": "drop_after"})
    assert minute.read() == 0
    assert "feed_page_lost" in caplog.text
    assert minute.account()["feed_lease_until"] is None
    assert minute.read() == 0
    minute.night.run()
    assert minute.statuses() == {"1": "confirmed"}


def test_rows_that_cannot_be_read_now_are_kept_and_read_by_their_id_later(
    minute: Minute, open_athena: OpenAthena
) -> None:
    book(minute, 1)
    minute.ehr = open_athena(minute.night.server, minute.practice)  # Its process knows no department yet.
    minute.night.server.fail({"path": "/departments", "kind": "error_before", "times": None})
    assert minute.read() == 1
    assert minute.practice.rows("select external_id from ehr_appointments") == []
    minute.night.server.fail()
    minute.apply()
    assert minute.events() == [("1", "applied", None)]
    assert minute.statuses() == {"1": "confirmed"}


def test_rows_that_the_mirror_cannot_take_are_kept_and_read_by_their_id_later(minute: Minute) -> None:
    book(minute, 1)
    with minute.practice.begin() as connection:
        connection.exec_driver_sql("alter table ehr_appointments add constraint refuse check (false)")
    assert minute.read() == 1
    assert minute.events() == [("1", "received", None)]
    with minute.practice.begin() as connection:
        connection.exec_driver_sql("alter table ehr_appointments drop constraint refuse")
    minute.apply()
    assert minute.statuses() == {"1": "confirmed"}


def test_a_row_that_makes_no_sense_is_kept_and_does_not_stop_the_others(
    minute: Minute, caplog: pytest.LogCaptureFixture
) -> None:
    book(minute, 1)
    book(minute, 2)
    minute.night.server.staff("update", appointmentid="2", departmentid="99")
    assert minute.read() == 3
    minute.apply()
    assert minute.events() == [("1", "applied", None), ("2", "applied", None), ("2", "malformed", "unreadable")]
    assert "feed_row_unreadable" in caplog.text


def test_open_slots_are_kept_and_concern_nobody(minute: Minute) -> None:
    minute.night.server.staff("freeze", appointmentid="1")
    assert minute.read() == 1
    assert minute.events() == [("1", "ignored", "slot")]
    assert minute.queue.waiting == []


def test_a_slot_in_the_place_of_a_visit_that_we_know_is_looked_up_and_changes_nothing(
    minute: Minute, caplog: pytest.LogCaptureFixture
) -> None:
    book(minute, 1)
    minute.read()
    minute.apply()
    [gone] = [row for row in minute.night.server.state()["appointments"] if row["appointmentid"] == "1"]
    slot = {**gone, "appointmentstatus": "o"}
    minute.ehr = Scripted([[slot], []])
    assert minute.read() == 1
    minute.night.server.fail({"path": "/appointments/1", "kind": "error_before", "status": 404, "times": None})
    minute.apply()
    assert ("1", "ignored", "visit_not_found") in minute.events()
    assert minute.statuses() == {"1": "confirmed"}
    assert "webhook_visit_not_found" in caplog.text


def test_a_row_that_comes_again_is_applied_again(minute: Minute) -> None:
    book(minute, 1)
    minute.read()
    minute.apply()
    (stored,) = minute.practice.rows("select body from webhook_events")
    minute.ehr = Scripted([[json.loads(stored["body"])], []])
    assert minute.read() == 1
    assert len(minute.queue.waiting) == 1
    minute.apply()
    assert minute.events() == [("1", "applied", None)]


def test_pages_are_read_until_there_is_nothing_left(minute: Minute) -> None:
    minute.night.server.settings(page_limit=1)
    for number in (1, 2, 3):
        book(minute, number)
    assert minute.read() == 3
    assert minute.asked() == [SUBSCRIPTION, *[FEED] * 4]


def test_a_page_is_stored_in_as_many_statements_however_many_rows_it_has(minute: Minute) -> None:
    book(minute, 1)
    minute.read()
    [row] = [row for row in minute.night.server.state()["appointments"] if row["appointmentid"] == "1"]
    counted = []
    for first, rows in ((100, 2), (200, 60)):
        page = [{**row, "appointmentid": str(number)} for number in range(first, first + rows)]
        minute.ehr = Scripted([[*page, page[0]], []])
        with statements(minute) as sent:
            assert minute.read() == rows + 1
        counted.append(len(sent))
        stored = minute.practice.rows(
            "select id from webhook_events where received_at = :now", now=minute.practice.clock.now()
        )
        assert len(stored) == rows
    assert counted[0] == counted[1]
    queued = [message["eventId"] for message in minute.queue.take()]
    assert len(queued) == len(set(queued)) == 1 + 2 + 60


@contextmanager
def statements(minute: Minute) -> Iterator[list[str]]:
    """Collect what is sent to the database meanwhile."""
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    with minute.practice.begin() as connection:
        engine = connection.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_without_time_nothing_is_taken(minute: Minute) -> None:
    book(minute, 1)
    minute.time_left = lambda: SECONDS_KEPT - 1
    assert minute.read() == 0
    assert minute.asked() == []
    left = iter([50.0, 50.0, SECONDS_KEPT - 1])
    minute.time_left = lambda: next(left)
    assert minute.read() == 1
    assert minute.account()["feed_lease_until"] is None


def test_the_feed_and_the_night_agree(minute: Minute) -> None:
    book(minute, 1)
    minute.read()
    minute.apply()
    counts = minute.night.run()["counts"]
    assert (counts["new"], counts["updated"], counts["unchanged"]) == (0, 0, 1)


@pytest.mark.parametrize("reverse", [False, True], ids=["in_order", "reversed"])
def test_a_visit_that_staff_move_stays_one_visit(minute: Minute, *, reverse: bool) -> None:
    held = hold(minute)
    minute.night.server.staff("move", appointmentid="1", newappointmentid="3")
    assert minute.read() == 2
    if reverse:
        minute.queue.waiting.reverse()
    minute.apply()
    assert standing(minute) == {("1", held, "confirmed", False), ("3", held, "confirmed", True)}


@pytest.mark.parametrize("first", ["1", "3"], ids=["old_row_first", "new_row_first"])
def test_a_move_whose_rows_come_apart_is_one_visit_when_both_are_there(minute: Minute, first: str) -> None:
    held = hold(minute)
    minute.night.server.staff("move", appointmentid="1", newappointmentid="3")
    rows = [row for row in minute.night.server.state()["appointments"] if row["appointmentid"] in ("1", "3")]
    rows.sort(key=lambda row: row["appointmentid"] != first)
    for row in rows:
        # Until the other half is known, nobody is told of a cancellation that is none.
        assert {
            (status, is_current) for external_id, _, status, is_current in standing(minute) if external_id == "1"
        } == {("confirmed", True)}
        minute.ehr = Scripted([[row], []])
        assert minute.read() == 1
        minute.apply()
    assert standing(minute) == {("1", held, "confirmed", False), ("3", held, "confirmed", True)}
    assert len(minute.practice.rows("select id from appointments")) == 1


def hold(minute: Minute) -> UUID:
    """Bring the first visit here, and return its id; a minute later something else may happen to it."""
    book(minute, 1)
    minute.read()
    minute.apply()
    minute.practice.clock.advance(minutes=1)
    return UUID(str(minute.practice.visits()["1"]["id"]))


def standing(minute: Minute) -> set[tuple[str, UUID, str, bool]]:
    """Return each id in the EHR with its visit, that one's status, and whether the id is the visit's present one."""
    found = minute.practice.rows(
        "select x.external_id, a.id, a.status, x.is_current from appointments a"
        " join appointment_external_ids x on x.appointment_id = a.id"
    )
    return {(row["external_id"], row["id"], row["status"], row["is_current"]) for row in found}


def test_an_ehr_without_a_feed_is_not_asked(practice: Practice) -> None:
    queue = MemoryQueue()
    assert FeedReader(practice.begin, practice.clock, nobody_asks, queue, lambda: 50.0).read_all() == {}


def test_one_account_s_bug_does_not_stop_the_sweep(minute: Minute, caplog: pytest.LogCaptureFixture) -> None:
    minute.ehr = object()
    assert minute.read() == 0
    assert "feed_failed" in caplog.text
    assert minute.account()["feed_lease_until"] is None


@dataclass
class Scripted:
    """A feed that shows pages of raw rows, one after the other."""

    pages: list[list[dict[str, Any]]]

    ensure_subscribed = staticmethod(nobody_asks)

    def take_changes(self, lane: Lane) -> Changes:
        assert lane is Lane.WEBHOOK
        here = dict(
            [department_of({"departmentid": "1", "name": "Harbor Street Clinic", "timezonename": "US/Mountain"})]
        )
        rows = self.pages.pop(0)
        return Changes([changed_row(row, Departments(here)) for row in rows], not rows)
