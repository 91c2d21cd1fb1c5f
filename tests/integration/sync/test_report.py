"""What admins are told of nights: a summary each, and an alert when a night failed, erred too much or does not end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.sync.report import report_nights
from tests.fixtures_intakeq import NOON, make_account, make_visit
from tests.fixtures_sync import Night, Practice, StartNight


def told(practice: Practice) -> dict[str, Any]:
    report_nights(practice.begin, practice.clock)
    return {
        row["kind"]: row["payload"] for row in practice.rows("select kind, payload from outbox order by created_at")
    }


@pytest.fixture
def night(practice: Practice, start_night: StartNight) -> Night:
    practice.patient("4821", practice.organization(), practice.organization())
    return start_night(make_account(appointments=[make_visit(1, NOON + timedelta(days=1))]))


def test_night_that_went_well_is_summed_up_once(practice: Practice, night: Night) -> None:
    run_id = night.run()["runId"]
    practice.clock.advance(minutes=1)
    assert report_nights(practice.begin, practice.clock) == {"nights_told": 1}
    assert report_nights(practice.begin, practice.clock) == {}
    assert told(practice) == {
        "night_summary": {
            "nightId": run_id, "runIds": [run_id], "codes": [], "requestsUsed": 2, "organizations": 2, "patients": 1,
            "patientsFailed": 0, "counts": {"new": 1, "updated": 0, "unchanged": 0, "errors": 0},
            "startedAt": "2027-03-10T19:00:00+00:00", "finishedAt": "2027-03-10T19:00:00+00:00",
        }
    }  # fmt: skip
    practice.clock.advance(days=1)
    night.run()
    assert report_nights(practice.begin, practice.clock) == {"nights_told": 1}


def test_night_that_is_not_over_is_not_told_until_it_takes_too_long(practice: Practice, night: Night) -> None:
    practice.nightly(night.ehr, night.meter).start("automated_daily")  # Nobody takes the parts' messages.
    practice.clock.advance(hours=11)
    assert told(practice) == {}
    practice.clock.advance(hours=2)
    assert list(told(practice)) == ["staff_alert.night_not_over"]
    practice.apply_all()
    assert set(told(practice)) == {"staff_alert.night_not_over", "night_summary"}


def test_failed_night_alerts_with_its_code(practice: Practice, night: Night) -> None:
    night.server.fail({"kind": "error_before", "times": None})
    night.run()
    found = told(practice)
    assert set(found) == {"night_summary", "staff_alert.night_failed"}
    assert found["staff_alert.night_failed"]["codes"] == ["ehr_unavailable"]
    assert found["staff_alert.night_failed"]["reason"] == "night_failed"


def test_brake_alerts(practice: Practice, night: Night) -> None:
    patient_id = practice.patient("77")
    for number in range(100, 125):
        practice.visit(patient_id, f"{number:024x}")
    night.run()
    practice.clock.advance(days=1)
    with practice.begin() as connection:
        connection.exec_driver_sql(
            "update ehr_accounts set synced_through = null, window_first = null, window_last = null"
        )
        connection.exec_driver_sql(
            "insert into ehr_appointments (account_id, external_id, span, status, modified_at, content_hash, raw, seen_at)"
            " select account_id, external_id, tstzrange('2027-03-12', '2027-03-12 01:00'), 'confirmed', '2027-03-01', 'x', '{}',"
            " '2027-03-01' from appointment_external_ids where external_id like '%000000000000000000000%' on conflict do nothing"
        )
    night.run()
    assert told(practice)["staff_alert.night_failed"]["codes"] == ["brake"]


def add_run(practice: Practice, account_id: UUID, **more: Any) -> UUID:
    """Add a night's run that is over."""
    return practice.add(
        t.sync_runs, account_id=account_id, sync_type="automated_daily", state="partial", phase="pulled",
        window_first=NOON.date(), window_last=NOON.date(), started_at=NOON, touched_at=NOON, finished_at=NOON, **more,
    )  # fmt: skip


def add_results(practice: Practice, run_id: UUID, patients: list[UUID], failing: int) -> None:
    results = [
        {"run_id": run_id, "patient_id": patient_id, "at": NOON, "status": status, "errors": errors, "unchanged": seen}
        for number, patient_id in enumerate(patients)
        for status, errors, seen in [("error", 1, 0) if number < failing else ("synced", 0, 2)]
    ]
    with practice.begin() as connection:
        connection.execute(sa.insert(t.sync_patient_results), results)


