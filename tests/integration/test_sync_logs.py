"""What the syncs did, over HTTP: as a list, as a table, and as trends."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.sync import log_list
from tests.fixtures_access import OPEN_HOUSE, add_partner, add_staff, as_user
from tests.fixtures_functions import Functions, functions
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, account_of, add_patient, as_admin, audited

__all__ = ["functions", "open_intakeq", "start_intakeq"]

LOGS, CSV, TRENDS, RUN = "admin/sync_logs", "admin/sync_logs_csv", "admin/sync_trends", "admin/sync_run"


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def ask(functions: Functions, name: str, **query: str) -> Any:
    return functions.call("admin", as_admin(name) | {"queryStringParameters": query})


def said(functions: Functions, name: str, **query: str) -> Any:
    answer = ask(functions, name, **query)
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])


def refused(functions: Functions, name: str, **query: str) -> tuple[str, str]:
    answer = ask(functions, name, **query)
    assert answer["statusCode"] == 422, answer
    (error,) = json.loads(answer["body"])["errors"]
    return error["pointer"], error["code"]


def log(started_at: datetime, sync_type: str = "webhook", status: str = "completed", **values: Any) -> dict[str, Any]:
    """Return a log as it is stored."""
    ended = None if status == "in_progress" else started_at + timedelta(seconds=2)
    return {
        "id": uuid4(), "run_id": None, "organization_id": None, "patient_id": None, "requested_by": None,
        "sync_type": sync_type, "status": status, "new": 0, "updated": 0, "unchanged": 0, "errors": 0,
        "patients_total": 0, "patients_processed": 0, "requests_used": 0, "duration_ms": None if ended is None else 2000,
        "error_message": None, "started_at": started_at, "touched_at": started_at, "completed_at": ended,
    } | values  # fmt: skip


def store(functions: Functions, *logs: dict[str, Any]) -> list[str]:
    with functions.begin() as connection:
        connection.execute(sa.insert(t.sync_logs), list(logs))
    return [str(each["id"]) for each in logs]


def a_run(functions: Functions, **values: Any) -> UUID:
    row = {
        "id": uuid4(), "account_id": account_of(functions), "sync_type": "automated_daily", "state": "pulling",
        "phase": "changed", "page": 3, "window_first": NOON.date(), "window_last": NOON.date(), "requests_used": 2,
        "started_at": NOON, "touched_at": NOON, **values,
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.sync_runs).values(row))
    return UUID(str(row["id"]))


@pytest.mark.parametrize("role", ["biller", "provider", "case_manager"])
def test_nobody_but_an_admin_may_look(functions: Functions, role: str) -> None:
    add_partner(functions, role, "s-1") if role == "case_manager" else add_staff(functions, role, "s-1")
    for name in (LOGS, CSV, TRENDS, RUN):
        assert functions.call("admin", as_user(name, sub="s-1"))["statusCode"] == 403
        assert functions.call("admin", as_user(name, token_use="id", sub="s-1"))["statusCode"] == 401


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_filter_keeps_what_it_names_and_pages_join_without_a_gap(functions: Functions, admin: UUID) -> None:
    add_partner(functions, "case_manager", "s-1")
    patient, run = add_patient(functions), a_run(functions)
    # In Denver the first is on the evening of March 8, the second at midnight of the 9th.
    evening, midnight = datetime(2027, 3, 9, 6, 59, 59, tzinfo=UTC), datetime(2027, 3, 9, 7, tzinfo=UTC)
    hook, night, house, single, other = store(
        functions,
        log(evening, new=1, error_message="ehr_unavailable", status="failed"),
        log(midnight, "automated_daily", "in_progress", run_id=run, requests_used=2),
        log(midnight, "manual_org", "partial", organization_id=OPEN_HOUSE, errors=3, requested_by="partner:x"),
        log(NOON, "manual_patient", patient_id=patient, requested_by="staff:y", patients_total=1, patients_processed=1),
        log(NOON + timedelta(days=1)),
    )

    def found(**query: str) -> set[str]:
        return {item["syncId"] for item in said(functions, LOGS, **query)["items"]}

    assert found() == {hook, night, house, single, other}
    assert found(to="2027-03-08") == {hook}
    assert found(**{"from": "2027-03-09", "to": "2027-03-09"}) == {night, house}
    assert found(**{"from": "2027-03-11"}) == {other}
    assert found(type="webhook") == {hook, other}
    assert found(type="webhook", status="failed") == {hook}
    assert found(organizationId=str(OPEN_HOUSE)) == {house}
    assert found(runId=str(run)) == {night}
    assert found(organizationId=str(uuid4())) == set()

    items = {item["syncId"]: item for item in said(functions, LOGS)["items"]}
    assert items[night] == {
        "syncId": night, "runId": str(run), "type": "automated_daily", "status": "in_progress", "organizationId": None,
        "organizationName": None, "patientId": None, "requestedBy": None, "system": "intakeq",
        "startedAt": "2027-03-09T00:00:00-07:00", "completedAt": None, "durationMs": None,
        "counts": {"new": 0, "updated": 0, "unchanged": 0, "errors": 0}, "patientsTotal": 0, "patientsProcessed": 0,
        "requestsUsed": 2, "error": None,
    }  # fmt: skip
    assert (items[house]["organizationName"], items[house]["counts"]["errors"]) == ("House", 3)
    assert (items[hook]["error"], items[hook]["durationMs"], items[hook]["system"]) == ("ehr_unavailable", 2000, None)
    assert (items[single]["patientId"], items[single]["requestedBy"]) == (str(patient), "staff:y")
    assert {tuple(row["patient_ids"]) for row in audited(functions, "read")} == {(patient,), ()}
    assert {(row["entity"], row["actor_id"], row["request_id"]) for row in audited(functions, "read")} == {
        ("sync_log", admin, "request")
    }

    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = said(functions, LOGS, limit="2", **cursor)
        seen += [item["syncId"] for item in page["items"]]
        cursor = {"cursor": page["nextCursor"]}
    assert cursor == {"cursor": None}
    assert (seen[:2], set(seen[2:4]), seen[4:]) == ([other, single], {night, house}, [hook])


def test_a_filter_that_makes_no_sense_is_refused_and_noted(functions: Functions, admin: UUID) -> None:
    assert refused(functions, LOGS, **{"from": "2027-03-02", "to": "2027-03-01"}) == ("/query/to", "before_from")
    assert refused(functions, LOGS, type="nightly") == ("/query/type", "literal_error")
    assert refused(functions, LOGS, cursor="x") == ("/query/cursor", "cursor")
    assert refused(functions, LOGS, organisation="x")[1] == "extra_forbidden"
    assert [row["after"] for row in audited(functions, "refused")] == [{"slug": "malformed-request"}] * 4


# ── The table ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_has_what_the_list_has_and_no_formula(
    functions: Functions, admin: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_partner(functions, "case_manager", "s-1")
    functions.execute("update organizations set name = '=HYPERLINK(\"http://x\"), Ltd'")
    patient = add_patient(functions)
    times = [NOON + timedelta(minutes=minute) for minute in range(3)]
    logs = [log(time, organization_id=OPEN_HOUSE, patient_id=patient, new=minute) for minute, time in enumerate(times)]
    ids = store(functions, *logs)[::-1]
    answer = ask(functions, CSV)
    assert answer["headers"]["Content-Type"] == "text/csv; charset=utf-8"
    assert (answer["headers"]["vary"], answer["isBase64Encoded"]) == ("accept", False)
    rows = list(csv.DictReader(answer["body"].splitlines(keepends=True)))
    assert [row["syncId"] for row in rows] == ids
    assert rows[0]["organizationName"] == '\'=HYPERLINK("http://x"), Ltd'
    items = said(functions, LOGS)["items"]
    assert set(rows[0]) == (set(items[0]) - {"counts"}) | {"new", "updated", "unchanged", "errors"}
    for name in ("syncId", "type", "startedAt", "patientId"):
        assert [row[name] for row in rows] == [item[name] for item in items]
    assert [row["new"] for row in rows] == ["2", "1", "0"]
    assert [row["runId"] for row in rows] == [""] * 3
    assert [row["patient_ids"] for row in audited(functions, "read")] == [[patient], [patient]]

    monkeypatch.setattr(log_list, "MOST_CSV_ROWS", 2)
    assert refused(functions, CSV) == ("/query/from", "too_many_rows")
    assert refused(functions, CSV, type="webhook") == ("/query/from", "too_many_rows")
    assert len(audited(functions, "read")) == 2  # Who was shown nothing has seen nobody.
    page = ask(functions, CSV, limit="2", type="webhook")
    target, _, relation = page["headers"]["link"].partition("; ")
    assert (relation, len(page["body"].splitlines())) == ('rel="next"', 3)
    url = urlsplit(target.strip("<>"))
    query = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert (url.path, query["type"], query["limit"]) == ("/admin/sync-logs", "webhook", "2")
    last = ask(functions, CSV, **query)
    assert ("link" in last["headers"], last["body"].splitlines()[1].split(",")[0]) == (False, ids[2])


def test_the_list_is_given_to_who_does_not_ask_for_a_table(functions: Functions, admin: UUID) -> None:
    for accept in ("*/*", "application/json, text/csv;q=0.9", "application/xml", None):
        event = as_admin(CSV)
        event["headers"].pop("accept")
        event["headers"] |= {} if accept is None else {"accept": accept}
        answer = functions.call("admin", event)
        assert json.loads(answer["body"]) == {"items": [], "nextCursor": None}
        assert answer["headers"]["vary"] == "accept"


# ── Trends ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_trends_sum_up_each_day_of_the_practice_and_show_empty_ones(functions: Functions, admin: UUID) -> None:
    add_partner(functions, "case_manager", "s-1")
    evening, midnight = datetime(2027, 3, 9, 6, 59, 59, tzinfo=UTC), datetime(2027, 3, 9, 7, tzinfo=UTC)
    store(
        functions,
        log(evening, new=1, updated=2, unchanged=4, errors=1, duration_ms=1000, requests_used=3),
        log(midnight, status="failed", duration_ms=7000),
        log(midnight, status="partial", organization_id=OPEN_HOUSE, errors=1, duration_ms=1001, requests_used=1),
        log(midnight, status="in_progress"),
        log(NOON + timedelta(days=2)),
    )
    days = said(functions, TRENDS, **{"from": "2027-03-07", "to": "2027-03-10"})
    assert (days["groupBy"], days["timezone"], days["nextCursor"]) == ("day", "America/Denver", None)
    sunday, monday, tuesday, wednesday = days["items"]
    assert [day["from"] for day in days["items"]] == [f"2027-03-{day:02}" for day in (7, 8, 9, 10)]
    assert sunday == wednesday | {"from": "2027-03-07", "to": "2027-03-07"} == {
        "from": "2027-03-07", "to": "2027-03-07",
        "logs": {"inProgress": 0, "completed": 0, "partial": 0, "failed": 0},
        "counts": {"new": 0, "updated": 0, "unchanged": 0, "errors": 0},
        "averageDurationMs": None, "p95DurationMs": None, "requestsUsed": 0, "errorRate": 0,
    }  # fmt: skip
    assert monday["counts"] == {"new": 1, "updated": 2, "unchanged": 4, "errors": 1}
    assert (monday["errorRate"], monday["requestsUsed"], monday["averageDurationMs"]) == (0.125, 3, 1000)
    assert tuesday["logs"] == {"inProgress": 1, "completed": 0, "partial": 1, "failed": 1}
    assert (tuesday["averageDurationMs"], tuesday["p95DurationMs"], tuesday["errorRate"]) == (4001, 6700, 1)

    weeks = said(functions, TRENDS, **{"from": "2027-03-07", "to": "2027-03-10", "groupBy": "week"})["items"]
    assert [(week["from"], week["to"]) for week in weeks] == [
        ("2027-03-07", "2027-03-07"),
        ("2027-03-08", "2027-03-10"),
    ]
    assert [sum(week["logs"].values()) for week in weeks] == [0, 4]
    house = said(functions, TRENDS, organizationId=str(OPEN_HOUSE))["items"]
    assert (len(house), house[-1]["to"], house[0]["from"]) == (30, "2027-03-10", "2027-02-09")
    assert [(day["from"], day["requestsUsed"]) for day in house if day["logs"]["partial"]] == [("2027-03-09", 1)]


def test_a_day_without_an_hour_and_one_with_an_hour_more_count_whole(functions: Functions, admin: UUID) -> None:
    # In Denver March 14 has 23 hours and November 7 has 25.
    store(
        functions,
        *(log(datetime(2027, 3, 14, 7, tzinfo=UTC) + timedelta(hours=hour)) for hour in (-1, 0, 22, 23)),
        *(log(datetime(2027, 11, 7, 6, tzinfo=UTC) + timedelta(hours=hour)) for hour in (-1, 0, 24, 25)),
    )
    for first, last, day in (("2027-03-13", "2027-03-15", "03-14"), ("2027-11-06", "2027-11-08", "11-07")):
        found = said(functions, TRENDS, **{"from": first, "to": last})["items"]
        assert [(each["from"][5:], each["logs"]["completed"]) for each in found][1] == (day, 2)
        assert [each["logs"]["completed"] for each in found] == [1, 2, 1]


def test_trends_are_of_a_year_at_most(functions: Functions, admin: UUID) -> None:
    assert len(said(functions, TRENDS, **{"from": "2026-01-01", "to": "2027-01-01"})["items"]) == 366
    for query, code in (
        ({"from": "2026-01-01", "to": "2027-01-02"}, "range_too_long"),
        ({"from": "2027-03-02", "to": "2027-03-01"}, "before_from"),
        ({"from": "2025-03-01"}, "range_too_long"),
    ):
        assert refused(functions, TRENDS, **query) == ("/query/to", code)
    assert refused(functions, TRENDS, groupBy="month") == ("/query/groupBy", "literal_error")


# ── A run ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_followed_from_its_pull_to_its_last_log(functions: Functions, admin: UUID) -> None:
    run, patient = a_run(functions), add_patient(functions)

    def look(run_id: UUID) -> Any:
        return functions.call("admin", as_admin(RUN, runId=run_id))

    shown = json.loads(look(run)["body"])
    assert (shown["state"], shown["phase"], shown["page"], shown["logsTotal"]) == ("pulling", "changed", 3, 0)
    store(functions, log(NOON, run_id=run), log(NOON, "manual_org", "in_progress", run_id=run))
    functions.execute("update sync_runs set state = 'applying', phase = 'pulled'")
    with functions.begin() as connection:
        values = {"run_id": run, "patient_id": patient, "status": "synced", "new": 3, "at": NOON}
        connection.execute(sa.insert(t.sync_patient_results).values(values))
    shown = json.loads(look(run)["body"])
    assert (shown["state"], shown["logsTotal"], shown["logsOpen"], shown["counts"]["new"]) == ("applying", 2, 1, 3)
    assert look(uuid4())["statusCode"] == 404
