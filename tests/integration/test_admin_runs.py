"""Sync runs that people start or allow to go on, and what the EHRs still let us ask, over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.audit.store import Actor
from moonlit.db import tables as t
from moonlit.ehr.budget import DatabaseBudget
from moonlit.ehr.port import Lane
from moonlit.sync.brakes import stands_braked
from moonlit.sync.refreshes import Refreshes
from moonlit.sync.window import Window
from tests.fixtures_access import add_staff, as_user
from tests.fixtures_functions import Functions, functions
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, account_of, as_admin, audited

__all__ = ["functions", "open_intakeq", "start_intakeq"]

BUDGET, START, CONFIRM = "admin/ehr_budget", "admin/start_sync_runs", "admin/confirm_sync_run"


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def ask(functions: Functions, event: dict[str, Any]) -> tuple[int, Any]:
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def run_of(functions: Functions, run_id: Any) -> Any:
    return functions.rows("select * from sync_runs where id = :id", id=UUID(str(run_id)))[0]


def finish(functions: Functions) -> None:
    """Do what the functions behind the queues do."""
    assert functions.call("sync_cron", functions.take("PullQueue")) == {"batchItemFailures": []}
    assert functions.call("sync_org", functions.take("SyncQueue")) == {"batchItemFailures": []}


def finish_days(functions: Functions) -> None:
    """Let the runs that read days again pass, and leave the others as they are."""
    functions.execute("update sync_runs set state = 'completed', finished_at = touched_at where reads = 'days'")


@pytest.mark.parametrize("name", [BUDGET, START, CONFIRM])
def test_nobody_but_an_admin_may(functions: Functions, name: str) -> None:
    add_staff(functions, "biller", "s-1")
    assert functions.call("admin", as_user(name, sub="s-1"))["statusCode"] == 403
    assert functions.rows("select 1 from sync_runs") == []


# ── Runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("body", [None, "{}", '{"system": "intakeq"}'])
def test_a_run_is_opened_and_left_to_the_queue(functions: Functions, admin: UUID, body: str | None) -> None:
    event = as_admin(START)
    event.pop("body")
    status, said = ask(functions, event | ({"body": body} if body else {}))
    (run,) = said["runs"]
    assert (status, run["system"]) == (202, "intakeq")
    opened = run_of(functions, run["runId"])
    assert (opened["requests_used"], opened["requested_by"]) == (0, f"staff:{admin}")
    (change,) = audited(functions, "start")
    assert (change["entity"], change["entity_id"], change["actor_id"]) == ("sync_run", run["runId"], admin)
    finish(functions)
    assert (run_of(functions, run["runId"])["state"], run_of(functions, run["runId"])["sync_type"]) == (
        "completed",
        "manual_org",
    )


def test_who_asks_while_a_run_is_under_way_is_told_of_that_one(functions: Functions, admin: UUID) -> None:
    first = ask(functions, as_admin(START))[1]
    assert ask(functions, as_admin(START)) == (202, first)
    assert functions.queues["PullQueue"].take() == [{"runId": first["runs"][0]["runId"]}]


def test_every_account_has_its_run_under_one_night(functions: Functions, admin: UUID) -> None:
    with functions.begin() as connection:
        connection.execute(sa.insert(t.ehr_accounts).values(system="athena", per_minute=100))
    _, said = ask(functions, as_admin(START, "{}"))
    assert [run["system"] for run in said["runs"]] == ["intakeq", "athena"]
    nights = {run_of(functions, run["runId"])["night_id"] for run in said["runs"]}
    assert (len(nights), nights & {None}) == (1, set())
    assert len(functions.queues["PullQueue"].take()) == 2


def test_an_account_that_is_not_there_has_no_run(functions: Functions, admin: UUID) -> None:
    assert ask(functions, as_admin(START, '{"system": "athena"}'))[0] == 404
    assert ask(functions, as_admin(START, '{"system": "other"}'))[0] == 422
    assert functions.rows("select 1 from sync_runs") == audited(functions, "start") == []


# ── After the brake ───────────────────────────────────────────────────────────────────────────────────────────────────


def stopped(functions: Functions, **values: Any) -> UUID:
    """Store a run that the brake has stopped."""
    row = {
        "id": uuid4(), "account_id": account_of(functions), "sync_type": "automated_daily", "state": "failed",
        "phase": "pulled", "window_first": NOON.date(), "window_last": NOON.date(), "error": "brake",
        "started_at": NOON - timedelta(hours=9), "touched_at": NOON, "finished_at": NOON, **values,
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.sync_runs).values(row))
    return UUID(str(row["id"]))


def stands_braked_here(functions: Functions, days: Window | None = None) -> bool:
    account_id = account_of(functions)
    with functions.begin() as connection:
        return stands_braked(connection, account_id, days)


def confirm(functions: Functions, run_id: UUID) -> tuple[int, Any]:
    return ask(functions, as_admin(CONFIRM, runId=run_id))


def test_what_the_brake_stopped_goes_on_in_a_run_of_its_own(functions: Functions, admin: UUID) -> None:
    run_id = stopped(functions)
    status, said = confirm(functions, run_id)
    (run,) = said["runs"]
    assert (status, run["system"]) == (202, "intakeq")
    assert run_of(functions, run["runId"])["brake_confirmed"]
    (change,) = audited(functions, "confirm_brake")
    assert (change["entity_id"], change["actor_id"]) == (str(run_id), admin)
    assert change["after"] == {"confirmedBy": run["runId"]}
    assert confirm(functions, run_id) == (202, said)  # It is under way, and nothing has passed yet.
    finish(functions)
    assert run_of(functions, run["runId"])["state"] == "completed"
    status, said = confirm(functions, run_id)
    assert (status, said["type"].rpartition("/")[2]) == (409, "run-not-stopped")


@pytest.mark.parametrize(
    "values",
    [{"error": "ehr_unavailable"}, {"state": "completed", "error": None}, {"state": "applying", "error": None}],
)
def test_a_run_that_the_brake_did_not_stop_cannot_be_confirmed(
    functions: Functions, admin: UUID, values: dict[str, Any]
) -> None:
    status, said = confirm(functions, stopped(functions, **values))
    assert (status, said["type"].rpartition("/")[2]) == (409, "run-not-stopped")
    assert functions.queues["PullQueue"].take() == []
    assert audited(functions, "confirm_brake") == []


UNDER_WAY: dict[str, Any] = {"state": "pulling", "error": None, "finished_at": None}
PASSED: dict[str, Any] = {"state": "completed", "error": None}


@pytest.mark.parametrize(
    "later",
    [
        {},  # A refresh whose reading the brake has stopped as well.
        {"error": "ehr_unavailable"},
        {**UNDER_WAY, "reads": "nothing"},
        {**UNDER_WAY, "reads": "changes"},
        {**PASSED, "reads": "days"},
    ],
    ids=str,
)
def test_a_night_is_confirmed_whatever_ran_later_and_did_not_pass(
    functions: Functions, admin: UUID, later: dict[str, Any]
) -> None:
    run_id = stopped(functions)
    stopped(functions, started_at=NOON, **later)
    assert stands_braked_here(functions)
    assert confirm(functions, run_id)[0] == 202


@pytest.mark.parametrize(
    ("state", "reads"), [("applying", "changes"), ("completed", "nothing"), ("partial", "changes")]
)
def test_what_has_passed_since_leaves_nothing_to_confirm(
    functions: Functions, admin: UUID, state: str, reads: str
) -> None:
    run_id = stopped(functions)
    stopped(functions, started_at=NOON, error=None, state=state, reads=reads)
    assert not stands_braked_here(functions)
    assert confirm(functions, run_id)[0] == 409
    again = stopped(functions, started_at=NOON + timedelta(hours=1))
    assert stands_braked_here(functions)
    assert (confirm(functions, run_id)[0], confirm(functions, again)[0]) == (409, 202)


def test_a_refresh_that_the_brake_stopped_is_confirmed_as_well_as_the_night(functions: Functions, admin: UUID) -> None:
    night, refresh = stopped(functions), stopped(functions, started_at=NOON, sync_type="manual_org", reads="nothing")
    said = confirm(functions, refresh)
    assert said[0] == 202
    assert confirm(functions, night) == said
    assert confirm(functions, uuid4())[0] == 404


def test_another_account_s_runs_say_nothing(functions: Functions, admin: UUID) -> None:
    run_id, athena = stopped(functions), uuid4()
    with functions.begin() as connection:
        connection.execute(sa.insert(t.ehr_accounts).values(id=athena, system="athena", per_minute=100))
    stopped(functions, started_at=NOON, account_id=athena, **PASSED)
    assert confirm(functions, run_id)[0] == 202
    with functions.begin() as connection:
        assert not stands_braked(connection, athena)


def test_days_that_were_read_again_are_confirmed_as_such(functions: Functions, admin: UUID) -> None:
    run_id = stopped(functions, reads="days")
    stopped(functions, started_at=NOON, state="completed", error=None)  # A night in between is of another kind.
    (run,) = confirm(functions, run_id)[1]["runs"]
    opened = run_of(functions, run["runId"])
    assert (opened["reads"], opened["window_first"], opened["brake_confirmed"]) == ("days", NOON.date(), True)
    assert confirm(functions, run_id)[1]["runs"] == [run]  # Who asks twice reads no more for it.


def test_days_are_settled_by_a_later_reading_of_all_of_them(functions: Functions, admin: UUID) -> None:
    today, tomorrow = NOON.date(), NOON.date() + timedelta(days=1)
    one = stopped(functions, reads="days")
    both = stopped(functions, reads="days", window_last=tomorrow)
    assert not stands_braked_here(functions)
    stopped(functions, started_at=NOON, reads="days", **PASSED)
    assert (confirm(functions, one)[0], confirm(functions, both)[0]) == (409, 202)
    assert stands_braked_here(functions, Window(today, tomorrow))
    assert not stands_braked_here(functions, Window(today, today))


def test_a_refresh_by_a_partner_leaves_a_braked_night_to_be_confirmed(functions: Functions, admin: UUID) -> None:
    night = stopped(functions)
    refreshes = Refreshes(functions.begin, functions.clock, functions.queues["PullQueue"])
    for days in (None, Window(NOON.date(), NOON.date())):
        house = uuid4()
        with functions.begin() as connection:
            connection.execute(sa.insert(t.organizations).values(id=house, name="Harbor"))
        refreshes.start(house, Actor("partner", uuid4(), house), days)
    finish_days(functions)
    (run,) = confirm(functions, night)[1]["runs"]
    assert run_of(functions, run["runId"])["brake_confirmed"]


# ── Budget ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def lanes(account: Any) -> dict[str, tuple[int, int | None]]:
    return {each["lane"]: (each["leftThisMinute"], each["leftToday"]) for each in account["lanes"]}


def test_the_budget_shows_what_each_lane_has_left(functions: Functions, admin: UUID) -> None:
    functions.execute("update ehr_accounts set per_minute = 10, per_day = 500")
    budget = DatabaseBudget(functions.begin, account_of(functions), functions.clock)
    for _ in range(3):
        budget.take(Lane.NIGHTLY)
    functions.clock.advance(minutes=5)
    for _ in range(4):
        budget.take(Lane.NIGHTLY)
    (account,) = ask(functions, as_admin(BUDGET))[1]["items"]
    assert {name: value for name, value in account.items() if name != "lanes"} == {
        "system": "intakeq", "perMinute": 10, "perDay": 500, "usedThisMinute": 4, "usedToday": 7, "blockedUntil": None,
    }  # fmt: skip
    assert lanes(account) == {"booking": (6, 493), "webhook": (2, 393), "on_demand": (1, 368), "nightly": (1, 368)}
    budget.take(Lane.NIGHTLY)
    for _ in range(3):
        budget.take(Lane.BOOKING)
    budget.back_off(90)
    (account,) = ask(functions, as_admin(BUDGET))[1]["items"]
    assert [minute for minute, _ in lanes(account).values()] == [2, 0, 0, 0]
    assert account["blockedUntil"] == "2027-03-10T12:06:30-07:00"
    functions.clock.advance(days=1)
    (account,) = ask(functions, as_admin(BUDGET))[1]["items"]
    assert (account["usedThisMinute"], account["usedToday"], account["blockedUntil"]) == (0, 0, None)


def test_an_account_without_a_daily_cap_has_none_left_to_tell(functions: Functions, admin: UUID) -> None:
    with functions.begin() as connection:
        connection.execute(sa.insert(t.ehr_accounts).values(system="athena", per_minute=100))
    accounts = ask(functions, as_admin(BUDGET))[1]["items"]
    assert [account["system"] for account in accounts] == ["intakeq", "athena"]
    assert lanes(accounts[1])["booking"] == (100, None)
