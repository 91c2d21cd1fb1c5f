"""The brake: nobody goes round it, whoever applies what waits, and nobody's word gets lost when runs meet."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from local.simulators.intakeq.wire import to_ms
from moonlit.sync.at_once import AtOnce
from moonlit.sync.fan_out import FanOut
from moonlit.sync.pull import Puller, open_run
from moonlit.sync.runs import Runs
from tests.fixtures_functions import records, sample
from tests.fixtures_intakeq import NOON, make_visit
from tests.fixtures_partners import HOUSE, OTHER_ADMIN, OTHER_HOUSE, Houses
from tests.integration.partners.test_refreshes import DAYS, held, night_and, progress, slug, start, sync


@pytest.fixture
def braked(houses: Houses) -> Houses:
    """Stop the account: its last run would have cancelled all thirty visits of Dana's."""
    houses.functions.execute("delete from appointments")
    rows = [houses.in_ehr(number, 26 + number) for number in range(30)]
    night_and(houses)
    houses.functions.clock.advance(minutes=10)
    for row in rows:
        houses.functions.intakeq.staff("cancel", id=row["Id"])
    assert progress(houses, night_and(houses))["status"] == "failed"
    return houses


def test_nobody_goes_round_the_brake_patient_by_patient(braked: Houses) -> None:
    braked.functions.intakeq.forget()
    status, said = braked.ask("sync_patient", about=braked.dana)
    assert (status, slug(said)) == (409, "sync-stopped")
    assert braked.functions.intakeq.requests() == []
    assert set(held(braked).values()) == {"confirmed"}


def test_nobody_goes_round_the_brake_a_few_days_at_a_time(braked: Houses) -> None:
    braked.functions.clock.advance(minutes=10)
    sync_id = start(braked, body={"dateRange": DAYS})
    braked.work()
    assert progress(braked, sync_id)["status"] == "failed"
    assert set(held(braked).values()) == {"confirmed"}
    logs = braked.functions.rows(
        "select error_message, requests_used from sync_logs where refresh_id = :r", r=UUID(sync_id)
    )
    assert [(log["error_message"], log["requests_used"] > 0) for log in logs] == [("brake", True)]


@pytest.mark.parametrize("error", ["brake", "ehr_unavailable"])  # Either way the mirror knows of the cancellations.
def test_nobody_goes_round_the_brake_by_a_repair_of_other_days(braked: Houses, error: str) -> None:
    braked.functions.execute("update sync_runs set error = :error where error = 'brake'", error=error)
    braked.functions.clock.advance(minutes=10)
    day = {"startDate": "2027-03-01", "endDate": "2027-03-01"}
    assert braked.functions.call("sync_cron", {"waitSeconds": 0, "repair": day})["state"] == "failed"
    braked.work()
    assert set(held(braked).values()) == {"confirmed"}
    (repair,) = braked.functions.rows("select state, error from sync_runs where reads = 'days'")
    assert (repair["state"], repair["error"]) == ("failed", "brake")


def test_event_takes_its_own_visit_past_the_brake_and_no_other(braked: Houses) -> None:
    braked.functions.clock.advance(minutes=5)
    told_of = deliver(braked, 99, "AppointmentCreated")
    assert held(braked)[told_of] == "confirmed"
    deliver(braked, 99, "AppointmentCanceled", Status="Canceled")
    states = held(braked)
    assert states.pop(told_of) == "cancelled"
    assert set(states.values()) == {"confirmed"}


def test_decision_about_a_patient_takes_nothing_past_the_brake(braked: Houses) -> None:
    AtOnce(braked.functions.begin, braked.functions.clock).apply("intakeq", [str(braked.dana)], "staff:x", {})
    assert set(held(braked).values()) == {"confirmed"}


@pytest.mark.parametrize("has_looked", [True, False])
def test_parts_of_an_earlier_run_take_nothing_past_the_brake(houses: Houses, *, has_looked: bool) -> None:
    """A night's parts still wait when another pull reads the cancellations, whether it is complete or not."""
    houses.functions.execute("delete from appointments")
    rows = [houses.in_ehr(number, 26 + number) for number in range(30)]
    night_and(houses)
    houses.functions.clock.advance(minutes=30)
    houses.functions.call("sync_cron", {"waitSeconds": 0})
    parts = houses.functions.queues["SyncQueue"].take()
    for row in rows:
        houses.functions.intakeq.staff("cancel", id=row["Id"])
    houses.functions.clock.advance(minutes=10)
    sync_id = start(houses, OTHER_ADMIN, OTHER_HOUSE)
    with pytest.MonkeyPatch.context() as patch:
        if not has_looked:  # The minute's requests are spent, or the function is stopped.
            patch.setattr(FanOut, "complete", lambda *_: None)
        assert houses.functions.call("sync_cron", houses.functions.take("PullQueue")) == {"batchItemFailures": []}
    assert houses.functions.call("sync_org", records(parts)) == {"batchItemFailures": []}
    assert set(held(houses).values()) == {"confirmed"}
    houses.functions.clock.advance(minutes=21)
    houses.functions.call("sweeper", {})
    houses.work()
    assert progress(houses, sync_id, OTHER_ADMIN)["status"] == "failed"
    assert set(held(houses).values()) == {"confirmed"}


