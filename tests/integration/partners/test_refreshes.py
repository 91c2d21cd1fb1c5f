"""Refreshes on demand: one patient by one request, a house by a pull that others share, and how far each is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from moonlit.partners.answers import progress_answer
from moonlit.partners.progress import progress as progress_of
from moonlit.partners.session import seen_by
from moonlit.sync.organizations import Organizations
from moonlit.sync.parts import Parts, bundled
from tests.fixtures_access import add_staff, as_user
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


def vanished(houses: Houses) -> tuple[str, str]:
    """Let two visits go without a word: no event, and longer ago than the EHR remembers deletions."""
    houses.functions.execute("delete from appointments")
    inside, outside = houses.in_ehr(1, 26), houses.in_ehr(2, 24 * 9)
    night_and(houses)
    for row in (inside, outside):
        houses.functions.intakeq.staff("delete", id=row["Id"])
    houses.functions.clock.advance(days=11)
    houses.functions.execute("update ehr_accounts set synced_through = :now", now=houses.functions.clock.now())
    return inside["Id"], outside["Id"]


def held(houses: Houses) -> dict[str, str]:
    found = houses.functions.rows(
        "select x.external_id, a.status from appointments a join appointment_external_ids x on x.appointment_id = a.id"
    )
    return {row["external_id"]: row["status"] for row in found}


DAYS = {"startDate": "2027-03-11", "endDate": "2027-03-12"}


def test_days_that_a_house_asks_for_are_read_again_and_prove_no_deletion(houses: Houses) -> None:
    inside, outside = vanished(houses)
    moved = houses.in_ehr(3, 28, LastModified=0)  # As old as can be: no change that a pull would show.
    sync_id = start(houses, body={"dateRange": DAYS})
    houses.work()
    assert progress(houses, sync_id)["totalSummary"]["new"] == 1
    assert held(houses) == {inside: "confirmed", outside: "confirmed", moved["Id"]: "confirmed"}
    assert houses.functions.rows("select window_first from ehr_accounts")[0]["window_first"].isoformat() == "2026-12-10"


def test_repair_cancels_what_its_days_do_not_show_and_nothing_outside(houses: Houses) -> None:
    inside, outside = vanished(houses)
    answer = houses.functions.call("sync_cron", {"waitSeconds": 0, "repair": DAYS})
    houses.work()
    assert answer["state"] == "applying"
    assert held(houses) == {inside: "cancelled", outside: "confirmed"}
    account = houses.functions.rows("select window_first, synced_through from ehr_accounts")[0]
    assert account["window_first"].isoformat() == "2026-12-10"
    assert account["synced_through"] == houses.functions.clock.now()


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


# ── Several ways to open a run of one account ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", ["house", "office"])
def test_run_of_the_office_and_a_refresh_of_a_house_share_a_pull(houses: Houses, first: str) -> None:
    opened = [
        lambda: start(houses),
        lambda: houses.functions.call("sync_cron", {"waitSeconds": 0, "syncType": "manual_org"}),
    ]
    for step in opened if first == "house" else reversed(opened):
        step()
        houses.functions.clock.advance(minutes=2)
    houses.work()
    houses.functions.clock.advance(minutes=2)
    houses.functions.call("sweeper", {})
    houses.work()
    assert houses.functions.rows("select 1 from organization_refreshes where finished_at is null") == []
    assert {run["state"] for run in houses.functions.rows("select state from sync_runs")} == {"completed"}


def test_night_that_joins_another_run_is_told_of_as_a_night(houses: Houses) -> None:
    add_staff(houses.functions, "admin", "s-office")
    answer = houses.functions.call("admin", as_user("admin/start_sync_runs", sub="s-office"))
    assert answer["statusCode"] == 202
    houses.functions.call("sync_cron", {"waitSeconds": 0})
    houses.work()
    houses.functions.call("sweeper", {})
    assert [row["kind"] for row in houses.functions.rows("select kind from outbox")] == ["night_summary"]


def test_who_asks_when_a_pull_has_long_begun_gets_one_that_begins_then(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    early = start(houses)
    houses.functions.clock.advance(minutes=10)  # The pull waits for requests, say.
    late = start(houses, OTHER_ADMIN, OTHER_HOUSE)
    assert houses.functions.call("sync_cron", houses.functions.take("PullQueue")) == {"batchItemFailures": []}
    assert progress(houses, late, OTHER_ADMIN)["status"] == "queued"
    houses.functions.clock.advance(minutes=1)
    houses.work()
    assert [progress(houses, each, sub)["status"] for each, sub in ((early, ADMIN), (late, OTHER_ADMIN))] == [
        "completed"
    ] * 2
    runs = houses.functions.rows("select id, state, started_at from sync_runs order by started_at")
    assert [run["state"] for run in runs] == ["completed"] * 2
    assert runs[1]["started_at"] == NOON + timedelta(minutes=10)


def test_pull_that_everybody_asked_for_late_still_ends(houses: Houses) -> None:
    houses.functions.call("sync_cron", {"waitSeconds": 0})
    houses.work()
    houses.functions.clock.advance(minutes=5)
    start(houses)
    houses.functions.execute("update sync_runs set started_at = started_at - interval '1 hour' where state = 'pulling'")
    houses.work()
    assert {run["state"] for run in houses.functions.rows("select state from sync_runs")} == {"completed"}


def test_window_that_has_just_been_widened_is_not_shared(houses: Houses) -> None:
    start(houses)
    houses.work()
    houses.functions.execute("update organizations set sync_days_ahead = 200 where id = :o", o=OTHER_HOUSE)
    houses.functions.clock.advance(minutes=1)
    start(houses)
    houses.work()
    runs = houses.functions.rows("select reads, window_last from sync_runs order by started_at")
    assert [(run["reads"], run["window_last"].isoformat()) for run in runs] == [
        ("changes", "2027-06-08"), ("changes", "2027-09-26"),
    ]  # fmt: skip


def test_practice_without_an_ehr_ends_a_refresh_at_once(houses: Houses) -> None:
    houses.functions.execute("delete from ehr_budget")
    houses.functions.execute("delete from ehr_accounts")
    assert progress(houses, start(houses))["status"] == "completed"
    assert start(houses) != start(houses)


def test_pull_that_always_fails_ends_and_lets_others_begin(houses: Houses) -> None:
    sync_id = start(houses)
    houses.functions.execute("alter table ehr_appointments rename to gone")
    message = houses.functions.take("PullQueue")
    for _ in range(10):
        assert len(houses.functions.call("sync_cron", message)["batchItemFailures"]) == 1
    houses.functions.execute("alter table gone rename to ehr_appointments")
    assert houses.functions.call("sync_cron", message) == {"batchItemFailures": []}
    assert progress(houses, sync_id)["status"] == "failed"
    houses.work()
    assert start(houses) != sync_id


# ── What is told ──────────────────────────────────────────────────────────────────────────────────────────────────────


def timeline(houses: Houses, patient_id: UUID, sub: str = ADMIN) -> list[tuple[str, int]]:
    said = houses.ask("patient", sub, about=patient_id)[1]
    return [(each["by"], each["summary"]["new"]) for each in said["timeline"]]


def test_other_house_learns_what_changed_and_not_who_asked(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.functions.execute("delete from patient_organization_affiliations where patient_id = :p", p=houses.dana)
    for house in (HOUSE, OTHER_HOUSE):
        houses.affiliate(houses.dana, house)
    sync(houses, houses.dana, OTHER_ADMIN)  # Nothing has changed, so it is nobody else's business.
    assert (timeline(houses, houses.dana), timeline(houses, houses.dana, OTHER_ADMIN)) == ([], [("Amos Tilbury", 0)])
    houses.in_ehr(1, 26)
    houses.functions.clock.advance(minutes=1)
    start(houses, OTHER_ADMIN, OTHER_HOUSE)
    houses.work()
    assert timeline(houses, houses.dana) == [("EHR", 1)]
    assert timeline(houses, houses.dana, OTHER_ADMIN) == [("Amos Tilbury", 1), ("Amos Tilbury", 0)]
    assert str(houses.users[OTHER_ADMIN]) not in str(houses.ask("patient", about=houses.dana))


def test_events_of_visits_are_not_in_the_history_without_consent(houses: Houses) -> None:
    houses.functions.execute(
        "insert into sync_logs (id, patient_id, sync_type, status, new, started_at, touched_at, completed_at)"
        " select gen_random_uuid(), id, 'webhook', 'completed', 1, :at, :at, :at from patients",
        at=NOON,
    )
    for patient_id, count in ((houses.dana, 1), (houses.silent, 0), (houses.expired, 0)):
        assert len(houses.ask("sync_history", about=patient_id)[1]["history"]) == count


def test_warning_that_tells_of_a_visit_needs_consent(houses: Houses) -> None:
    houses.functions.execute("update appointments set provider_id = null")
    assert "unknown_practitioner" in sync(houses, houses.dana)["warnings"]
    assert "unknown_practitioner" not in sync(houses, houses.silent)["warnings"]


def test_who_was_not_asked_about_is_no_fresher_than_before(houses: Houses) -> None:
    houses.functions.execute("update patients set email = null where id = :p", p=houses.shared)
    said = sync(houses, houses.shared)
    assert (said["success"], said["warnings"]) == (False, ["unknown_to_the_ehr"])
    shown = {item["patientId"]: item["lastSyncedAt"] for item in houses.ask("roster")[1]["items"]}
    assert shown[str(houses.shared)] is None


def test_row_that_makes_no_sense_is_a_warning_and_stops_no_refresh(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.in_ehr(1, 26)
    houses.in_ehr(2, 28, EndDate=0)
    said = sync(houses, houses.dana)
    assert (said["success"], said["summary"]["new"], said["warnings"]) == (True, 1, ["intakeq_row_unreadable"])


def test_counts_of_days_are_of_visits_on_these(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    rows = [houses.in_ehr(number, 26 + 24 * number) for number in range(4)]
    sync(houses, houses.dana)
    houses.functions.clock.advance(minutes=1)
    for row in rows:
        houses.functions.intakeq.staff("cancel", id=row["Id"])
    houses.functions.call("sync_cron", {"waitSeconds": 0})
    said = sync(houses, houses.dana, body={"dateRange": {"startDate": "2027-03-11", "endDate": "2027-03-11"}})
    assert (said["summary"]["updated"], len(said["appointments"])) == (1, 1)


def test_who_comes_or_leaves_afterwards_changes_nothing_of_a_refresh(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.in_ehr(1, 26)
    sync_id = start(houses)
    houses.work()
    houses.affiliate(houses.patient("Tess", "Ebb"))
    said = progress(houses, sync_id)
    assert (said["status"], said["patientsTotal"], statuses(said)) == ("completed", 4, ["synced"] * 4)
    houses.functions.execute("update patient_organization_affiliations set status = 'ended' where patient_id = :p",
                             p=houses.dana)  # fmt: skip
    said = progress(houses, sync_id)
    assert (said["status"], said["totalSummary"]["new"], len(said["patientResults"])) == ("completed", 1, 3)


def test_who_watches_leaves_one_line(houses: Houses) -> None:
    sync_id = start(houses)
    for _ in range(3):
        progress(houses, sync_id)
    progress(houses, sync_id, MANAGER)
    assert [row["entity"] for row in houses.audit("read")] == ["sync", "sync"]


def test_house_s_own_freshness_is_kept(houses: Houses) -> None:
    start(houses)
    houses.work()
    fresh = houses.functions.rows("select id from organizations where last_practiceq_sync_at = :now", now=NOON)
    assert [row["id"] for row in fresh] == [HOUSE]


LONG_AGO = {"dateRange": {"startDate": "1990-01-01", "endDate": "1990-01-02"}}


@pytest.mark.parametrize("whole_house", [True, False])
def test_who_was_asked_about_for_other_days_is_no_fresher(houses: Houses, *, whole_house: bool) -> None:
    houses.functions.execute("delete from appointments")
    houses.in_ehr(1, 26)
    if whole_house:
        sync_id = start(houses, body=LONG_AGO)
        houses.work()
        assert progress(houses, sync_id)["status"] == "completed"
    else:
        assert sync(houses, houses.dana, body=LONG_AGO)["summary"]["new"] == 0
    assert {patient["lastSyncedAt"] for patient in houses.ask("roster")[1]["items"]} == {None}
    assert houses.functions.rows("select 1 from organizations where last_practiceq_sync_at is not null") == []
    assert houses.functions.rows("select 1 from patients where last_practiceq_sync_at is not null") == []


def test_worker_that_lags_behind_turns_no_finished_log_back(houses: Houses) -> None:
    start(houses)
    assert houses.functions.call("sync_cron", houses.functions.take("PullQueue")) == {"batchItemFailures": []}
    (message,) = houses.functions.queues["SyncQueue"].take()
    log_id = UUID(message["syncLogId"])
    with houses.functions.begin() as connection:
        (bundle,) = bundled(Parts(connection).start([log_id], NOON))
    work = Organizations(houses.functions.begin, houses.functions.clock, lambda: 900.0)
    assert work.bring_up_to_date(log_id)
    before = houses.functions.rows("select status, patients_total, patients_processed from sync_logs")
    work._apply(bundle, bundle.waiting[:1])  # The same message once more, whose worker was slower.
    assert houses.functions.rows("select status, patients_total, patients_processed from sync_logs") == before
