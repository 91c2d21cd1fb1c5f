"""Event subscriptions of athenahealth: signed, ids only, in any order and number; each visit is read when applied."""

from __future__ import annotations

import hashlib
import hmac
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from moonlit.ehr.port import BudgetExhausted, EhrUnavailable, Lane
from moonlit.sync.applying import Applier
from moonlit.sync.errors import WebhookMalformed, WebhookRefused
from moonlit.sync.resume import SyncQueues, resume_stuck
from moonlit.sync.webhook import LARGEST_BODY, AthenaReceiver, Inbox
from tests.fixtures_athena import PATIENT, PRACTICE, REASON, make_athena_account, make_slot
from tests.fixtures_athena_sync import AthenaNight, AthenaPractice, StartAthenaNight
from tests.fixtures_sync import MemoryQueue

SECRET, OLD_SECRET = "the-new-secret-of-webhooks", "the-old-secret-of-webhooks"
APPOINTMENT = f"urn:athenahealth:athenanet:appointment:{PRACTICE}"


def notification(appointment_id: str, event_id: str, system: str = APPOINTMENT) -> dict[str, Any]:
    return {"id": event_id, "focus": {"identifier": {"system": system, "value": appointment_id}}}


def bundle(*notifications: Any, **rest: Any) -> bytes:
    status = {"resourceType": "SubscriptionStatus", "notificationEvent": list(notifications), **rest}
    return json.dumps({"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}).encode()


@dataclass
class Deliveries:
    """What athenahealth sends and what becomes of it."""

    night: AthenaNight
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    lanes: list[Lane] = field(default_factory=list)

    @property
    def practice(self) -> AthenaPractice:
        return self.night.practice

    @property
    def receiver(self) -> AthenaReceiver:
        inbox = Inbox(self.practice.begin, self.practice.clock, self.queue)
        return AthenaReceiver(inbox, [SECRET, OLD_SECRET], PRACTICE)

    @property
    def applier(self) -> Applier:
        practice = self.practice
        return Applier(
            practice.begin, practice.clock, lambda _: (self.night.ehr, self.night.meter), self.receiver.take_apart
        )

    def receive(self, body: bytes, secret: str = SECRET) -> None:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        self.receiver.receive(f"sha256={digest}", body)

    def apply(self) -> None:
        for message in self.queue.take():
            self.applier.apply(UUID(message["eventId"]))

    def deliver(self, *notifications: Any) -> None:
        self.receive(bundle(*notifications))
        self.apply()

    def events(self, source: str = "athena") -> list[tuple[str | None, str, str | None]]:
        """Return appointment, state and error of each event."""
        found = self.practice.rows(
            "select external_id, state, error from webhook_events where source = :source order by external_id, state",
            source=source,
        )
        return [(row["external_id"], row["state"], row["error"]) for row in found]

    def statuses(self) -> dict[str, str]:
        return {external_id: visit["status"] for external_id, visit in self.practice.visits().items()}


@pytest.fixture
def deliveries(start_athena_night: StartAthenaNight) -> Deliveries:
    """Serve Dana's visit at nine, which nobody has heard of here, and open slots after it."""
    night = start_athena_night(
        make_athena_account(slots=[make_slot(number, f"{8 + number:02}:00") for number in (1, 2, 3)])
    )
    night.practice.patient(PATIENT)
    night.server.staff("book", appointmentid="1", patientid=PATIENT, reasonid=REASON)
    return Deliveries(night)


def test_the_visit_is_read_and_brought_here_with_a_log(deliveries: Deliveries) -> None:
    deliveries.deliver(notification("1", "e-1"))
    assert deliveries.statuses() == {"1": "confirmed"}
    assert deliveries.events() == [("1", "applied", None)]
    assert deliveries.practice.rows("select sync_type, new from sync_logs") == [{"sync_type": "webhook", "new": 1}]


def test_the_log_says_what_the_event_cost(deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch) -> None:
    practice, ehr = deliveries.practice, deliveries.night.ehr

    class TwoSecondsAway:
        def visit(self, *question: Any) -> Any:
            practice.clock.advance(seconds=2)
            return ehr.visit(*question)

    deliveries.night.meter.read()
    monkeypatch.setattr(deliveries.night, "ehr", TwoSecondsAway())
    began = practice.clock.now()
    deliveries.deliver(notification("1", "e-1"))
    (log,) = logs(deliveries)
    assert log["requests_used"] == len(appointments_read(deliveries))
    assert (log["started_at"], log["completed_at"], log["duration_ms"]) == (began, practice.clock.now(), 2000)


@pytest.mark.parametrize(
    ("appointment_id", "fails", "status", "error"),
    [
        ("1", {"status": 400}, "failed", "ehr_refused_400"),
        ("1", {"status": 404}, "completed", None),
        ("1", {"status": 503}, "failed", "ehr_unavailable"),
    ],
    ids=["malformed", "ignored", "failed"],
)
def test_an_event_that_reaches_nobody_leaves_a_log_of_its_requests(
    deliveries: Deliveries, appointment_id: str, fails: dict[str, Any], status: str, error: str | None
) -> None:
    path = f"/appointments/{appointment_id}"
    deliveries.night.server.fail({"path": path, "kind": "error_before", "times": None, **fails})
    deliveries.night.server.forget()
    deliveries.receive(bundle(notification(appointment_id, "e-1")))
    with suppress(EhrUnavailable):
        deliveries.apply()
    (log,) = logs(deliveries)
    assert (log["status"], log["error_message"], log["patients_processed"]) == (status, error, 0)
    assert log["requests_used"] == len(appointments_read(deliveries)) > 0
    assert log["patient_id"] is None


def test_an_event_that_could_not_be_asked_about_leaves_no_log(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_left(lane: Lane) -> None:
        raise BudgetExhausted(30)

    monkeypatch.setattr(deliveries.night.meter.budget, "take", nothing_left)
    deliveries.receive(bundle(notification("1", "e-1")))
    with pytest.raises(BudgetExhausted):
        deliveries.apply()
    assert logs(deliveries) == []


def logs(deliveries: Deliveries) -> list[Any]:
    return deliveries.practice.rows("select * from sync_logs")


def appointments_read(deliveries: Deliveries) -> list[str]:
    """Return the requests for a visit, and for what an adapter has to learn before it can read one."""
    return [request["path"] for request in deliveries.night.server.requests() if "token" not in request["path"]]


@pytest.mark.parametrize("order", [("1", "3"), ("3", "1")], ids=["old_id_first", "new_id_first"])
def test_a_visit_that_staff_move_stays_one_visit(deliveries: Deliveries, order: tuple[str, str]) -> None:
    held = moved(deliveries)
    for appointment_id in order:
        deliveries.deliver(notification(appointment_id, f"m-{appointment_id}"))
    assert ids(deliveries) == {("1", held, False), ("3", held, True)}
    assert deliveries.practice.rows("select id, status from appointments") == [{"id": held, "status": "confirmed"}]


def test_a_move_of_which_only_the_old_id_is_heard_waits_for_the_night(deliveries: Deliveries) -> None:
    held = moved(deliveries)
    deliveries.deliver(notification("1", "m-1"))
    assert ids(deliveries) == {("1", held, True)}
    assert deliveries.statuses() == {"1": "confirmed"}
    deliveries.night.run()
    assert ids(deliveries) == {("1", held, False), ("3", held, True)}
    assert deliveries.practice.rows("select id, status from appointments") == [{"id": held, "status": "confirmed"}]


def moved(deliveries: Deliveries) -> UUID:
    """Bring the visit here, and let staff move it later, of which nobody is told yet; return its id."""
    deliveries.deliver(notification("1", "e-1"))
    deliveries.practice.clock.advance(minutes=1)
    deliveries.night.server.staff("move", appointmentid="1", newappointmentid="3")
    return UUID(str(deliveries.practice.visits()["1"]["id"]))


def ids(deliveries: Deliveries) -> set[tuple[str, UUID, bool]]:
    found = deliveries.practice.rows("select external_id, appointment_id, is_current from appointment_external_ids")
    return {(row["external_id"], row["appointment_id"], row["is_current"]) for row in found}


def test_one_delivery_may_tell_of_several_visits(deliveries: Deliveries) -> None:
    deliveries.night.server.staff("book", appointmentid="2", patientid=PATIENT, reasonid=REASON)
    deliveries.deliver(notification("1", "e-1"), notification("2", "e-2"))
    assert deliveries.statuses() == {"1": "confirmed", "2": "confirmed"}


def test_a_notification_in_another_delivery_is_the_same_one(deliveries: Deliveries) -> None:
    deliveries.deliver(notification("1", "e-1"))
    deliveries.receive(bundle(notification("1", "e-1"), notification("1", "e-2"), topic="x/Appointment.update"))
    assert len(deliveries.queue.waiting) == 1
    deliveries.apply()
    assert deliveries.events() == [("1", "applied", None)] * 2


def test_the_bytes_of_a_delivery_are_kept_once(deliveries: Deliveries) -> None:
    body = bundle(notification("1", "e-1"), notification("2", "e-2"))
    for _ in range(2):
        deliveries.receive(body)
    kept = deliveries.practice.rows("select body from webhook_events where body = :body", body=body)
    assert len(kept) == 1
    assert len(deliveries.events()) == 2


def test_order_does_not_matter(deliveries: Deliveries) -> None:
    staff = deliveries.night.server.staff
    deliveries.receive(bundle(notification("1", "e-1")))
    deliveries.practice.clock.advance(seconds=5)
    staff("move", appointmentid="1", newappointmentid="3")
    deliveries.practice.clock.advance(seconds=5)
    staff("cancel", appointmentid="3")
    deliveries.receive(bundle(notification("3", "e-4"), notification("1", "e-2")))
    deliveries.receive(bundle(notification("3", "e-3")))
    deliveries.queue.waiting.reverse()
    deliveries.apply()
    assert {state for _, state, _ in deliveries.events()} == {"applied"}
    (visit,) = deliveries.practice.rows("select distinct a.id, a.status from appointments a")
    assert visit["status"] == "cancelled"


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_both_secrets_are_valid_while_one_is_rotated(deliveries: Deliveries, secret: str) -> None:
    deliveries.receive(bundle(notification("1", "e-1")), secret)
    assert deliveries.events() == [("1", "received", None)]


def test_a_stranger_leaves_nothing(deliveries: Deliveries) -> None:
    body = bundle(notification("1", "e-1"))
    with pytest.raises(WebhookRefused):
        deliveries.receive(body, "another-secret-of-webhooks")
    with pytest.raises(WebhookRefused):
        deliveries.receiver.receive(None, b" " * (LARGEST_BODY + 1))
    assert deliveries.practice.rows("select id from webhook_events") == []


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"", "unreadable"), (b"{}", "unreadable"), (bundle(7), "unreadable"), (b" " * (LARGEST_BODY + 1), "too_large")],
    ids=["empty", "no_bundle", "no_notification", "flood"],
)
def test_a_delivery_that_makes_no_sense_is_kept_and_refused(deliveries: Deliveries, body: bytes, error: str) -> None:
    for _ in range(2):
        with pytest.raises(WebhookMalformed):
            deliveries.receive(body)
    assert deliveries.events("athena_delivery") == [(None, "malformed", error)]
    assert deliveries.queue.waiting == []


