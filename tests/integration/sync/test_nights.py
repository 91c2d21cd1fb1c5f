"""Whole nights against the simulator: pull, match, fan out, apply, count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from moonlit.ehr.port import BudgetExhausted, Ehr, Lane
from moonlit.sync.pull import Meter, open_run
from moonlit.sync.resume import SyncQueues, resume_stuck
from tests.fixtures_intakeq import NOON, OTHER_PRACTITIONER, OpenBudget, make_account, make_visit
from tests.fixtures_sync import MemoryQueue, Practice, StartNight


def counts(log: dict[str, Any]) -> tuple[int, int, int, int]:
    return log["new"], log["updated"], log["unchanged"], log["errors"]


def by_day(number: int, day: int, client_id: int = 1, **fields: Any) -> dict[str, Any]:
    email = fields.pop("ClientEmail", f"client{client_id}@example.org")
    return make_visit(number, NOON + timedelta(days=day), ClientId=client_id, ClientEmail=email, **fields)


def test_first_night_takes_over_the_window_and_counts_by_organization(
    practice: Practice, start_night: StartNight
) -> None:
    harbor, closed = practice.organization(), practice.organization(active=False)
    ana = practice.patient("1", harbor)
    practice.patient("2", harbor)
    other = practice.patient("3", closed)
    imported = practice.visit(ana, f"{2:024x}", start=NOON + timedelta(days=2), provider_id=practice.provider_id)
    practice.visit(ana, "long-ago", start=NOON - timedelta(days=100))
    night = start_night(
        make_account(
            appointments=[
                by_day(1, 1), by_day(2, 2), by_day(3, 3, 2), by_day(4, 4, 3), by_day(5, 5, 99),
                by_day(6, 100), by_day(7, -100), by_day(8, 6, Status="Canceled"),
            ]
        )
    )  # fmt: skip
    summary = night.run()
    assert (summary["state"], summary["requestsUsed"], summary["organizations"]) == ("completed", 2, 1)
    assert counts(summary["logs"][str(harbor)]) == (3, 1, 0, 0)
    assert counts(summary["logs"][None]) == (1, 0, 0, 0)
    visits = practice.visits()
    assert set(visits) == {"long-ago", *(f"{number:024x}" for number in (1, 2, 3, 4, 8))}
    assert visits[f"{2:024x}"]["id"] == imported
    assert visits[f"{4:024x}"]["patient_id"] == other
    first = visits[f"{1:024x}"]
    assert (first["provider_id"], first["service_id"]) == (practice.provider_id, practice.service_id)
    assert (first["modality"], first["location_info"]["kind"]) == ("telehealth", "telehealth")
    assert practice.claims(first["id"]) == {("person", False), ("patient", False)}
    assert practice.claims(visits[f"{8:024x}"]["id"]) == set()
    log = practice.rows("select metadata, requests_used from sync_logs where organization_id is null")[0]
    assert (log["metadata"]["unmatchedRows"], log["requests_used"]) == (1, 2)


def test_second_night_costs_what_changed(practice: Practice, start_night: StartNight) -> None:
    harbor = practice.organization()
    practice.patient("1", harbor)
    practice.patient("2", harbor)
    appointments = [by_day(number, number % 60 + 1, 1 + number % 2) for number in range(1, 130)]
    night = start_night(make_account(appointments=appointments))
    assert counts(night.run()["logs"][str(harbor)]) == (129, 0, 0, 0)

    practice.clock.advance(hours=2)
    for number in (1, 2):
        night.server.staff("cancel", id=f"{number:024x}")
    night.server.staff("delete", id=f"{3:024x}")
    practice.clock.advance(hours=2)
    summary = night.run()
    assert counts(summary["logs"][str(harbor)]) == (0, 3, 126, 0)
    assert len(night.server.requests()) == summary["requestsUsed"] == 2
    visits = practice.visits()
    assert {visits[f"{number:024x}"]["status"] for number in (1, 2, 3)} == {"cancelled"}
    assert visits[f"{3:024x}"]["deleted_in_ehr"]
    assert practice.claims(visits[f"{3:024x}"]["id"]) == set()

    # A third night finds the same deletion again and has nothing to do.
    assert counts(night.run()["logs"][str(harbor)]) == (0, 0, 129, 0)


def test_visit_made_long_ago_appears_when_the_window_reaches_its_day(
    practice: Practice, start_night: StartNight
) -> None:
    harbor = practice.organization()
    practice.patient("1", harbor)
    night = start_night(make_account(appointments=[by_day(1, 91)]))
    assert counts(night.run()["logs"][str(harbor)]) == (0, 0, 0, 0)
    practice.clock.advance(days=1)
    summary = night.run()
    assert counts(summary["logs"][str(harbor)]) == (1, 0, 0, 0)
    assert summary["requestsUsed"] == 3  # Changes, the new day, deletions.


def test_patient_of_two_organizations_is_applied_once_and_counted_in_both(
    practice: Practice, start_night: StartNight
) -> None:
    harbor, spring = practice.organization(), practice.organization()
    practice.patient("1", harbor, spring)
    night = start_night(make_account(appointments=[by_day(1, 1)]))
    logs = night.run()["logs"]
    assert counts(logs[str(harbor)]) == counts(logs[str(spring)]) == (1, 0, 0, 0)
    assert len(practice.visits()) == 1
    assert len(practice.rows("select patient_id from sync_patient_results")) == 1


def test_patients_are_found_by_address_and_birth_date_and_doubts_go_to_people(
    practice: Practice, start_night: StartNight
) -> None:
    ana = practice.patient(None, email=" Ana@Example.org", alternate_emails=[])
    twins = {str(practice.patient(None, email="twins@example.org")) for _ in range(2)}
    practice.patient(None, email="else@example.org", alternate_emails=["other.birth@example.org"], date_of_birth=None)
    account = make_account(
        appointments=[
            by_day(1, 1, 11, ClientEmail="ana@example.org"),
            by_day(2, 2, 11, ClientEmail=None),
            by_day(3, 3, 12, ClientEmail="twins@example.org"),
            by_day(4, 4, 12, ClientEmail="twins@example.org"),
            by_day(5, 5, 13, ClientEmail="other.birth@example.org"),
            by_day(6, 6, 14, ClientEmail="joana@example.org"),
        ]
    )
    night = start_night(account)
    night.run()
    assert {each["patient_id"] for each in practice.visits().values()} == {ana}
    assert set(practice.visits()) == {f"{1:024x}", f"{2:024x}"}
    assert practice.rows("select intakeq_client_id from patients where id = :id", id=ana) == [
        {"intakeq_client_id": "11"}
    ]
    asked = practice.rows(
        "select client_id, reason, candidate_patient_ids, state from match_reviews order by client_id"
    )
    assert [(row["client_id"], row["reason"]) for row in asked] == [
        ("12", "several_candidates"), ("13", "birth_date_differs"),
    ]  # fmt: skip
    assert set(asked[0]["candidate_patient_ids"]) == twins

    # People say which twin it is; the visits follow, and nobody is asked again.
    chosen = next(iter(twins))
    with practice.begin() as connection:
        connection.exec_driver_sql(f"update patients set intakeq_client_id = '12' where id = '{chosen}'")
    night.run()
    assert {str(practice.visits()[f"{number:024x}"]["patient_id"]) for number in (3, 4)} == {chosen}
    states = practice.rows("select state from match_reviews order by client_id")
    assert [row["state"] for row in states] == ["resolved", "open"]


def test_visit_gets_its_provider_once_the_practitioner_is_mapped(practice: Practice, start_night: StartNight) -> None:
    harbor = practice.organization()
    practice.patient("1", harbor)
    night = start_night(make_account(appointments=[by_day(1, 1, PractitionerId=OTHER_PRACTITIONER)]))
    night.run()
    visit = practice.visits()[f"{1:024x}"]
    assert visit["provider_id"] is None
    assert practice.claims(visit["id"]) == {("patient", False)}
    assert practice.rows("select metadata from sync_logs where organization_id is not null")[0]["metadata"] == {
        "unknownPractitionerVisits": 1
    }
    provider_id = practice.provider(OTHER_PRACTITIONER)
    assert counts(night.run()["logs"][str(harbor)]) == (0, 1, 0, 0)
    assert practice.visits()[f"{1:024x}"]["provider_id"] == provider_id
    assert practice.claims(visit["id"]) == {("person", False), ("patient", False)}


def test_brake_stops_a_run_that_would_cancel_too_much(practice: Practice, start_night: StartNight) -> None:
    harbor = practice.organization()
    practice.patient("1", harbor)
    night = start_night(make_account(appointments=[by_day(number, number) for number in range(1, 31)]))
    night.run()
    for number in range(1, 22):
        night.server.staff("cancel", id=f"{number:024x}")
    summary = night.run()
    assert (summary["state"], summary["error"]) == ("failed", "brake")
    assert summary["logs"][None]["error"] == "brake"
    assert {each["status"] for each in practice.visits().values()} == {"confirmed"}


def test_failing_ehr_fails_the_run_with_a_code_and_the_next_one_is_whole(
    practice: Practice, start_night: StartNight
) -> None:
    practice.patient("1", harbor := practice.organization())
    night = start_night(make_account(appointments=[by_day(1, 1)]))
    night.server.fail({"method": "GET", "path": "/appointments", "kind": "error_before", "status": 500, "times": 3})
    summary = night.run()
    assert (summary["state"], summary["error"], summary["requestsUsed"]) == ("failed", "ehr_unavailable", 3)
    assert practice.rows("select status, error_message from sync_logs") == [
        {"status": "failed", "error_message": "ehr_unavailable"}
    ]
    assert counts(night.run()["logs"][str(harbor)]) == (1, 0, 0, 0)


@dataclass
class OnePage(OpenBudget):
    """A budget that is exhausted after one request."""

    wait_seconds: float = 42.5

    def take(self, lane: Lane) -> None:
        if self.taken:
            raise BudgetExhausted(self.wait_seconds)
        super().take(lane)


@pytest.mark.parametrize(
    ("budget", "seconds_left", "delay_seconds"),
    [(OpenBudget(), 1.0, 1), (OnePage(), 900.0, 43)],
    ids=["time", "budget"],
)
def test_pull_goes_on_by_message_where_it_stopped(
    practice: Practice, start_night: StartNight, budget: OpenBudget, seconds_left: float, delay_seconds: int
) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=[by_day(n, n % 80 + 1) for n in range(1, 151)]), budget)
    run_id = practice.nightly(night.ehr, night.meter, seconds_left).start("automated_daily")
    assert practice.pull_queue.waiting == [({"runId": str(run_id)}, delay_seconds)]

    budget.taken.clear()
    whole = practice.nightly(night.ehr, night.meter)
    assert whole.start("automated_daily") == run_id  # Joined, not taken over: its worker was seen just now.
    assert practice.sync_queue.waiting == []
    while whole.summary(run_id)["state"] == "pulling":
        budget.taken.clear()
        whole.go_on(run_id)
    practice.apply_all()
    assert (whole.summary(run_id)["state"], whole.summary(run_id)["requestsUsed"]) == ("completed", 3)
    assert len(practice.visits()) == 150


def test_pull_without_a_day_s_budget_waits_in_the_database(practice: Practice, start_night: StartNight) -> None:
    night = start_night(make_account(), OnePage(wait_seconds=5 * 3600, taken=[Lane.BOOKING]))
    run_id = practice.nightly(night.ehr, night.meter).start("automated_daily")
    assert practice.pull_queue.waiting == []
    queues = SyncQueues(practice.pull_queue, practice.sync_queue, MemoryQueue())
    assert resume_stuck(practice.begin, practice.clock, queues)["pulls"] == 0
    practice.clock.advance(minutes=21)
    assert resume_stuck(practice.begin, practice.clock, queues)["pulls"] == 1
    assert practice.pull_queue.take() == [{"runId": str(run_id)}]
    assert resume_stuck(practice.begin, practice.clock, queues)["pulls"] == 0


@dataclass
class Overtaken:
    """An EHR whose first answer takes so long that another worker finishes the pull meanwhile."""

    ehr: Ehr
    meanwhile: Callable[[], object] | None

    def __getattr__(self, name: str) -> Any:
        other, self.meanwhile = self.meanwhile, None
        if other:
            other()
        return getattr(self.ehr, name)


def test_worker_that_is_overtaken_does_not_turn_the_pull_back(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=[by_day(n, n % 80 + 1) for n in range(1, 151)]))
    fast = practice.nightly(night.ehr, Meter(OpenBudget()))
    run, _ = open_run(practice.begin, practice.clock, "intakeq", "automated_daily")
    slow = practice.nightly(cast("Ehr", Overtaken(night.ehr, lambda: fast.go_on(run.id))), Meter(OpenBudget()))
    slow.go_on(run.id)
    assert len(practice.sync_queue.waiting) == 1
    assert practice.rows("select state, phase, rows_read from sync_runs") == [
        {"state": "applying", "phase": "pulled", "rows_read": 150}
    ]


def test_part_whose_message_was_lost_is_sent_again(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1", practice.organization())
    night = start_night(make_account(appointments=[by_day(1, 1)]))
    run_id = practice.nightly(night.ehr, night.meter).start("automated_daily")
    lost = practice.sync_queue.take()
    queues = SyncQueues(practice.pull_queue, practice.sync_queue, MemoryQueue())
    practice.clock.advance(minutes=5)
    assert resume_stuck(practice.begin, practice.clock, queues)["parts"] == 0  # They were sent, as far as we know.
    with practice.begin() as connection:
        connection.exec_driver_sql("update sync_logs set sent_at = null where organization_id is null")
    assert resume_stuck(practice.begin, practice.clock, queues)["parts"] == 1
    practice.clock.advance(minutes=16)
    assert resume_stuck(practice.begin, practice.clock, queues)["parts"] == 1
    again = practice.sync_queue.waiting
    assert sorted(str(message) for message, _ in again) == sorted(map(str, lost))
    practice.apply_all()
    assert practice.nightly(night.ehr, night.meter).summary(run_id)["state"] == "completed"


def test_call_by_hand_waits_for_the_workers_but_no_longer_than_told(
    practice: Practice, start_night: StartNight
) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=[by_day(1, 1)]))
    nightly = practice.nightly(night.ehr, night.meter)
    run_id = nightly.start("manual_org")
    nightly.wait(run_id, 0)
    assert nightly.summary(run_id)["state"] == "applying"
    replace(nightly, sleep=lambda _: practice.apply_all()).wait(run_id, 25)
    assert nightly.summary(run_id)["state"] == "completed"
