"""Webhooks of IntakeQ: stored at once, applied later, in any order and number."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from moonlit.sync.applying import Applier
from moonlit.sync.errors import WebhookMalformed, WebhookRefused
from moonlit.sync.events import Events
from moonlit.sync.resume import SyncQueues, resume_stuck
from moonlit.sync.webhook import KEPT_OF_LARGER, LARGEST_BODY, Inbox, Receiver
from tests.fixtures_intakeq import NOON, make_visit
from tests.fixtures_sync import MemoryQueue, Practice, nobody_asks

SECRET = "long-random-path-segment"
PRACTICE = "63f0c0ffee0c0ffee0c0ffee"
TOMORROW = NOON + timedelta(days=1)


def event(event_type: str, version: int, **fields: Any) -> bytes:
    row = make_visit(1, fields.pop("start", TOMORROW), ClientId=1, LastModified=version, **fields)
    return json.dumps({"EventType": event_type, "Appointment": row, "ClientId": 1, "PracticeId": PRACTICE}).encode()


@dataclass
class Webhooks:
    practice: Practice
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    practice_id: str | None = PRACTICE

    def receive(self, body: bytes, secret: str = SECRET) -> None:
        inbox = Inbox(self.practice.begin, self.practice.clock, self.queue)
        Receiver(inbox, ["other-secret", SECRET], self.practice_id).receive(secret, body)

    @property
    def applier(self) -> Applier:
        return Applier(self.practice.begin, self.practice.clock, nobody_asks, nobody_asks)

    def apply(self) -> None:
        for message in self.queue.take():
            self.applier.apply(UUID(message["eventId"]))

    def resumed(self) -> int:
        """Return how many events the sweeper sends again now."""
        queues = SyncQueues(self.practice.pull_queue, self.practice.sync_queue, self.queue)
        return resume_stuck(self.practice.begin, self.practice.clock, queues)["events"]

    def errors(self) -> list[tuple[str, str | None]]:
        found = self.practice.rows("select state, error from webhook_events order by received_at, id")
        return [(row["state"], row["error"]) for row in found]

    def deliver(self, *bodies: bytes) -> None:
        for body in bodies:
            self.receive(body)
            self.apply()

    def states(self) -> list[str]:
        return [row["state"] for row in self.practice.rows("select state from webhook_events order by received_at, id")]

    def visit(self) -> Any:
        (visit,) = self.practice.visits().values()
        return visit


@pytest.fixture
def webhooks(practice: Practice) -> Webhooks:
    practice.patient("1")
    return Webhooks(practice)


def test_event_brings_the_visit_its_time_and_a_log(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    visit = webhooks.visit()
    assert (visit["status"], visit["start"], visit["provider_id"]) == (
        "confirmed", TOMORROW, webhooks.practice.provider_id,
    )  # fmt: skip
    assert webhooks.practice.claims(visit["id"]) == {("person", False), ("patient", False)}
    assert webhooks.states() == ["applied"]
    assert webhooks.practice.rows("select sync_type, status, new, run_id from sync_logs") == [
        {"sync_type": "webhook", "status": "completed", "new": 1, "run_id": None}
    ]


def test_later_version_wins_whatever_comes_last(webhooks: Webhooks) -> None:
    created, moved = event("AppointmentCreated", 1), event("AppointmentRescheduled", 2, start=TOMORROW.replace(hour=22))
    webhooks.deliver(moved, created, moved)
    assert webhooks.visit()["start"] == TOMORROW.replace(hour=22)


def test_deletion_cancels_although_its_status_says_confirmed_and_stays(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1), event("AppointmentDeleted", 1), event("AppointmentConfirmed", 1))
    visit = webhooks.visit()
    assert (visit["status"], visit["deleted_in_ehr"]) == ("cancelled", True)
    assert webhooks.practice.claims(visit["id"]) == set()


def test_same_bytes_again_are_one_event(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    webhooks.receive(event("AppointmentCreated", 1))
    assert webhooks.queue.waiting == []
    assert webhooks.states() == ["applied"]
    assert len(webhooks.practice.rows("select id from sync_logs")) == 1


def test_copy_of_an_event_whose_message_was_lost_is_queued(webhooks: Webhooks) -> None:
    webhooks.receive(event("AppointmentCreated", 1))
    webhooks.queue.take()
    webhooks.deliver(event("AppointmentCreated", 1))
    assert webhooks.states() == ["applied"]


def test_event_that_nobody_took_is_sent_again(webhooks: Webhooks) -> None:
    webhooks.receive(event("AppointmentCreated", 1))
    webhooks.queue.take()
    clock = webhooks.practice.clock
    clock.advance(minutes=1)
    assert webhooks.resumed() == 0
    clock.advance(minutes=6)
    assert webhooks.resumed() == 1
    clock.advance(minutes=1)
    assert webhooks.resumed() == 0  # Once, not with every sweep until somebody takes it.
    webhooks.apply()
    clock.advance(days=1)
    assert webhooks.resumed() == 0


def test_event_of_nobody_we_know_is_mirrored_and_ignored(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1).replace(b'"ClientId": 1', b'"ClientId": 99'))
    assert webhooks.practice.visits() == {}
    assert webhooks.errors() == [("ignored", "unknown_patient")]
    assert len(webhooks.practice.rows("select external_id from ehr_appointments")) == 1


def test_other_kinds_are_stored_and_go_no_further(webhooks: Webhooks) -> None:
    webhooks.receive(b'{"EventType": "InvoicePaid", "Invoice": {"Id": 1}}')
    assert webhooks.queue.waiting == []
    assert webhooks.practice.rows("select event_type, state from webhook_events") == [
        {"event_type": "InvoicePaid", "state": "ignored"}
    ]


def test_malformed_body_is_stored_byte_by_byte_and_refused(webhooks: Webhooks) -> None:
    with pytest.raises(WebhookMalformed):
        webhooks.receive(b'\xff{"EventType"')
    assert webhooks.practice.rows("select body, state from webhook_events") == [
        {"body": b'\xff{"EventType"', "state": "malformed"}
    ]


def test_stranger_and_flood_leave_nothing(webhooks: Webhooks) -> None:
    with pytest.raises(WebhookRefused):
        webhooks.receive(event("AppointmentCreated", 1), secret="guess")
    with pytest.raises(WebhookRefused):
        webhooks.receive(b" " * (LARGEST_BODY + 1), secret="guess")
    assert webhooks.states() == []


def test_body_that_is_too_large_is_kept_in_part_and_known_again_as_a_whole(webhooks: Webhooks) -> None:
    for last in (b"x", b"y", b"x"):
        with pytest.raises(WebhookMalformed):
            webhooks.receive(b" " * LARGEST_BODY + last)
    kept = webhooks.practice.rows("select length(body) as bytes, state, error from webhook_events")
    assert kept == [{"bytes": KEPT_OF_LARGER, "state": "malformed", "error": "too_large"}] * 2
    assert webhooks.queue.waiting == []


@pytest.mark.parametrize("practice_id", ["another", 7, ["x"]], ids=str)
def test_event_of_another_practice_is_kept_and_not_applied(webhooks: Webhooks, practice_id: object) -> None:
    body = json.dumps({**json.loads(event("AppointmentCreated", 1)), "PracticeId": practice_id}).encode()
    webhooks.deliver(body)
    assert webhooks.errors() == [("ignored", "unknown_practice")]
    assert webhooks.practice.visits() == {}


def test_event_that_names_no_practice_is_applied_and_so_is_any_where_none_is_configured(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1).replace(f'"{PRACTICE}"'.encode(), b"null"))
    webhooks.practice_id = None
    webhooks.deliver(event("AppointmentRescheduled", 2, start=TOMORROW + timedelta(hours=1)).replace(b"63f0", b"0000"))
    assert webhooks.states() == ["applied", "applied"]


def test_event_that_fails_says_so_and_can_be_tried_again(webhooks: Webhooks) -> None:
    webhooks.receive(event("AppointmentCreated", 1))
    (message,) = webhooks.queue.take()
    with webhooks.practice.begin() as connection:
        connection.exec_driver_sql("alter table appointments add constraint refuse check (false)")
    applier = webhooks.applier
    with pytest.raises(Exception, match="refuse"):
        applier.apply(UUID(message["eventId"]))
    assert webhooks.practice.rows("select state, error from webhook_events") == [{"state": "failed", "error": "23514"}]
    with webhooks.practice.begin() as connection:
        connection.exec_driver_sql("alter table appointments drop constraint refuse")
    applier.apply(UUID(message["eventId"]))
    assert webhooks.states() == ["applied"]


def test_event_that_fails_is_sent_again_with_growing_pauses_for_a_day_and_then_left_to_the_night(
    webhooks: Webhooks,
) -> None:
    clock, began = webhooks.practice.clock, webhooks.practice.clock.now()
    with webhooks.practice.begin() as connection:
        connection.exec_driver_sql("alter table appointments add constraint refuse check (false)")
    webhooks.receive(event("AppointmentCreated", 1))
    turns = []
    for _ in range(3 * 24 * 4):
        messages = webhooks.queue.take()
        turns += [(clock.now() - began) // timedelta(minutes=1)] if messages else []
        for message in messages * 5:  # As often as the queue tries.
            with pytest.raises(Exception, match="refuse"):
                webhooks.applier.apply(UUID(message["eventId"]))
        clock.advance(minutes=15)
        webhooks.resumed()
    assert turns == [0, 30, 75, 165, 330, 660, 1305]
    with webhooks.practice.begin() as connection:
        connection.exec_driver_sql("alter table appointments drop constraint refuse")
    (stored,) = webhooks.practice.rows("select id, state, attempts from webhook_events")
    assert (stored["state"], stored["attempts"]) == ("failed", 41)
    webhooks.applier.apply(stored["id"])
    assert webhooks.states() == ["applied"]


def test_failure_of_a_copy_does_not_undo_what_was_applied(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    (stored,) = webhooks.practice.rows("select id from webhook_events")
    with webhooks.practice.begin() as connection:
        Events(connection).fail(stored["id"], "late", webhooks.practice.clock.now())
    assert webhooks.errors() == [("applied", None)]


def test_log_of_an_event_names_its_patient(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    assert webhooks.practice.rows("select patient_id from sync_logs") == webhooks.practice.rows(
        "select id as patient_id from patients"
    )


def test_whatever_the_order_each_visit_ends_as_its_latest_event_says(webhooks: Webhooks) -> None:
    draw = random.Random(19)  # noqa: S311  # To be repeatable is its use.
    bodies, expected = [], {}
    for number in range(1, 13):
        status, deleted = "confirmed", False
        kinds = ["Created", *draw.choices(["Rescheduled", "Canceled", "Missed"], k=2)]
        kinds += draw.choices(["Rescheduled", "Canceled", "Deleted"])  # Nothing comes after a deletion.
        for version, kind in enumerate(kinds):
            start = TOMORROW + timedelta(days=number, minutes=15 * version)
            told = {"Canceled": "Canceled", "Missed": "Missed"}.get(kind, "Confirmed")
            row = make_visit(number, start, ClientId=1, LastModified=version + 1, Status=told)
            bodies.append(json.dumps({"EventType": f"Appointment{kind}", "Appointment": row}).encode())
            deleted = kind == "Deleted"
            status = "cancelled" if deleted else {"Canceled": "cancelled", "Missed": "no_show"}.get(told, "confirmed")
            expected[row["Id"]] = (start, status, deleted)
    events = [*bodies, *draw.choices(bodies, k=20)]
    draw.shuffle(events)
    for body in events:
        webhooks.receive(body)
    draw.shuffle(webhooks.queue.waiting)
    webhooks.apply()
    found = {
        external_id: (visit["start"], visit["status"], visit["deleted_in_ehr"])
        for external_id, visit in webhooks.practice.visits().items()
    }
    assert found == {external_id: each for external_id, each in expected.items() if external_id in found}
    # A visit of which the first thing heard was its end never was one here.
    assert all(expected[external_id][2] for external_id in expected.keys() - found.keys())
    assert len(found) > 6
    assert set(webhooks.states()) == {"applied"}