def test_what_makes_no_sense_in_a_delivery_does_not_stop_the_rest(deliveries: Deliveries) -> None:
    deliveries.deliver(notification("1", "e-1"), {"id": "e-2"}, notification("2", "e-3", "urn:x"))
    assert deliveries.statuses() == {"1": "confirmed"}
    assert sorted(state for _, state, _ in deliveries.events()) == ["applied", "malformed", "malformed"]


@pytest.mark.parametrize(
    ("system", "error"),
    [
        ("urn:athenahealth:athenanet:appointment:195901", "unknown_practice"),
        (f"urn:athenahealth:athenanet:patient:{PRACTICE}", "unknown_kind"),
    ],
)
def test_what_is_none_of_ours_is_kept_and_not_applied(deliveries: Deliveries, system: str, error: str) -> None:
    deliveries.deliver(notification("1", "e-1", system))
    assert [(state, why) for _, state, why in deliveries.events()] == [("ignored", error)]
    assert deliveries.practice.visits() == {}


def test_a_delivery_without_notifications_is_kept(deliveries: Deliveries) -> None:
    deliveries.receive(bundle(type="handshake"))
    assert deliveries.events("athena_delivery") == [(None, "ignored", None)]
    assert deliveries.queue.waiting == []


def test_a_slot_is_nobody_s_visit(deliveries: Deliveries) -> None:
    deliveries.deliver(notification("2", "e-1"), notification("999", "e-2"))
    assert deliveries.events() == [("2", "ignored", "not_a_visit"), ("999", "ignored", "not_a_visit")]


