"""Applying the mirror: never twice, never halfway, and never stopped by one patient."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.booking.claims import Claim, Claims, lock
from moonlit.db import tables as t
from moonlit.db.engine import beginner, connect
from moonlit.sync.organizations import Organizations
from tests.fixtures_intakeq import NOON, PRACTITIONER, SERVICE, make_account, make_visit
from tests.fixtures_sync import Night, Practice, StartNight

ROOT = Path(__file__).parents[3]
TOMORROW = NOON + timedelta(days=1)


def of_client(number: int, client_id: int, starts_at: datetime = TOMORROW, **fields: Any) -> dict[str, Any]:
    email = f"client{client_id}@example.org"
    return make_visit(number, starts_at, ClientId=client_id, ClientEmail=email, **fields)


def pulled(night: Night) -> UUID:
    """Pull, and return the log of the one organization instead of letting the workers have it."""
    night.practice.nightly(night.ehr, night.meter).start("automated_daily")
    messages = night.practice.sync_queue.take()
    return next(UUID(message["syncLogId"]) for message in messages if message["organizationId"])


def log_counts(practice: Practice, log_id: UUID) -> dict[str, Any]:
    columns = "status, new, updated, unchanged, errors, patients_total, patients_processed"
    return dict(practice.rows(f"select {columns} from sync_logs where id = :id", id=log_id)[0])


@pytest.fixture
def ten_patients(practice: Practice, start_night: StartNight) -> Night:
    """Serve ten patients of one organization, each with two visits a day apart."""
    harbor = practice.organization()
    for client_id in range(1, 11):
        practice.patient(str(client_id), harbor)
    return start_night(
        make_account(
            appointments=[
                of_client(10 * client_id + day, client_id, NOON + timedelta(days=day, hours=client_id))
                for client_id in range(1, 11)
                for day in (1, 2)
            ]
        )
    )


WHOLE = {
    "status": "completed", "new": 20, "updated": 0, "unchanged": 0, "errors": 0, "patients_total": 10,
    "patients_processed": 10,
}  # fmt: skip


def test_same_message_again_changes_nothing(practice: Practice, ten_patients: Night) -> None:
    log_id = pulled(ten_patients)
    worker = Organizations(practice.begin, practice.clock, lambda: 900.0)
    assert worker.bring_up_to_date(log_id)
    before = practice.rows("select * from appointments order by id")
    assert worker.bring_up_to_date(log_id)
    assert log_counts(practice, log_id) == WHOLE
    assert practice.rows("select * from appointments order by id") == before


def test_two_workers_with_the_same_message_do_the_work_once(
    practice: Practice, ten_patients: Night, database_url: str
) -> None:
    log_id = pulled(ten_patients)
    engines = [connect(database_url) for _ in range(2)]
    workers = [Organizations(beginner(engine), practice.clock, lambda: 900.0, batch_patients=3) for engine in engines]
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(lambda worker: worker.bring_up_to_date(log_id), workers)) == [True, True]
    for engine in engines:
        engine.dispose()
    assert log_counts(practice, log_id) == WHOLE
    assert len(practice.rows("select id from appointments")) == 20
    assert len(practice.rows("select id from time_claims")) == 40


WORKER = """
import sys
from datetime import datetime
from uuid import UUID
from moonlit.clock import FixedClock
from moonlit.db.engine import beginner, connect
from moonlit.sync.organizations import Organizations
begin, clock = beginner(connect(sys.argv[1])), FixedClock(datetime.fromisoformat(sys.argv[3]))
Organizations(begin, clock, lambda: 900.0, batch_patients=3).bring_up_to_date(UUID(sys.argv[2]))
"""


def test_killed_worker_s_message_comes_again_and_the_rest_is_done(
    practice: Practice, ten_patients: Night, database_url: str
) -> None:
    log_id = pulled(ten_patients)
    last = max(row["id"] for row in practice.rows("select id::text as id from patients"))
    holder = connect(database_url)
    with holder.connect() as holding:
        lock(holding, [UUID(last)])  # The worker will wait here, in the middle of its last batch.
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, database_url, str(log_id), practice.clock.now().isoformat()],
            env={**os.environ, "PYTHONPATH": str(ROOT / "layers" / "common")},
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 30
            while len(practice.rows("select patient_id from sync_patient_results")) < 9:
                assert worker.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            worker.kill()
            worker.wait()
    holder.dispose()
    assert log_counts(practice, log_id) == WHOLE | {"status": "in_progress", "new": 0, "patients_processed": 9}
    assert Organizations(practice.begin, practice.clock, lambda: 900.0).bring_up_to_date(log_id)
    assert log_counts(practice, log_id) == WHOLE
    assert len(practice.rows("select id from appointments")) == 20
    assert {row["state"] for row in practice.rows("select state from sync_runs")} == {"applying"}  # One log is left.


def test_worker_out_of_time_leaves_the_rest_to_the_next(practice: Practice, ten_patients: Night) -> None:
    log_id = pulled(ten_patients)
    seconds = iter([900.0, 900.0, 5.0])
    worker = Organizations(practice.begin, practice.clock, lambda: next(seconds), batch_patients=3)
    assert not worker.bring_up_to_date(log_id)
    assert log_counts(practice, log_id)["patients_processed"] == 6
    practice.clock.advance(minutes=1)
    assert Organizations(practice.begin, practice.clock, lambda: 900.0).bring_up_to_date(log_id)
    assert log_counts(practice, log_id) == WHOLE
    refreshed = practice.rows("select last_practiceq_sync_at as at from patients order by id")
    assert [row["at"] for row in refreshed] == [NOON] * 6 + [practice.clock.now()] * 4


def test_failing_patient_stands_alone(practice: Practice, ten_patients: Night) -> None:
    poisoned = practice.rows("select id from patients order by id limit 1 offset 4")[0]["id"]
    with practice.begin() as connection:
        connection.exec_driver_sql(
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$"
        )
        connection.exec_driver_sql(
            "create trigger refuse before insert on appointments for each row"
            f" when (new.patient_id = '{poisoned}') execute function refuse()"
        )
    summary = ten_patients.run()
    assert summary["state"] == "partial"
    errors = practice.rows("select patient_id, errors, error_code from sync_patient_results where status = 'error'")
    assert errors == [{"patient_id": poisoned, "errors": 1, "error_code": "P0001"}]
    organization = next(log for name, log in summary["logs"].items() if name)
    assert (organization["status"], organization["new"], organization["errors"]) == ("partial", 18, 1)

    with practice.begin() as connection:
        connection.exec_driver_sql("drop trigger refuse on appointments")
    summary = ten_patients.run()
    assert (summary["counts"]["new"], summary["counts"]["unchanged"]) == (2, 18)


def test_number_of_statements_does_not_grow_with_the_batch(
    practice: Practice, start_night: StartNight, engine: sa.Engine
) -> None:
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    def count(first: int, patients: int) -> int:
        harbor = practice.organization()
        for client_id in range(first, first + patients):
            practice.patient(str(client_id), harbor)
        night = start_night(
            make_account(appointments=[of_client(client_id, client_id) for client_id in range(first, first + patients)])
        )
        log_id = pulled(night)
        statements.clear()
        assert Organizations(practice.begin, practice.clock, lambda: 900.0).bring_up_to_date(log_id)
        assert log_counts(practice, log_id)["new"] == patients
        practice.add(t.organizations, name="Closed")  # Keep the next pull apart from this one.
        with practice.begin() as connection:
            connection.exec_driver_sql("update organizations set active = false")
            connection.exec_driver_sql("update ehr_accounts set synced_through = null")
        return len(statements)

    assert count(1, 2) == count(100, 60)


def book(practice: Practice, patient_id: UUID, start: datetime, *, sent: bool) -> UUID:
    """Leave a booking as it is between its first and last transaction, or as it is after both."""
    appointment_id = practice.visit(
        patient_id, None, start=start, status="pending" if sent else "confirmed", provider_id=practice.provider_id,
        service_id=practice.service_id,
    )  # fmt: skip
    with practice.begin() as connection:
        end = start + timedelta(minutes=70)  # A buffer of ten minutes.
        persons = [Claim("person", practice.provider_id, start, end), Claim("patient", patient_id, start, end)]
        Claims(connection).add(appointment_id, persons)
    practice.add(
        t.ehr_writes,
        account_id=practice.account_id,
        appointment_id=appointment_id,
        kind="book",
        state="sending" if sent else "confirmed",
        practitioner_id=PRACTITIONER,
        client_id="1",
        ehr_service_id=SERVICE,
        starts_at=start,
        created_at=NOON,
        next_look_at=NOON,
    )
    return appointment_id


def test_our_own_visit_that_comes_back_first_completes_its_booking(practice: Practice, start_night: StartNight) -> None:
    patient_id = practice.patient("1")
    booked = book(practice, patient_id, TOMORROW, sent=True)
    summary = start_night(make_account(appointments=[of_client(1, 1)])).run()
    assert (summary["counts"]["new"], summary["counts"]["updated"]) == (0, 1)
    visit = practice.visits()[f"{1:024x}"]
    assert (visit["id"], visit["status"], visit["location_info"]["kind"]) == (booked, "confirmed", "telehealth")
    assert practice.rows("select state, external_id from ehr_writes") == [
        {"state": "confirmed", "external_id": f"{1:024x}"}
    ]
    assert practice.claims(booked) == {("person", True), ("patient", True)}  # Still ours, buffers included.
    assert practice.rows("select id from schedule_conflicts") == []


def test_a_row_of_somebody_else_does_not_complete_a_booking(practice: Practice, start_night: StartNight) -> None:
    booked = book(practice, practice.patient("1"), TOMORROW, sent=True)
    practice.patient("2")
    start_night(make_account(appointments=[of_client(1, 2)])).run()
    assert practice.rows("select status from appointments where id = :id", id=booked) == [{"status": "pending"}]
    assert practice.visits()[f"{1:024x}"]["id"] != booked


def test_row_over_a_local_booking_opens_one_conflict_and_no_error(practice: Practice, start_night: StartNight) -> None:
    booked = book(practice, practice.patient("1"), TOMORROW, sent=False)
    practice.patient("2")
    night = start_night(make_account(appointments=[of_client(1, 2, TOMORROW + timedelta(minutes=65))]))
    assert night.run()["counts"]["errors"] == 0
    conflict = {"appointment_id": booked, "external_id": f"{1:024x}", "state": "open"}
    found = "select appointment_id, external_id, state from schedule_conflicts"
    assert practice.rows(found) == [conflict]
    night.server.staff("update", id=f"{1:024x}", minutes=45)
    night.run()
    assert practice.rows(found) == [conflict]


def test_ehr_wins_on_time_and_status_and_ours_stays_ours(practice: Practice, start_night: StartNight) -> None:
    payer_id = practice.add(t.payers, name="Aspen PPO", type="private")
    instance_id = practice.add(
        t.service_instances, service_id=practice.service_id, payer_id=payer_id, location="Telehealth", pos_code="10"
    )
    visit_id = practice.visit(
        practice.patient("1"), f"{1:024x}", start=TOMORROW, status="cancelled", payer_id=payer_id,
        service_instance_id=instance_id, status_reason="patient_asked",
    )  # fmt: skip
    moved = TOMORROW + timedelta(hours=3)
    start_night(make_account(appointments=[of_client(1, 1, moved)])).run()
    visit = practice.visits()[f"{1:024x}"]
    assert (visit["id"], visit["start"], visit["status"]) == (visit_id, moved, "confirmed")
    assert (visit["payer_id"], visit["service_instance_id"]) == (payer_id, instance_id)
    assert (visit["status_reason"], visit["sequence"]) == (None, 1)
    claimed = "select lower(span) as start, upper(span) as end from time_claims where resource_kind = 'person'"
    assert practice.rows(claimed) == [{"start": moved, "end": moved + timedelta(hours=1)}]


def test_claims_go_where_the_visit_goes(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    visit = of_client(1, 1)
    start_night(make_account(appointments=[visit])).run()
    moved = TOMORROW + timedelta(hours=2)
    with practice.begin() as connection:  # As if the pull had asked for the whole window again.
        connection.exec_driver_sql("update ehr_accounts set synced_through = null")
    start_night(make_account(appointments=[of_client(1, 1, moved, LastModified=visit["LastModified"] + 1)])).run()
    claimed = "select resource_kind, lower(span) as start from time_claims order by resource_kind"
    assert practice.rows(claimed) == [{"resource_kind": kind, "start": moved} for kind in ("patient", "person")]


def test_cancellation_of_ours_that_is_under_way_is_not_undone(practice: Practice, start_night: StartNight) -> None:
    visit_id = practice.visit(practice.patient("1"), f"{1:024x}", start=TOMORROW, status="cancelled")
    write = {
        "id": uuid4(), "account_id": practice.account_id, "appointment_id": visit_id, "kind": "cancel",
        "state": "waiting", "practitioner_id": PRACTITIONER, "ehr_service_id": SERVICE, "starts_at": TOMORROW,
        "created_at": NOON, "next_look_at": NOON,
    }  # fmt: skip
    practice.add(t.ehr_writes, **write)
    night = start_night(make_account(appointments=[of_client(1, 1)]))
    night.run()
    assert practice.visits()[f"{1:024x}"]["status"] == "cancelled"
    with practice.begin() as connection:
        connection.exec_driver_sql("update ehr_writes set state = 'failed'")
    night.run()
    assert practice.visits()[f"{1:024x}"]["status"] == "confirmed"


@pytest.mark.parametrize("client_id", [1, 99], ids=["another_patient", "nobody"])
def test_visit_whose_client_is_somebody_else_by_now_follows_the_ehr_and_stays_its_patient_s(
    practice: Practice, start_night: StartNight, client_id: int
) -> None:
    practice.patient("1")
    patient_id = practice.patient("2", harbor := practice.organization())
    practice.visit(patient_id, f"{1:024x}", start=TOMORROW)
    night = start_night(make_account(appointments=[of_client(1, client_id)]))
    night.run()
    practice.clock.advance(hours=1)
    night.server.staff("cancel", id=f"{1:024x}")
    summary = night.run()
    assert (summary["counts"]["updated"], summary["logs"][str(harbor)]["updated"], summary["state"]) == (
        1, 1, "completed",
    )  # fmt: skip
    visit = practice.visits()[f"{1:024x}"]
    assert (visit["patient_id"], visit["status"]) == (patient_id, "cancelled")
    assert practice.claims(visit["id"]) == set()
    assert practice.rows("select client_id, reason, candidate_patient_ids, state from match_reviews") == [
        {
            "client_id": str(client_id),
            "reason": "client_changed",
            "candidate_patient_ids": [str(patient_id)],
            "state": "open",
        }
    ]


def test_timeline_says_what_changed_and_only_then(practice: Practice, start_night: StartNight) -> None:
    patient_id = practice.patient("1")
    practice.patient("2")
    night = start_night(make_account(appointments=[of_client(1, 1)]))
    run_id = night.run()["runId"]
    night.run()
    lines = practice.rows("select patient_id, actor, details from patient_activity_log")
    assert lines == [
        {
            "patient_id": patient_id,
            "actor": "automated_daily",
            "details": {"runId": run_id, "new": 1, "updated": 0, "unchanged": 0, "errors": 0},
        }
    ]
    assert {row["at"] for row in practice.rows("select last_practiceq_sync_at as at from patients")} == {NOON}
