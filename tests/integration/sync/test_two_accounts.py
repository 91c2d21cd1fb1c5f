"""Nights of a practice with two EHRs: each account has its own run, and neither stops the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from local.clinic import export
from moonlit.db import tables as t
from moonlit.ehr.port import BudgetExhausted, Ehr, EhrUnavailable, Page
from moonlit.sync.nightly import Nightly
from moonlit.sync.nights import Nights
from moonlit.sync.pull import Meter
from tests.fixtures_athena import PATIENT
from tests.fixtures_athena_sync import AthenaPractice, ScriptedEhr, make_ehr_visit
from tests.fixtures_intakeq import NOON, OpenBudget, make_account, make_visit
from tests.fixtures_sync import Practice, StartNight


@dataclass
class Failing(ScriptedEhr):
    """An EHR that raises instead of showing its calendar."""

    error: Exception = field(default_factory=lambda: EhrUnavailable("answered 503"))

    def changed_since(self, *_: Any) -> Page:
        raise self.error


@dataclass
class Both:
    """The practice and its two accounts; `athena_ehr` may be another one for each night."""

    practice: Practice
    athena: AthenaPractice
    intakeq_nightly: Callable[[], Nightly]
    athena_ehr: ScriptedEhr

    def nights(self) -> Nights:
        def nightly(system: str) -> Nightly:
            if system == "intakeq":
                return self.intakeq_nightly()
            return self.athena.nightly(cast("Ehr", self.athena_ehr), Meter(OpenBudget()))

        return Nights(self.practice.begin, nightly)

    def run(self, *, confirm_brake: bool = False) -> dict[str, Any]:
        """Run both nights to their end and return what the call would have been answered then."""
        nights = self.nights()
        said = nights.run("automated_daily", confirm_brake=confirm_brake, wait_seconds=0)
        self.practice.apply_all()
        return said | {"after": [self._state(account["runId"]) for account in said["accounts"]]}

    def _state(self, run_id: str | None) -> str | None:
        found = self.practice.rows("select state from sync_runs where id = cast(:id as uuid)", id=run_id)
        return found[0]["state"] if found else None


@pytest.fixture
def both(practice: Practice, athena: AthenaPractice, start_night: StartNight) -> Both:
    """Return a practice with a patient and a visit in each EHR."""
    practice.patient("1", practice.organization())
    athena.patient(PATIENT)
    visit = make_visit(1, NOON + timedelta(days=1), ClientId=1, ClientEmail="client1@example.org")
    night = start_night(make_account(appointments=[visit]))
    return Both(
        practice,
        athena,
        lambda: practice.nightly(night.ehr, night.meter),
        ScriptedEhr([make_ehr_visit("1")]),
    )


def of(said: dict[str, Any], system: str) -> dict[str, Any]:
    (account,) = (account for account in said["accounts"] if account["system"] == system)
    return dict(account)


def test_each_account_has_its_own_run_and_the_answer_sums_them_up(both: Both) -> None:
    said = both.run()
    assert said["after"] == ["completed", "completed"]
    assert [account["system"] for account in said["accounts"]] == ["intakeq", "athena"]
    assert (said["state"], said["error"], said["organizations"]) == ("applying", None, 1)
    assert said["runId"] == of(said, "intakeq")["runId"] != of(said, "athena")["runId"]
    assert said["requestsUsed"] == of(said, "intakeq")["requestsUsed"] == 2
    assert len(said["logs"]) == 4
    assert set(both.practice.visits()) == {f"{1:024x}", "1"}
    cursors = both.practice.rows("select synced_through, window_last from ehr_accounts")
    assert all(row["synced_through"] == NOON and row["window_last"] for row in cursors)


def test_night_is_one_entry_of_an_organization_s_history(both: Both) -> None:
    both.run()
    both.practice.clock.advance(hours=1)
    both.athena_ehr = Failing()
    both.run()
    with both.practice.begin() as connection:
        logs = export(connection, both.practice.clock.now())["sync_logs"]
    first, second = (
        [log for log in logs if log["started_at"] == at] for at in ("2027-03-10T19:00:00Z", "2027-03-10T20:00:00Z")
    )
    by_organization = {log["organization_id"]: log for log in first}
    (harbor,) = set(by_organization) - {None}
    assert len(first) == 2
    assert by_organization[harbor]["counts"] == {"new": 1, "updated": 0, "unchanged": 0, "errors": 0}
    assert by_organization[None]["counts"] == {"new": 1, "updated": 0, "unchanged": 0, "errors": 0}
    assert by_organization[None]["requests_used"] == 2
    assert {log["organization_id"]: log["status"] for log in second} == {harbor: "completed", None: "partial"}


def test_answer_of_a_practice_with_one_account_is_as_ever(practice: Practice, start_night: StartNight) -> None:
    night = start_night(make_account())
    nights = Nights(practice.begin, lambda _: practice.nightly(night.ehr, night.meter))
    said = nights.run("manual_org", confirm_brake=False, wait_seconds=0)
    assert said == practice.nightly(night.ehr, night.meter).summary(UUID(said["runId"]))
    assert set(said) == {"runId", "state", "error", "requestsUsed", "organizations", "counts", "logs"}


def test_failing_ehr_does_not_stop_the_other(both: Both) -> None:
    both.athena_ehr = Failing()
    said = both.run()
    assert said["after"] == ["completed", "failed"]
    assert (of(said, "athena")["error"], said["error"]) == ("ehr_unavailable", "ehr_unavailable")
    assert set(both.practice.visits()) == {f"{1:024x}"}


def test_account_that_cannot_even_be_opened_does_not_stop_the_other(
    both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Nightly:
        raise LookupError("Ana Lund")

    both.intakeq_nightly = broken
    said = both.run()
    assert said["after"] == [None, "completed"]
    assert of(said, "intakeq") == {
        "system": "intakeq", "runId": None, "state": "failed", "error": "LookupError", "requestsUsed": 0,
        "organizations": 0, "counts": {"new": 0, "updated": 0, "unchanged": 0, "errors": 0}, "logs": [],
    }  # fmt: skip
    assert set(both.practice.visits()) == {"1"}
    assert "sync_account_failed" in caplog.messages
    assert "Ana Lund" not in caplog.text


def test_what_goes_wrong_with_the_only_account_is_raised(practice: Practice) -> None:
    def broken(_: str) -> Nightly:
        raise LookupError("no adapter")

    with pytest.raises(LookupError):
        Nights(practice.begin, broken).run("automated_daily", confirm_brake=False, wait_seconds=0)


def test_message_takes_up_the_run_of_its_own_account(both: Both) -> None:
    both.athena_ehr = Failing(error=BudgetExhausted(30.0))
    said = both.run()
    assert said["state"] == "pulling"
    (message,) = both.athena.pull_queue.take()
    assert message == {"runId": of(said, "athena")["runId"]}
    both.athena_ehr = ScriptedEhr([make_ehr_visit("1")])
    both.nights().go_on(UUID(message["runId"]))
    both.practice.apply_all()
    assert "1" in both.practice.visits()
    assert {row["state"] for row in both.practice.rows("select state from sync_runs")} == {"completed"}


def test_waiting_time_is_shared(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(Nightly, "wait", lambda _self, _run, seconds: waited.append(seconds))
    both.nights().run("automated_daily", confirm_brake=False, wait_seconds=25)
    assert len(waited) == 2
    assert 25 >= waited[0] >= waited[1] > 20


def test_confirmation_is_about_the_account_that_was_stopped(both: Both) -> None:
    athena_visits = [make_ehr_visit(str(n), starts_at=NOON + timedelta(days=n), ends_at=NOON + timedelta(days=n, hours=1))
                     for n in range(1, 31)]  # fmt: skip
    both.athena_ehr = ScriptedEhr(athena_visits)
    both.run()
    both.practice.clock.advance(hours=1)
    cancelled = [make_ehr_visit(each.external_id, starts_at=each.starts_at, ends_at=each.ends_at, status="cancelled",
                                modified_at=both.practice.clock.now()) for each in athena_visits]  # fmt: skip
    both.athena_ehr = ScriptedEhr(cancelled)
    stopped = both.run()
    assert (stopped["after"], stopped["error"]) == (["completed", "failed"], "brake")
    # Days that somebody had read again meanwhile, and found in order, are another matter.
    both.practice.clock.advance(minutes=1)
    now, day = both.practice.clock.now(), NOON.date()
    for account in both.practice.rows("select id from ehr_accounts"):
        both.practice.add(
            t.sync_runs, account_id=account["id"], sync_type="manual_org", reads="days", state="completed",
            phase="pulled", window_first=day, window_last=day, started_at=now, touched_at=now, finished_at=now,
        )  # fmt: skip
    both.practice.clock.advance(minutes=1)

    confirmed = both.run(confirm_brake=True)
    assert confirmed["after"] == ["completed", "completed"]
    last = both.practice.rows(
        "select a.system, r.brake_confirmed from sync_runs r join ehr_accounts a on a.id = r.account_id"
        " where r.id = any(cast(:ids as uuid[])) order by a.system",
        ids=[account["runId"] for account in confirmed["accounts"]],
    )
    assert [(row["system"], row["brake_confirmed"]) for row in last] == [("athena", True), ("intakeq", False)]


def test_patient_known_to_one_ehr_alone_is_no_fresher_by_the_other(both: Both) -> None:
    both.athena_ehr = Failing()
    both.run()
    found: Sequence[Any] = both.practice.rows(
        "select athena_patient_id as number, last_practiceq_sync_at as at from patients"
    )
    assert {row["number"]: row["at"] for row in found} == {None: NOON, PATIENT: None}
