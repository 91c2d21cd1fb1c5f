"""Refreshes on demand: one patient by one request, a house by a pull that others share, and how far each is."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from moonlit.partners.answers import progress_answer
from moonlit.partners.progress import progress as progress_of
from moonlit.partners.session import seen_by
from moonlit.sync.organizations import Organizations
from tests.fixtures_intakeq import DENVER, NOON
from tests.fixtures_partners import ADMIN, HOUSE, MANAGER, OTHER_ADMIN, OTHER_HOUSE, Houses


def slug(said: Any) -> str:
    return str(said["type"]).rpartition("/")[2]


def sync(houses: Houses, patient_id: UUID, sub: str = ADMIN, body: Any = None) -> Any:
    status, said = houses.ask("sync_patient", sub, about=patient_id, body=body)
    assert status == 200, said
    return said


# ── One patient ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_refresh_of_one_asks_the_ehr_once_and_tells_what_became_of_each_visit(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    first, second = houses.in_ehr(1, 26), houses.in_ehr(2, 50)
    other = houses.in_ehr(3, 70)  # Of somebody whose address contains hers: the EHR searches for parts.
    names_of_another = {
        "ClientId": 99,
        "ClientEmail": "not.dana.whitlock@example.org",
        "ClientDateOfBirth": "1971-01-01",
    }
    houses.functions.intakeq.staff("update", id=other["Id"], fields=names_of_another)
    houses.functions.intakeq.forget()
    said = sync(houses, houses.dana)
    assert len(houses.functions.intakeq.requests()) == 1
    assert (said["success"], said["patientName"], said["warnings"]) == (True, "Dana Whitlock", [])
    assert said["summary"] == {"new": 2, "updated": 0, "unchanged": 0, "errors": 0}
    assert [(each["pqAppointmentId"], each["syncAction"], each["status"]) for each in said["appointments"]] == [
        (first["Id"], "created", "confirmed"), (second["Id"], "created", "confirmed"),
    ]  # fmt: skip
    assert (said["appointments"][0]["startTime"], said["appointments"][0]["providerName"]) == (
        "2027-03-11T14:00:00-07:00", "Ines Okafor",
    )  # fmt: skip

    houses.functions.clock.advance(minutes=1)
    houses.functions.intakeq.staff("cancel", id=second["Id"])
    said = sync(houses, houses.dana, MANAGER)
    assert said["summary"] == {"new": 0, "updated": 1, "unchanged": 1, "errors": 0}
    assert [(each["syncAction"], each["status"]) for each in said["appointments"]] == [
        ("unchanged", "confirmed"), ("updated", "cancelled"),
    ]  # fmt: skip
    assert houses.ask("roster")[1]["items"][-1]["lastSyncedAt"] == "2027-03-10T12:01:00-07:00"


def test_refresh_is_in_the_log_in_the_history_and_in_the_timeline(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.in_ehr(1, 26)
    sync(houses, houses.dana)
    houses.functions.clock.advance(minutes=1)
    sync(houses, houses.dana, MANAGER)
    logs = houses.functions.rows("select * from sync_logs order by started_at")
    assert [(log["sync_type"], log["status"], log["organization_id"], log["patient_id"], log["requests_used"])
            for log in logs] == [("manual_patient", "completed", HOUSE, houses.dana, 1)] * 2  # fmt: skip
    assert [log["requested_by"] for log in logs] == [f"partner:{houses.users[sub]}" for sub in (ADMIN, MANAGER)]
    assert (logs[0]["new"], logs[0]["patients_total"], logs[0]["patients_processed"]) == (1, 1, 1)
    assert all(log["duration_ms"] is not None and log["completed_at"] for log in logs)
    said = houses.ask("sync_history", about=houses.dana)[1]
    assert (said["patient"], said["lastSync"]) == (
        {"id": str(houses.dana), "name": "Dana Whitlock"}, "2027-03-10T12:01:00-07:00",
    )  # fmt: skip
    assert said["history"][0] == {
        "syncedAt": "2027-03-10T12:01:00-07:00", "triggeredBy": "Amos Tilbury", "type": "manual_patient",
        "summary": {"new": 0, "updated": 0, "unchanged": 1, "errors": 0},
    }  # fmt: skip
    timeline = houses.ask("patient", about=houses.dana)[1]["timeline"]
    assert [(each["by"], each["summary"]["new"]) for each in timeline] == [("Amos Tilbury", 0), ("Amos Tilbury", 1)]


def test_history_shows_no_refresh_of_another_house(houses: Houses) -> None:
    sync(houses, houses.shared)
    sync(houses, houses.shared, OTHER_ADMIN)
    said = houses.ask("sync_history", about=houses.shared)[1]
    assert [each["triggeredBy"] for each in said["history"]] == ["Amos Tilbury"]
    assert len(houses.functions.rows("select 1 from sync_logs")) == 2


@pytest.mark.parametrize("whose", ["expired", "silent"])
def test_refresh_without_consent_tells_numbers_alone(houses: Houses, whose: str) -> None:
    said = sync(houses, getattr(houses, whose))
    assert (said["success"], said["appointments"]) == (True, [])
    assert set(said["summary"]) == {"new", "updated", "unchanged", "errors"}


def test_refresh_of_days_asks_for_these(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.in_ehr(1, 26)
    far = houses.in_ehr(2, 24 * 120)
    days = {"dateRange": {"startDate": "2027-07-01", "endDate": "2027-07-31"}}
    said = sync(houses, houses.dana, body=days)
    assert [each["pqAppointmentId"] for each in said["appointments"]] == [far["Id"]]
    assert said["summary"]["new"] == 1


@pytest.mark.parametrize(
    "days",
    [
        {"startDate": "2027-03-02", "endDate": "2027-03-01"},
        {"startDate": "2027-03-02", "endDate": "2028-03-02"},
        {"startDate": "2027-03-02"},
        {"startDate": "2027-02-30", "endDate": "2027-03-01"},
        {"startDate": 0, "endDate": 1},
    ],
)
@pytest.mark.parametrize("route", ["sync_patient", "sync_all_patients"])
def test_days_that_make_no_sense_are_refused(houses: Houses, route: str, days: dict[str, Any]) -> None:
    about = houses.dana if route == "sync_patient" else HOUSE
    assert houses.ask(route, about=about, body={"dateRange": days})[0] == 422
    assert houses.functions.rows("select 1 from sync_logs union all select 1 from organization_refreshes") == []


def test_ehr_that_does_not_answer_changes_nothing_and_is_told(houses: Houses) -> None:
    houses.functions.intakeq.fail({"kind": "error_before", "times": None})
    event = houses.ask("sync_patient", about=houses.dana)
    assert (event[0], slug(event[1])) == (503, "ehr-unavailable")
    (log,) = houses.functions.rows("select * from sync_logs")
    assert (log["status"], log["error_message"], log["requests_used"]) == ("failed", "intakeq_ehr_unavailable", 3)
    assert houses.ask("sync_history", about=houses.dana)[1]["history"] == []


def test_no_request_left_is_told_with_the_time_to_come_again(houses: Houses) -> None:
    houses.functions.execute("update ehr_accounts set per_minute = 2")
    assert houses.ask("sync_patient", about=houses.dana)[0] == 200  # Half of what a minute has is left to bookings.
    status, said = houses.ask("sync_patient", about=houses.dana)
    assert (status, slug(said), said["retryAfterSeconds"]) == (503, "budget-exhausted", 61)


def test_patient_whom_the_ehr_cannot_be_asked_about_is_told_so(houses: Houses) -> None:
    houses.functions.execute("update patients set email = null where id = :p", p=houses.shared)
    said = sync(houses, houses.shared)
    assert said["warnings"] == ["unknown_to_the_ehr"]
    assert houses.functions.intakeq.requests() == []


def test_patient_is_asked_for_by_the_address_that_the_ehr_knows(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.in_ehr(1, 26)
    sync(houses, houses.dana)
    houses.functions.execute("update patients set email = 'dana.new@example.org' where id = :p", p=houses.dana)
    houses.in_ehr(2, 28)
    assert sync(houses, houses.dana)["summary"]["new"] == 1


# ── A house ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def start(houses: Houses, sub: str = ADMIN, organization_id: UUID = HOUSE, body: Any = None) -> str:
    status, said = houses.ask("sync_all_patients", sub, about=organization_id, body=body)
    assert status == 202, said
    return str(said["syncId"])


def progress(houses: Houses, sync_id: str, sub: str = ADMIN) -> Any:
    status, said = houses.ask("sync_progress", sub, about=sync_id)
    assert status == 200, said
    return said


def statuses(said: Any) -> list[str]:
    return [each["status"] for each in said["patientResults"]]


def test_refresh_of_a_house_goes_from_queued_to_synced(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.in_ehr(1, 26)
    sync_id = start(houses)
    said = progress(houses, sync_id)
    assert (said["status"], said["organizationName"], said["patientsTotal"], said["patientsProcessed"]) == (
        "queued", "House", 4, 0,
    )  # fmt: skip
    assert (statuses(said), said["completedAt"]) == (["queued"] * 4, None)
    houses.work()
    houses.functions.clock.advance(minutes=1)
    said = progress(houses, sync_id)
    assert (said["status"], said["patientsProcessed"], statuses(said)) == ("completed", 4, ["synced"] * 4)
    assert said["totalSummary"] == {"new": 1, "updated": 0, "unchanged": 0, "errors": 0}
    assert said["patientResults"][-1] == {
        "patientId": str(houses.dana), "patientName": "Dana Whitlock", "status": "synced",
        "summary": {"new": 1, "updated": 0, "unchanged": 0, "errors": 0},
    }  # fmt: skip
    assert (said["startedAt"], said["completedAt"]) == ("2027-03-10T12:00:00-07:00", "2027-03-10T12:00:00-07:00")
    assert houses.ask("roster")[1]["items"][-1]["nextAppointment"]["start"] == "2027-03-11T14:00:00-07:00"


def test_each_patient_has_their_turn(houses: Houses, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = start(houses)
    assert houses.functions.call("sync_cron", houses.functions.take("PullQueue")) == {"batchItemFailures": []}
    seen: list[list[str]] = []
    apply = Organizations._apply

    def watched(self: Organizations, *told: Any) -> None:
        seen.append(statuses(progress_within(houses, sync_id)))
        apply(self, *told)

    monkeypatch.setattr(Organizations, "_apply", watched)
    assert houses.functions.call("sync_org", houses.functions.take("SyncQueue")) == {"batchItemFailures": []}
    assert [sorted(each) for each in seen] == [
        ["queued"] * 3 + ["syncing"],
        ["queued"] * 2 + ["synced", "syncing"],
        ["queued", "synced", "synced", "syncing"],
        ["synced"] * 3 + ["syncing"],
    ]


def progress_within(houses: Houses, sync_id: str) -> Any:
    """Look at the progress from within another function's work, whose wiring must not be forgotten."""
    with seen_by(houses.functions.begin, HOUSE, NOON.date()) as connection:
        found = progress_of(connection, HOUSE, UUID(sync_id))
    assert found
    return progress_answer(found, DENVER).model_dump(by_alias=True)


