"""Parts of a run that one worker does together: each log tells what it would tell alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db.engine import beginner, connect
from moonlit.sync.organizations import Organizations
from tests.fixtures_intakeq import NOON, make_account, make_visit
from tests.fixtures_sync import Night, Practice, StartNight

REFUSE = "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$"


@pytest.fixture
def houses(practice: Practice) -> list[UUID]:
    """Return three organizations: the first two share client 2, the third has nobody."""
    first, second, empty = (practice.organization() for _ in range(3))
    practice.patient("1", first)
    practice.patient("2", first, second)
    practice.patient("3", second)
    practice.patient("4")
    return [first, second, empty]


@pytest.fixture
def pulled(practice: Practice, houses: list[UUID], start_night: StartNight) -> dict[UUID | None, UUID]:
    """Pull two visits of each client and return the logs by organization."""
    assert houses
    visits = [
        make_visit(
            10 * client + day,
            NOON + timedelta(days=day, hours=client),
            ClientId=client,
            ClientEmail=f"client{client}@example.org",
        )
        for client in range(1, 5)
        for day in (1, 2)
    ]
    night: Night = start_night(make_account(appointments=visits))
    practice.nightly(night.ehr, night.meter).start("automated_daily")
    messages = practice.sync_queue.take()
    return {
        UUID(each["organizationId"]) if each["organizationId"] else None: UUID(each["syncLogId"]) for each in messages
    }


def told(practice: Practice) -> dict[UUID | None, tuple[Any, ...]]:
    found = practice.rows(
        "select organization_id, status, new, unchanged, errors, patients_total, patients_processed from sync_logs"
    )
    return {row["organization_id"]: tuple(row.values())[1:] for row in found}


def worker(practice: Practice, *seconds: float, batch_patients: int = 200) -> Organizations:
    left = iter(seconds)
    return Organizations(practice.begin, practice.clock, lambda: next(left, 900.0), batch_patients)


def run_state(practice: Practice) -> str:
    return str(practice.rows("select state from sync_runs")[0]["state"])


def test_patient_of_two_is_applied_once_and_counted_in_both(
    practice: Practice, houses: list[UUID], pulled: dict[UUID | None, UUID]
) -> None:
    first, second, empty = houses
    assert worker(practice).bring_all_up_to_date(pulled.values()) == []
    whole = ("completed", 4, 0, 0, 2, 2)
    assert told(practice) == {
        first: whole, second: whole, empty: ("completed", 0, 0, 0, 0, 0), None: ("completed", 2, 0, 0, 1, 1),
    }  # fmt: skip
    assert len(practice.rows("select id from appointments")) == 8
    assert len(practice.rows("select id from patient_activity_log")) == 4
    assert run_state(practice) == "completed"


def test_who_runs_out_of_time_says_how_far_each_log_is_and_the_next_does_the_rest(
    practice: Practice, houses: list[UUID], pulled: dict[UUID | None, UUID]
) -> None:
    ours = [pulled[house] for house in houses]
    left = worker(practice, 900.0, 900.0, 5.0, batch_patients=1).bring_all_up_to_date(ours)
    assert sorted(left) == sorted(ours)
    done = {row["patient_id"] for row in practice.rows("select patient_id from sync_patient_results")}
    assert len(done) == 2
    members = practice.rows("select organization_id, patient_id from patient_organization_affiliations")
    for house in houses:
        theirs = {row["patient_id"] for row in members if row["organization_id"] == house}
        assert told(practice)[house][-2:] == (len(theirs), len(theirs & done))
    assert worker(practice).bring_all_up_to_date(pulled.values()) == []
    assert [told(practice)[house][:2] for house in houses] == [("completed", 4), ("completed", 4), ("completed", 0)]
    assert len(practice.rows("select id from patient_activity_log")) == 4  # Nobody was done twice.


def test_failing_patient_is_counted_where_they_belong_and_stays_failed_in_this_run(
    practice: Practice, houses: list[UUID], pulled: dict[UUID | None, UUID]
) -> None:
    poisoned = practice.rows("select id from patients where intakeq_client_id = '3'")[0]["id"]
    with practice.begin() as connection:
        connection.exec_driver_sql(REFUSE)
        connection.exec_driver_sql(
            "create trigger refuse before insert on appointments for each row"
            f" when (new.patient_id = '{poisoned}') execute function refuse()"
        )
    first, second, _ = houses
    assert worker(practice).bring_all_up_to_date([pulled[first], pulled[second]]) == []
    assert told(practice)[first] == ("completed", 4, 0, 0, 2, 2)
    assert told(practice)[second] == ("partial", 2, 0, 1, 2, 2)
    with practice.begin() as connection:
        connection.exec_driver_sql("drop trigger refuse on appointments")
    assert worker(practice).bring_all_up_to_date(pulled.values()) == []
    assert told(practice)[second] == ("partial", 2, 0, 1, 2, 2)
    assert run_state(practice) == "partial"


def test_two_workers_with_the_same_logs_do_the_work_once_and_end_the_run(
    practice: Practice, houses: list[UUID], pulled: dict[UUID | None, UUID], database_url: str
) -> None:
    engines = [connect(database_url) for _ in range(2)]
    workers = [Organizations(beginner(engine), practice.clock, lambda: 900.0, batch_patients=1) for engine in engines]
    orders = [list(pulled.values()), list(reversed(pulled.values()))]
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(Organizations.bring_all_up_to_date, workers, orders)) == [[], []]
    for engine in engines:
        engine.dispose()
    assert [told(practice)[house][:2] for house in houses] == [("completed", 4), ("completed", 4), ("completed", 0)]
    assert len(practice.rows("select id from appointments")) == 8
    assert run_state(practice) == "completed"


def test_run_is_ended_by_whoever_is_last(practice: Practice, pulled: dict[UUID | None, UUID]) -> None:
    for number, log_id in enumerate(pulled.values(), 1):
        assert worker(practice).bring_up_to_date(log_id)
        assert run_state(practice) == ("completed" if number == len(pulled) else "applying")


def test_logs_of_two_runs_are_ended_each_with_its_own(
    practice: Practice, houses: list[UUID], pulled: dict[UUID | None, UUID]
) -> None:
    with practice.begin() as connection:  # Another run of the same night, for the first house alone.
        run_id, log_id = uuid4(), uuid4()
        connection.execute(
            sa.text("""
                insert into sync_runs
                select (jsonb_populate_record(r, jsonb_build_object('id', cast(:run as text)))).* from sync_runs r
            """),
            {"run": str(run_id)},
        )
        connection.execute(
            sa.text("""
                insert into sync_logs select (jsonb_populate_record(
                    l, jsonb_build_object('id', cast(:log as text), 'run_id', cast(:run as text)))).*
                from sync_logs l where organization_id = :house
            """),
            {"run": str(run_id), "log": str(log_id), "house": houses[0]},
        )
    assert worker(practice).bring_all_up_to_date([log_id, pulled[houses[0]]]) == []
    states = practice.rows("select id, state from sync_runs")
    assert {row["id"]: row["state"] for row in states}[run_id] == "completed"
    assert sorted(row["state"] for row in states) == ["applying", "completed"]
    news = practice.rows("select new, unchanged from sync_logs where organization_id = :house", house=houses[0])
    assert sorted(tuple(row.values()) for row in news) == [(0, 4), (4, 0)]  # Applied once, by whichever came first.
