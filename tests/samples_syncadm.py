"""What has to be there for the admin's sample events about sync logs, mappings and duplicates, and what is promised."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_booking import SERVICE_ID
from tests.fixtures_functions import Functions, sample
from tests.fixtures_intakeq import NOON
from tests.fixtures_mirror import account_of
from tests.samples_admin import an_admin

DUPLICATE = UUID(sample("admin/merge_service")["pathParameters"]["serviceId"])
RUN = UUID(sample("admin/sync_run")["pathParameters"]["runId"])


def _body(answer: Mapping[str, Any]) -> Any:
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])


def a_logged_run(functions: Functions) -> None:
    """Store an admin, and a run with its log under the id that the sample names."""
    an_admin(functions)
    run = {
        "id": RUN, "account_id": account_of(functions), "sync_type": "automated_daily", "state": "completed",
        "phase": "pulled", "window_first": NOON.date(), "window_last": NOON.date(), "requests_used": 3,
        "started_at": NOON, "touched_at": NOON, "finished_at": NOON,
    }  # fmt: skip
    log = {
        "run_id": RUN, "sync_type": "automated_daily", "status": "completed", "new": 2, "duration_ms": 1500,
        "requests_used": 3, "started_at": NOON, "touched_at": NOON, "completed_at": NOON,
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.sync_runs).values(run))
        connection.execute(sa.insert(t.sync_logs).values(log))


def logs(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["runId"], item["system"], item["counts"]["new"]) == (str(RUN), "intakeq", 2)


def table(_: Functions, answer: Any) -> None:
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "text/csv; charset=utf-8")
    (row,) = csv.DictReader(answer["body"].splitlines())
    assert (row["runId"], row["startedAt"], row["new"]) == (str(RUN), "2027-03-10T12:00:00-07:00", "2")


def trends(_: Functions, answer: Any) -> None:
    weeks = _body(answer)["items"]
    assert [(week["from"], week["to"], week["logs"]["completed"]) for week in weeks] == [
        ("2027-03-01", "2027-03-07", 0), ("2027-03-08", "2027-03-10", 1),
    ]  # fmt: skip


def followed(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["state"], said["logsTotal"], said["logsOpen"], said["requestsUsed"]) == ("completed", 1, 0, 3)


def checked(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert said["accounts"] == [
        {"system": "intakeq", "status": "checked", "servicesChecked": True, "code": None, "retryAfterSeconds": None}
    ]
    assert [(found["kind"], found["payers"]) for found in said["findings"]] == [
        ("name_differs", 1), ("unmapped_in_ehr", 0),
    ]  # fmt: skip


def a_duplicate(functions: Functions) -> None:
    """Store an admin, and the intake once more under the id that the sample names."""
    an_admin(functions)
    functions.execute(
        "insert into services (id, name, kind, duration_minutes, modality)"
        " select :id, ' INTAKE', kind, duration_minutes, modality from services", id=DUPLICATE,
    )  # fmt: skip


def duplicates(_: Functions, answer: Any) -> None:
    (group,) = _body(answer)["items"]
    assert (group["name"], group["suggestedKeep"], len(group["services"])) == ("Intake", str(SERVICE_ID), 2)


def merged(functions: Functions, answer: Any) -> None:
    assert _body(answer)["into"] == str(SERVICE_ID)
    assert functions.rows("select id from services where is_active") == [{"id": SERVICE_ID}]


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/check_mappings": an_admin,
    "admin/merge_service": a_duplicate,
    "admin/service_duplicates": a_duplicate,
    "admin/sync_logs": a_logged_run,
    "admin/sync_logs_csv": a_logged_run,
    "admin/sync_run": a_logged_run,
    "admin/sync_trends": a_logged_run,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/check_mappings": checked,
    "admin/merge_service": merged,
    "admin/service_duplicates": duplicates,
    "admin/sync_logs": logs,
    "admin/sync_logs_csv": table,
    "admin/sync_run": followed,
    "admin/sync_trends": trends,
}