def test_second_press_is_told_of_the_refresh_under_way(houses: Houses) -> None:
    sync_id = start(houses)
    assert start(houses, MANAGER) == sync_id
    houses.work()
    assert start(houses, MANAGER) != sync_id
    assert len(houses.functions.rows("select 1 from audit_log where entity = 'organization_refresh'")) == 2


def test_houses_that_refresh_within_minutes_share_one_pull(houses: Houses) -> None:
    start(houses)
    start(houses, OTHER_ADMIN, OTHER_HOUSE)  # Joins the pull that is waiting.
    assert len(houses.functions.queues["PullQueue"].waiting) == 1
    houses.work()
    asked = len(houses.functions.intakeq.requests())
    houses.functions.clock.advance(minutes=2)
    late = start(houses, MANAGER)  # Shares the pull that has just ended.
    houses.work()
    assert progress(houses, late)["status"] == "completed"
    assert len(houses.functions.intakeq.requests()) == asked
    houses.functions.clock.advance(minutes=2)
    start(houses, MANAGER)
    houses.work()
    assert len(houses.functions.intakeq.requests()) == asked + 2
    runs = houses.functions.rows("select reads, requests_used, state from sync_runs order by started_at")
    assert [(run["reads"], run["requests_used"], run["state"]) for run in runs] == [
        ("changes", 2, "completed"), ("nothing", 0, "completed"), ("changes", 2, "completed"),
    ]  # fmt: skip
    logs = houses.functions.rows(
        "select organization_id, sync_type, requests_used from sync_logs order by started_at, id"
    )
    assert sum(log["requests_used"] for log in logs) == 4
    assert {log["sync_type"] for log in logs} == {"manual_org"}
    assert {log["organization_id"] for log in logs} == {HOUSE, OTHER_HOUSE}


