"""Work that nobody does any more: workers die after each step and every message is lost, and yet the night ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from moonlit.sync.nightly import Nightly
from moonlit.sync.organizations import Organizations
from moonlit.sync.resume import STANDING_AFTER, UNSENT_AFTER, SyncQueues, resume_stuck
from tests.fixtures_intakeq import NOON, make_account, make_visit
from tests.fixtures_sync import MemoryQueue, Night, Practice, StartNight

PATIENTS, VISITS = 6, 250
NOTHING = {"pulls": 0, "parts": 0, "events": 0}
STEPS = 4 + 6  # Three pages and that of the deletions; batches of two for six patients, and a look at nobody else's.


@pytest.fixture
def night(practice: Practice, start_night: StartNight) -> Night:
    """Serve three pages of visits of six patients of one organization."""
    harbor = practice.organization()
    for number in range(1, PATIENTS + 1):
        practice.patient(str(number), harbor)
    visits = [
        make_visit(number, NOON + timedelta(days=number % 80 + 1), ClientId=number % PATIENTS + 1)
        for number in range(1, VISITS + 1)
    ]
    return start_night(make_account(appointments=visits))


def step(night: Night) -> Nightly:
    """Return a nightly sync whose worker reads one page and is gone."""
    nightly = night.practice.nightly(night.ehr, night.meter)
    seconds = iter([900.0])
    return replace(nightly, puller=replace(nightly.puller, time_left=lambda: next(seconds, 0.0)))


def resumed(practice: Practice) -> dict[str, int]:
    return resume_stuck(
        practice.begin, practice.clock, SyncQueues(practice.pull_queue, practice.sync_queue, MemoryQueue())
    )


def lose_everything(practice: Practice) -> None:
    practice.pull_queue.take()
    practice.sync_queue.take()


def assert_whole(practice: Practice, run_id: UUID) -> None:
    logs = practice.rows("select status, new, patients_total, patients_processed from sync_logs where run_id = :id "
                         "order by patients_total", id=run_id)  # fmt: skip
    whole = {"status": "completed"}
    assert [dict(log) for log in logs] == [
        whole | {"new": 0, "patients_total": 0, "patients_processed": 0},
        whole | {"new": VISITS, "patients_total": PATIENTS, "patients_processed": PATIENTS},
    ]
    assert len(practice.visits()) == VISITS
    assert len(practice.rows("select id from time_claims")) == 2 * VISITS


def test_a_night_ends_although_every_worker_dies_after_one_step_and_every_message_is_lost(night: Night) -> None:
    practice = night.practice
    run_id = step(night).start("automated_daily")
    steps = 1
    while practice.rows("select state from sync_runs")[0]["state"] in ("pulling", "applying"):
        lose_everything(practice)
        assert resumed(practice) == NOTHING  # It may still be under way.
        practice.clock.instant += STANDING_AFTER + timedelta(seconds=1)
        found = resumed(practice)
        assert found["pulls"] + found["parts"] > 0
        assert resumed(practice) == NOTHING  # It is under way now.
        for message in practice.pull_queue.take():
            step(night).go_on(UUID(message["runId"]))
        for message in practice.sync_queue.take():
            seconds = iter([900.0])
            worker = Organizations(practice.begin, practice.clock, lambda: next(seconds, 0.0), batch_patients=2)  # noqa: B023
            worker.bring_up_to_date(UUID(message["syncLogId"]))
        steps += 1
        assert steps <= STEPS
    assert_whole(practice, run_id)
    assert night.practice.rows("select requests_used from sync_runs") == [{"requests_used": 4}]  # No page twice.
    practice.clock.instant += STANDING_AFTER + timedelta(seconds=1)
    assert resumed(practice) == NOTHING


@dataclass
class Broken(MemoryQueue):
    """A queue that cannot be reached."""

    def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:  # noqa: ARG002
        raise ConnectionError


def test_parts_whose_messages_could_not_be_sent_are_sent_two_minutes_later(night: Night) -> None:
    practice = night.practice
    working, practice.sync_queue = practice.sync_queue, Broken()
    nightly = practice.nightly(night.ehr, night.meter)
    with pytest.raises(ConnectionError):
        nightly.start("automated_daily")
    (run,) = practice.rows("select id, state from sync_runs")
    assert run["state"] == "applying"
    practice.sync_queue = working
    practice.clock.instant += UNSENT_AFTER - timedelta(seconds=1)
    assert resumed(practice) == NOTHING
    practice.clock.advance(seconds=2)
    assert resumed(practice) == NOTHING | {"parts": 2}
    practice.apply_all()
    assert_whole(practice, run["id"])


def test_a_pull_whose_message_could_not_be_sent_is_taken_up(night: Night) -> None:
    practice = night.practice
    working, practice.pull_queue = practice.pull_queue, Broken()
    with pytest.raises(ConnectionError):
        step(night).start("automated_daily")
    practice.pull_queue = working
    practice.clock.instant += STANDING_AFTER + timedelta(seconds=1)
    assert resumed(practice) == NOTHING | {"pulls": 1}
    (message,) = practice.pull_queue.take()
    practice.nightly(night.ehr, night.meter).go_on(UUID(message["runId"]))
    practice.apply_all()
    assert_whole(practice, UUID(message["runId"]))


def test_a_message_that_arrives_late_finds_nothing_to_do(night: Night) -> None:
    practice = night.practice
    run_id = practice.nightly(night.ehr, night.meter).start("automated_daily")
    late = practice.sync_queue.take()
    practice.clock.instant += STANDING_AFTER + timedelta(seconds=1)
    assert resumed(practice)["parts"] == 2
    practice.apply_all()
    assert_whole(practice, run_id)
    before = practice.rows("select * from sync_logs order by id")
    practice.clock.advance(minutes=5)
    practice.sync_queue.send(late)
    practice.apply_all()
    practice.nightly(night.ehr, night.meter).go_on(run_id)
    assert practice.rows("select * from sync_logs order by id") == before
    assert_whole(practice, run_id)