@pytest.mark.parametrize(("failing", "alerts"), [(2, False), (3, True)])
def test_more_than_five_in_a_hundred_patients_alert(practice: Practice, failing: int, *, alerts: bool) -> None:
    run_id = add_run(practice, practice.account_id)
    add_results(practice, run_id, [practice.patient() for _ in range(40)], failing)
    assert ("staff_alert.night_errors" in told(practice)) is alerts


def test_patients_of_two_accounts_and_two_organizations_are_counted_once(practice: Practice) -> None:
    night_id: UUID = uuid4()
    accounts = [practice.account_id, practice.add(t.ehr_accounts, system="athena", per_minute=10)]
    organizations = [practice.organization(), practice.organization()]
    patients = [practice.patient() for _ in range(20)]
    for account_id, failing in zip(accounts, (2, 0), strict=True):
        run_id = add_run(practice, account_id, night_id=night_id)
        add_results(practice, run_id, patients, failing)
        for organization_id in organizations:
            practice.add(
                t.sync_logs, run_id=run_id, organization_id=organization_id, sync_type="automated_daily",
                status="partial", patients_total=20, patients_processed=20, errors=failing, started_at=NOON,
                touched_at=NOON, completed_at=NOON,
            )  # fmt: skip
    alert = told(practice)["staff_alert.night_errors"]
    assert (alert["patients"], alert["patientsFailed"], alert["organizations"]) == (20, 2, 2)
    assert alert["counts"] == {"new": 0, "updated": 0, "unchanged": 2 * (18 + 20), "errors": 2}


def test_accounts_of_one_night_are_one_report_and_refreshes_are_none(practice: Practice) -> None:
    night_id: UUID = uuid4()
    accounts = [practice.account_id, practice.add(t.ehr_accounts, system="athena", per_minute=10)]
    for account_id, finished_at in zip(accounts, (NOON, None), strict=True):
        practice.add(
            t.sync_runs, account_id=account_id, night_id=night_id, sync_type="automated_daily",
            state="completed" if finished_at else "applying", phase="pulled", window_first=NOON.date(),
            window_last=NOON.date(), started_at=NOON, touched_at=NOON, finished_at=finished_at, requests_used=3,
        )  # fmt: skip
    practice.add(
        t.sync_runs, account_id=practice.account_id, sync_type="manual_org", state="failed", phase="pulled", error="brake",
        window_first=NOON.date(), window_last=NOON.date(), started_at=NOON, touched_at=NOON, finished_at=NOON,
    )  # fmt: skip
    assert told(practice) == {}
    practice.rows(
        "update sync_runs set finished_at = started_at, state = 'completed' where state = 'applying' returning 1"
    )
    assert told(practice)["night_summary"]["requestsUsed"] == 6
    assert told(practice)["night_summary"]["nightId"] == str(night_id)


def test_account_that_ended_long_before_the_other_is_part_of_the_night(practice: Practice) -> None:
    practice.clock.advance(days=3)
    now, night_id = practice.clock.now(), uuid4()
    ends = {practice.account_id: NOON, practice.add(t.ehr_accounts, system="athena", per_minute=10): now}
    for account_id, finished_at in ends.items():
        practice.add(
            t.sync_runs, account_id=account_id, night_id=night_id, sync_type="automated_daily", state="completed",
            phase="pulled", window_first=NOON.date(), window_last=NOON.date(), started_at=NOON, touched_at=NOON,
            finished_at=finished_at, requests_used=3,
        )  # fmt: skip
    practice.add(
        t.sync_runs, account_id=practice.account_id, sync_type="automated_daily", state="completed", phase="pulled",
        window_first=NOON.date(), window_last=NOON.date(), started_at=NOON, touched_at=NOON, finished_at=NOON,
    )  # fmt: skip
    assert report_nights(practice.begin, practice.clock) == {"nights_told": 1}
    (summary,) = told(practice).values()
    assert (summary["nightId"], len(summary["runIds"]), summary["requestsUsed"]) == (str(night_id), 2, 6)
    assert summary["startedAt"] == NOON.isoformat()