def test_shared_pull_leaves_the_cursor_where_it_is(houses: Houses) -> None:
    start(houses)
    houses.work()
    cursor = houses.functions.rows("select synced_through from ehr_accounts")
    houses.functions.clock.advance(minutes=2)
    houses.in_ehr(1, 26)  # Made after the pull, before the second press.
    start(houses)
    houses.work()
    assert houses.functions.rows("select synced_through from ehr_accounts") == cursor
    houses.functions.clock.advance(minutes=5)
    assert progress(houses, night_and(houses))["totalSummary"]["new"] == 1


def night_and(houses: Houses) -> str:
    sync_id = start(houses)
    houses.work()
    return sync_id


def test_refresh_of_days_reads_them_again_and_cancels_nothing_outside(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    inside, outside = houses.in_ehr(1, 26), houses.in_ehr(2, 24 * 9)
    night_and(houses)
    # Gone without a word: no event, and longer ago than the EHR remembers deletions.
    for row in (inside, outside):
        houses.functions.intakeq.staff("delete", id=row["Id"])
    houses.functions.clock.advance(days=11)
    houses.functions.execute("update ehr_accounts set synced_through = :now", now=houses.functions.clock.now())
    sync_id = start(houses, body={"dateRange": {"startDate": "2027-03-11", "endDate": "2027-03-12"}})
    houses.work()
    assert progress(houses, sync_id)["totalSummary"]["updated"] == 1
    found = houses.functions.rows(
        "select x.external_id, a.status from appointments a join appointment_external_ids x on x.appointment_id = a.id"
    )
    assert {row["external_id"]: row["status"] for row in found} == {
        inside["Id"]: "cancelled",
        outside["Id"]: "confirmed",
    }
    assert houses.functions.rows("select window_first from ehr_accounts")[0]["window_first"].isoformat() == "2026-12-10"


def test_night_that_meets_a_refresh_s_pull_brings_everybody_up_to_date_with_it(houses: Houses) -> None:
    sync_id = start(houses)
    answer = houses.functions.call("sync_cron", {"waitSeconds": 0})
    assert answer["organizations"] == 1
    houses.functions.clock.advance(minutes=2)  # The pull shows no sign of life: the next call takes it up.
    answer = houses.functions.call("sync_cron", {"waitSeconds": 0})
    houses.work()
    assert progress(houses, sync_id)["status"] == "completed"
    logs = houses.functions.rows("select organization_id, sync_type, status from sync_logs")
    assert sorted((str(log["organization_id"]), log["sync_type"], log["status"]) for log in logs) == sorted([
        (str(HOUSE), "automated_daily", "completed"), (str(HOUSE), "manual_org", "completed"),
        (str(OTHER_HOUSE), "automated_daily", "completed"), ("None", "automated_daily", "completed"),
    ])  # fmt: skip


def test_failing_ehr_fails_the_refresh_and_the_next_press_opens_another(houses: Houses) -> None:
    sync_id = start(houses)
    houses.functions.intakeq.fail({"kind": "error_before", "times": None})
    houses.work()
    said = progress(houses, sync_id)
    assert (said["status"], statuses(said)) == ("failed", ["error"] * 4)
    assert said["completedAt"]
    houses.functions.intakeq.fail()
    assert start(houses) != sync_id
    houses.work()
    assert houses.functions.rows("select 1 from organization_refreshes where finished_at is null") == []


def test_one_patient_s_error_is_shown_and_stops_nobody(houses: Houses) -> None:
    houses.in_ehr(1, 26)
    sync_id = start(houses)
    houses.functions.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin"
        " if new.system = 'intakeq' and new.created_at > now() - interval '100 years'"
        " then raise exception 'no' using errcode = 'P0001'; end if; return new; end $$"
    )
    houses.functions.execute(
        "create trigger refuse before insert on appointments for each row execute function refuse()"
    )
    houses.work()
    said = progress(houses, sync_id)
    assert (said["status"], statuses(said)) == ("partial", ["synced"] * 3 + ["error"])
    assert said["totalSummary"]["errors"] == 1