def test_a_visit_that_the_ehr_does_not_show_any_more_stays_until_the_night_has_looked(
    deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries.deliver(notification("1", "e-1"))
    deliveries.night.server.fail({"path": "/appointments/1", "kind": "error_before", "status": 404, "times": None})
    deliveries.deliver(notification("1", "e-2"))
    assert ("1", "ignored", "visit_not_found") in deliveries.events()
    assert deliveries.statuses() == {"1": "confirmed"}
    assert "webhook_visit_not_found" in caplog.text


def test_a_visit_that_makes_no_sense_is_left_for_people_to_look_at(deliveries: Deliveries) -> None:
    deliveries.night.server.staff("update", appointmentid="1", departmentid="99")
    deliveries.deliver(notification("1", "e-1"))
    assert deliveries.events() == [("1", "malformed", "visit_unreadable")]


def test_a_visit_that_the_ehr_refuses_to_show_is_not_asked_for_again(deliveries: Deliveries) -> None:
    deliveries.night.server.fail({"path": "/appointments/1", "kind": "error_before", "status": 400, "times": None})
    deliveries.deliver(notification("1", "e-1"))
    assert deliveries.events() == [("1", "malformed", "ehr_refused_400")]


def test_an_hour_without_the_ehr_loses_nothing(deliveries: Deliveries) -> None:
    practice = deliveries.practice
    queues = SyncQueues(practice.pull_queue, practice.sync_queue, deliveries.queue)
    deliveries.night.server.fail({"kind": "error_before", "times": None})
    deliveries.receive(bundle(notification("1", "e-1")))
    (message,) = deliveries.queue.take()
    for _ in range(5):  # The queue's own tries; then the message is among the dead letters.
        with pytest.raises(EhrUnavailable):
            deliveries.applier.apply(UUID(message["eventId"]))
        practice.clock.advance(minutes=3)
    assert deliveries.events() == [("1", "failed", "ehr_unavailable")]
    practice.clock.advance(minutes=45)
    deliveries.night.server.fail()
    assert resume_stuck(practice.begin, practice.clock, queues)["events"] == 1
    deliveries.apply()
    assert deliveries.statuses() == {"1": "confirmed"}


def test_without_budget_the_event_waits(deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoBudget:
        def visit(self, _: str, lane: Lane) -> None:
            deliveries.lanes.append(lane)
            raise BudgetExhausted(30)

    ehr = deliveries.night.ehr
    monkeypatch.setattr(deliveries.night, "ehr", NoBudget())
    deliveries.receive(bundle(notification("1", "e-1")))
    (message,) = deliveries.queue.take()
    with pytest.raises(BudgetExhausted):
        deliveries.applier.apply(UUID(message["eventId"]))
    assert deliveries.lanes == [Lane.WEBHOOK]
    assert deliveries.events() == [("1", "failed", "budget_exhausted")]
    monkeypatch.setattr(deliveries.night, "ehr", ehr)
    deliveries.applier.apply(UUID(message["eventId"]))
    assert deliveries.events() == [("1", "applied", None)]


def test_no_transaction_is_open_while_the_ehr_is_asked(deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch) -> None:
    real = deliveries.night.ehr

    class Watching:
        def visit(self, external_id: str, lane: Lane) -> Any:
            with deliveries.practice.begin():  # The engine has one connection: a second transaction would wait for it.
                pass
            return real.visit(external_id, lane)

    monkeypatch.setattr(deliveries.night, "ehr", Watching())
    deliveries.deliver(notification("1", "e-1"))
    assert deliveries.events() == [("1", "applied", None)]


def test_an_older_look_does_not_undo_a_newer_one(deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch) -> None:
    old = deliveries.night.ehr.visit("1", Lane.WEBHOOK)
    deliveries.practice.clock.advance(minutes=1)
    deliveries.night.server.staff("cancel", appointmentid="1")
    deliveries.deliver(notification("1", "e-2"))

    class Slow:
        def visit(self, *_: object) -> Any:
            return old

    monkeypatch.setattr(deliveries.night, "ehr", Slow())
    deliveries.deliver(notification("1", "e-1"))
    assert deliveries.statuses() == {"1": "cancelled"}
