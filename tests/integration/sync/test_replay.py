"""Stored events that are sent to their queue once more."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from moonlit.sync.errors import WebhookMalformed
from moonlit.sync.replay import Replayer, ReplayRequest
from moonlit.sync.webhook import LARGEST_BODY
from tests.conftest import ROOT
from tests.integration.sync.test_athena_webhooks import Deliveries, bundle, deliveries, notification
from tests.integration.sync.test_webhooks import TOMORROW, Webhooks, event, webhooks

__all__ = ["deliveries", "webhooks"]


def replayed(webhooks: Webhooks | Deliveries, since: timedelta = timedelta(days=1), **more: Any) -> int:
    """Replay what came since then, and return how many events that are."""
    practice = webhooks.practice
    now = practice.clock.now()
    span = {"from": (now - since).isoformat(), "to": (now + timedelta(seconds=1)).isoformat(), **more}
    request = ReplayRequest.model_validate({"replay": span})
    return Replayer(practice.begin, practice.clock, webhooks.queue).replay(request)["events"]


def test_what_was_applied_is_applied_again_without_harm(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    webhooks.practice.clock.advance(minutes=1)
    webhooks.deliver(event("AppointmentRescheduled", 2, start=TOMORROW + timedelta(hours=1)))
    before = webhooks.visit()
    assert replayed(webhooks) == 2
    assert webhooks.states() == ["received", "received"]
    webhooks.queue.waiting.reverse()
    webhooks.apply()
    assert webhooks.states() == ["applied", "applied"]
    assert webhooks.visit() == before


@pytest.mark.parametrize(("is_left_out", "status"), [(True, "confirmed"), (False, "cancelled")])
def test_a_deletion_counts_again_unless_it_was_left_out_as_the_runbook_says(
    webhooks: Webhooks, status: str, *, is_left_out: bool
) -> None:
    webhooks.deliver(event("AppointmentCreated", 1), event("AppointmentDeleted", 1), event("AppointmentRescheduled", 2))
    assert webhooks.visit()["status"] == "confirmed"
    (question,) = re.findall(r"```sql\n(.+?);\n```", runbook(), re.DOTALL)
    (found,) = webhooks.practice.rows(question)
    if is_left_out:
        webhooks.practice.rows(
            "update webhook_events set state = 'ignored' where id = :id returning id", id=found["id"]
        )
    replayed(webhooks)
    webhooks.apply()
    assert webhooks.visit()["status"] == status


def test_what_a_mistake_of_ours_undid_is_restored(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    with webhooks.practice.begin() as connection:
        for table in ("time_claims", "appointment_external_ids", "appointments", "ehr_appointments"):
            connection.exec_driver_sql(f"delete from {table}")
    replayed(webhooks)
    webhooks.apply()
    assert webhooks.visit()["start"] == TOMORROW


def test_only_the_time_source_and_states_that_were_asked_for(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    webhooks.practice.clock.advance(hours=2)
    webhooks.receive(event("AppointmentConfirmed", 2))
    webhooks.receive(b'{"EventType": "InvoicePaid"}')
    webhooks.queue.take()
    assert replayed(webhooks, timedelta(hours=1)) == 1
    assert replayed(webhooks) == 2
    assert replayed(webhooks, states=["ignored"]) == 1
    assert replayed(webhooks, states=["failed"]) == 0
    assert replayed(webhooks, source="athena") == 0
    assert replayed(webhooks, source="intakeq") == 3


def test_what_can_never_be_applied_is_not_replayed(webhooks: Webhooks) -> None:
    webhooks.receive(event("AppointmentCreated", 1).replace(b"63f0", b"0000"))
    with pytest.raises(WebhookMalformed):
        webhooks.receive(b" " * (LARGEST_BODY + 1))
    assert replayed(webhooks, states=["ignored", "malformed"]) == 0


def test_what_makes_no_sense_is_looked_at_again_and_stays_what_it_was(webhooks: Webhooks) -> None:
    with pytest.raises(WebhookMalformed):
        webhooks.receive(b'{"EventType": "AppointmentCreated"')
    assert replayed(webhooks) == 1
    webhooks.apply()
    assert webhooks.errors() == [("malformed", "unreadable")]


def test_a_replay_that_was_cut_off_is_finished_by_the_sweeper(webhooks: Webhooks) -> None:
    webhooks.deliver(event("AppointmentCreated", 1))
    webhooks.practice.clock.advance(days=3)
    replayed(webhooks, timedelta(days=4))
    webhooks.queue.take()
    webhooks.practice.clock.advance(minutes=6)
    assert webhooks.resumed() == 1


def test_a_delivery_that_made_no_sense_is_taken_apart_once_it_does(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moonlit.ehr.port import EhrRefused
    from moonlit.sync import webhook

    def too_strict(_: bytes) -> None:
        raise EhrRefused("unreadable")

    with monkeypatch.context() as patch:
        patch.setattr(webhook, "delivery_of", too_strict)
        with pytest.raises(WebhookMalformed):
            deliveries.receive(bundle(notification("1", "e-1")))
    assert deliveries.events() == []
    assert replayed(deliveries, states=["malformed"]) == 1
    deliveries.apply()
    deliveries.apply()
    assert deliveries.statuses() == {"1": "confirmed"}
    assert deliveries.events("athena_delivery") == [(None, "ignored", None)]


@pytest.mark.parametrize(
    "span",
    [
        {},
        {"from": "2027-03-10T00:00:00Z"},
        {"from": "2027-03-10", "to": "2027-03-11T00:00:00Z"},
        {"from": "2027-03-10T00:00:00", "to": "2027-03-11T00:00:00Z"},
        {"from": "2027-03-10T00:00:00Z", "to": "2027-03-11T00:00:00Z", "states": []},
        {"from": "2027-03-10T00:00:00Z", "to": "2027-03-11T00:00:00Z", "states": ["all"]},
        {"from": "2027-03-10T00:00:00Z", "to": "2027-03-11T00:00:00Z", "source": "sendgrid"},
        {"from": "2027-03-10T00:00:00Z", "to": "2027-03-11T00:00:00Z", "upTo": 1},
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused(span: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReplayRequest.model_validate({"replay": span})


def test_the_call_in_the_runbook_is_understood() -> None:
    (payload,) = re.findall(r"'(\{.+\})'", runbook())
    span = ReplayRequest.model_validate_json(payload).replay
    assert span.last - span.first == timedelta(days=1)
    assert "ignored" not in span.states


def runbook() -> str:
    """Return the section about it."""
    return (ROOT / "docs" / "runbook.md").read_text().partition("## Replaying webhook events")[2].partition("\n## ")[0]