def test_what_was_held_back_follows_once_it_is_confirmed(braked: Houses) -> None:
    deliver(braked, 99, "AppointmentCreated")  # Looks at the thirty, and leaves them.
    braked.functions.clock.advance(minutes=10)
    run, _ = open_run(braked.functions.begin, braked.functions.clock, "intakeq", "manual_org", confirm_brake=True)
    braked.functions.call("sync_cron", records([{"runId": str(run.id)}]))
    braked.work()
    assert list(held(braked).values()).count("cancelled") == 30


def test_visits_beyond_the_window_have_a_brake_as_well(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    rows = [houses.in_ehr(number, 24 * 100 + number) for number in range(30)]
    sync(houses, houses.dana, body={"dateRange": {"startDate": "2027-06-01", "endDate": "2027-07-30"}})
    assert list(held(houses).values()) == ["confirmed"] * 30
    night_and(houses)
    houses.functions.clock.advance(minutes=10)
    for row in rows:
        houses.functions.intakeq.staff("cancel", id=row["Id"])
    houses.functions.call("sync_cron", {"waitSeconds": 0})
    houses.work()
    assert set(held(houses).values()) == {"confirmed"}


# ── Who joins at the last moment ──────────────────────────────────────────────────────────────────────────────────────


def test_brake_that_is_confirmed_at_the_last_moment_is_confirmed(
    braked: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    braked.functions.clock.advance(minutes=10)
    start(braked)
    join_before_the_lock(braked, monkeypatch, "manual_org", confirm_brake=True)
    braked.work()
    assert set(held(braked).values()) == {"cancelled"}


def test_night_that_joins_at_the_last_moment_is_for_everybody(houses: Houses, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = start(houses)
    join_before_the_lock(houses, monkeypatch, "automated_daily")
    houses.work()
    assert progress(houses, sync_id)["status"] == "completed"
    logs = houses.functions.rows("select organization_id from sync_logs")
    assert {log["organization_id"] for log in logs} == {HOUSE, OTHER_HOUSE, None}


def test_night_that_joins_while_a_page_is_read_is_told_of_its_failure(
    houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(houses)
    houses.functions.intakeq.fail({"kind": "error_before", "times": None})
    read, joined = Puller._read, list[Any]()

    def read_late(self: Puller, *asked: Any) -> Any:
        if not joined:
            joined.append(open_run(houses.functions.begin, houses.functions.clock, "intakeq", "automated_daily"))
        return read(self, *asked)

    monkeypatch.setattr(Puller, "_read", read_late)
    houses.work()
    logs = houses.functions.rows("select sync_type, status from sync_logs")
    assert ("automated_daily", "failed") in {(log["sync_type"], log["status"]) for log in logs}


def test_pull_that_can_never_be_completed_ends(houses: Houses) -> None:
    sync_id = start(houses)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FanOut, "_close", broken)
        message = houses.functions.take("PullQueue")
        for _ in range(11):
            houses.functions.call("sync_cron", message)
    assert progress(houses, sync_id)["status"] == "failed"
    (run,) = houses.functions.rows("select state, error from sync_runs")
    assert (run["state"], run["error"]) == ("failed", "internal_error")


def join_before_the_lock(houses: Houses, monkeypatch: pytest.MonkeyPatch, sync_type: str, **how: Any) -> None:
    """Let somebody join the pull when it is complete, between the look at its run and the lock on it."""
    at, joined = Runs.at, list[UUID]()

    def at_late(self: Runs, run: Any) -> bool:
        if run.phase == "pulled" and not joined:
            found, is_ours = open_run(houses.functions.begin, houses.functions.clock, "intakeq", sync_type, **how)
            assert not is_ours
            joined.append(found.id)
        return at(self, run)

    monkeypatch.setattr(Runs, "at", at_late)


def deliver(houses: Houses, number: int, kind: str, **fields: Any) -> str:
    """Deliver a webhook about a visit of Dana's in three weeks and apply it; return the visit's id in the EHR."""
    houses.functions.clock.advance(seconds=1)
    modified = to_ms(houses.functions.clock.now())
    row = make_visit(number, NOON + timedelta(days=20), LastModified=modified, **fields)
    told = {
        "EventType": kind,
        "Appointment": row,
        "ClientId": row["ClientId"],
        "PracticeId": "63f0c0ffee0c0ffee0c0ffee",
    }
    event = sample("webhook/intakeq") | {"body": json.dumps(told), "isBase64Encoded": False}
    assert houses.functions.call("webhook", event)["statusCode"] == 200
    assert houses.functions.call("apply_event", houses.functions.take("EventQueue")) == {"batchItemFailures": []}
    return str(row["Id"])
