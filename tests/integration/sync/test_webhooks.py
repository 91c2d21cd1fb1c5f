"""Webhooks of IntakeQ: stored at once, applied later, in any order and number."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from moonlit.sync.errors import WebhookMalformed, WebhookRefused, WebhookTooLarge
from moonlit.sync.resume import SyncQueues, resume_stuck
from moonlit.sync.webhook import LARGEST_BODY, Applier, Receiver
from tests.fixtures_intakeq import NOON, make_visit
from tests.fixtures_sync import MemoryQueue, Practice

SECRET = "long-random-path-segment"
TOMORROW = NOON + timedelta(days=1)


def event(event_type: str, version: int, **fields: Any) -> bytes:
    row = make_visit(1, fields.pop("start", TOMORROW), ClientId=1, LastModified=version, **fields)
    return json.dumps({"EventType": event_type, "Appointment": row, "ClientId": 1}).encode()


@dataclass
class Webhooks:
    practice: Practice
    queue: MemoryQueue = field(default_factory=MemoryQueue)

    def receive(self, body: bytes, secret: str = SECRET) -> None:
        Receiver(self.practice.begin, self.practice.clock, self.queue, ["other-secret", SECRET]).receive(secret, body)

    def apply(self) -> None:
        for message in self.queue.take():
            Applier(self.practice.begin, self.practice.clock).apply(UUID(message["eventId"]))

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
    practice = webhooks.practice
    queues = SyncQueues(practice.pull_queue, practice.sync_queue, webhooks.queue)
    practice.clock.advance(minutes=1)
    assert resume_stuck(practice.begin, practice.clock, queues)["events"] == 0
    practice.clock.advance(minutes=6)
    assert resume_stuck(practice.begin, practice.clock, queues)["events"] == 1
    webhooks.apply()
    assert resume_stuck(practice.begin, practice.clock, queues)["events"] == 0


def test_event_of_nobody_we_know_is_mirrored_and_ignored(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1).replace(b'"ClientId": 1', b'"ClientId": 99'))
    assert webhooks.practice.visits() == {}
    assert webhooks.states() == ["ignored"]
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
    with pytest.raises(WebhookTooLarge):
        webhooks.receive(b" " * (LARGEST_BODY + 1))
    assert webhooks.states() == []


def test_event_that_fails_says_so_and_can_be_tried_again(webhooks: Webhooks) -> None:
    webhooks.receive(event("AppointmentCreated", 1))
    (message,) = webhooks.queue.take()
    with webhooks.practice.begin() as connection:
        connection.exec_driver_sql("alter table appointments add constraint refuse check (false)")
    applier = Applier(webhooks.practice.begin, webhooks.practice.clock)
    with pytest.raises(Exception, match="refuse"):
        applier.apply(UUID(message["eventId"]))
    assert webhooks.practice.rows("select state, error from webhook_events") == [{"state": "failed", "error": "23514"}]
    with webhooks.practice.begin() as connection:
        connection.exec_driver_sql("alter table appointments drop constraint refuse")
    applier.apply(UUID(message["eventId"]))
    assert webhooks.states() == ["applied"]