@pytest.mark.parametrize("organization_id", [OTHER_HOUSE, uuid4()])
def test_house_of_others_is_not_to_be_found(houses: Houses, organization_id: UUID) -> None:
    status, said = houses.ask("sync_all_patients", MANAGER, about=organization_id)
    assert (status, slug(said)) == (404, "not-found")
    assert houses.functions.rows("select 1 from organization_refreshes") == []
    assert [row["entity_id"] for row in houses.audit("refused")] == [str(organization_id)]


def test_refresh_of_others_is_not_to_be_found(houses: Houses) -> None:
    sync_id = start(houses)
    assert houses.ask("sync_progress", OTHER_ADMIN, about=sync_id)[0] == 404
    assert houses.ask("sync_progress", about=uuid4())[0] == 404


def test_lost_messages_of_a_refresh_are_sent_again(houses: Houses) -> None:
    sync_id = start(houses)
    houses.functions.take("PullQueue")
    for _ in range(3):  # The pull's message, then that of the house.
        houses.functions.clock.advance(minutes=21)
        houses.functions.call("sweeper", {})
        if houses.functions.queues["PullQueue"].waiting:
            houses.functions.call("sync_cron", houses.functions.take("PullQueue"))
            houses.functions.take("SyncQueue")
    houses.work()
    assert progress(houses, sync_id)["status"] == "completed"


def test_history_shows_a_night_once_with_its_kind(houses: Houses) -> None:
    houses.functions.call("sync_cron", {"waitSeconds": 0})
    houses.work()
    houses.functions.clock.advance(minutes=10)
    night_and(houses)
    said = houses.ask("sync_history", about=houses.dana)[1]
    assert [(each["type"], each["triggeredBy"]) for each in said["history"]] == [
        ("manual_org", "Amos Tilbury"), ("automated_daily", "Nightly sync"),
    ]  # fmt: skip
