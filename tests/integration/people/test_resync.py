"""One provider's calendar brought up to date on demand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.people import resync
from moonlit.sync.at_once import AtOnce
from tests.fixtures_booking import INES, TEN
from tests.fixtures_intakeq import NOON, OTHER_PRACTITIONER
from tests.fixtures_mirror import add_patient, pulled, seen, visits
from tests.fixtures_people import Staff


def start(staff: Staff, provider_id: UUID = INES) -> Any:
    return staff.ask("resync_provider", providerId=provider_id)


def runs(staff: Staff) -> list[Any]:
    return staff.functions.rows("select * from sync_runs order by started_at, id")


def a_visit_gone_wrong(staff: Staff, client: int = 7001, number: int = 1) -> UUID:
    """Have a visit of Ines' taken over, and then changed here so that it says otherwise than its row."""
    functions = staff.functions
    patient_id = add_patient(functions, intakeq_client_id=str(client))
    pulled(functions, seen(number, TEN + timedelta(hours=number), ClientId=client))
    AtOnce(functions.begin, functions.clock).apply("intakeq", [str(patient_id)], "webhook", {})
    functions.execute(
        "update appointments set meeting_url = 'https://wrong.example.org' where patient_id = :id", id=patient_id
    )
    return patient_id


def test_what_is_known_is_applied_again_and_all_days_are_read_again(staff: Staff) -> None:
    a_visit_gone_wrong(staff)
    theirs = a_visit_gone_wrong(staff, 7002, 2)
    staff.functions.execute(
        "update ehr_appointments set practitioner_id = :other where patient_id = :id",
        other=OTHER_PRACTITIONER,
        id=theirs,
    )
    answer = start(staff)
    assert (answer.status, answer.said["patientsApplied"], answer.said["patientsWaiting"]) == (202, 1, 0)
    assert visits(staff.functions)["1"]["meeting_url"] != "https://wrong.example.org"
    assert visits(staff.functions)["2"]["meeting_url"] == "https://wrong.example.org"  # Of somebody else's calendar.
    (run,) = runs(staff)
    assert answer.said["runs"] == [{"runId": str(run["id"]), "system": "intakeq"}]
    assert (run["reads"], run["phase"], run["sync_type"]) == ("days", "window", "manual_org")
    assert (run["window_first"], run["window_last"]) == (
        NOON.date() - timedelta(days=90), NOON.date() + timedelta(days=90),
    )  # fmt: skip
    assert run["requested_by"] == f"staff:{staff.id}"
    (line,) = staff.audited("provider")
    assert (line["action"], line["actor_id"], line["entity_id"]) == ("resync", staff.id, str(INES))
    assert (line["after"], line["request_id"]) == (
        {"runId": str(run["id"]), "system": "intakeq"},
        "request-resync_provider",
    )

    functions = staff.functions
    assert functions.call("sync_cron", functions.take("PullQueue")) == {"batchItemFailures": []}
    assert functions.call("sync_org", functions.take("SyncQueue")) == {"batchItemFailures": []}
    assert [run["state"] for run in runs(staff)] == ["completed"]


def test_a_reading_that_is_under_way_is_joined(staff: Staff) -> None:
    first = start(staff).said["runs"]
    assert start(staff).said["runs"] == first
    assert len(staff.functions.queues["PullQueue"].take()) == 1
    assert len(runs(staff)) == 1
    staff.functions.execute("update sync_runs set state = 'completed'")
    staff.functions.clock.advance(minutes=1)
    assert start(staff).said["runs"] != first
    # One that reads less than is wanted, and one that brings a single organization up to date.
    for narrower in ("window_first = window_first + 30", "window_first = window_first - 30, for_everybody = false"):
        known = {str(run["id"]) for run in runs(staff)}
        staff.functions.execute(f"update sync_runs set {narrower}")
        assert start(staff).said["runs"][0]["runId"] not in known


def test_more_patients_than_one_request_can_do_wait_for_the_run(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        a_visit_gone_wrong(staff, 7000 + number, number)
    monkeypatch.setattr(resync, "MOST_PATIENTS", 1)
    said = start(staff).said
    assert (said["patientsApplied"], said["patientsWaiting"]) == (1, 1)
    assert visits(staff.functions)["2"]["meeting_url"] == "https://wrong.example.org"


def test_open_slots_are_read_at_once(staff: Staff) -> None:
    functions, in_athena = staff.functions, staff.provider(ehr_system="athena")
    with functions.begin() as connection:
        values = {"id": uuid4(), "system": "athena", "per_minute": 300, "slots_read_at": NOON}
        connection.execute(sa.insert(t.ehr_accounts).values(values))
    assert start(staff, in_athena).slug == "no-practitioner"
    assert functions.rows("select 1 from ehr_accounts where slots_read_at is not null") != []
    functions.execute(
        "insert into provider_athena_settings (provider_id, athena_provider_id, department_id) values (:id, '71', '1')",
        id=in_athena,
    )
    answer = start(staff, in_athena)
    assert (answer.status, answer.said["runs"][0]["system"]) == (202, "athena")
    assert functions.rows("select 1 from ehr_accounts where slots_read_at is not null") == []


def test_whom_nobody_has_mapped_has_no_calendar(staff: Staff) -> None:
    refused = start(staff, staff.provider())
    assert (refused.status, refused.slug) == (409, "no-practitioner")
    assert start(staff, uuid4()).slug == "not-found"
    assert (runs(staff), staff.audited("provider")) == ([], [])
