"""Each sample event of each function gets, from the function itself, the answer that the function's README promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from tests import (
    samples_admin,
    samples_catalog,
    samples_dashboard,
    samples_payers,
    samples_people,
    samples_provisioning,
    samples_syncadm,
)
from tests.conftest import ROOT
from tests.fixtures_access import add_staff
from tests.fixtures_booking import EMIL, INES, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions, functions, records, sample
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_sync import MemoryQueue

__all__ = ["functions", "open_intakeq", "start_intakeq"]

DONE: Mapping[str, Any] = {"batchItemFailures": []}


def body(answer: Mapping[str, Any], status: int = 200) -> Any:
    """Return the JSON of an answer after a look at its status."""
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def payers(_: Functions, answer: Any) -> None:
    found = {payer["name"]: payer["acceptance"]["status"] for payer in body(answer)["items"]}
    assert found == {"Cedar Health": "accepted", "Dune Mutual": "lead"}


def services(_: Functions, answer: Any) -> None:
    assert [service["id"] for service in body(answer)["items"]] == [str(SERVICE_ID)]


def eligibility(_: Functions, answer: Any) -> None:
    said = body(answer)
    assert said["acceptance"]["status"] == "accepted"
    assert {provider["id"]: provider["via"] for provider in said["providers"]} == {
        str(INES): "contract",
        str(EMIL): "contract",
    }


def availability(_: Functions, answer: Any) -> None:
    said = body(answer)
    slots = {slot["start"]: slot["providerIds"] for slot in said["slots"]}
    assert slots["2027-03-11T10:00:00-07:00"] == [str(INES), str(EMIL)]
    assert said["asOf"] == "2027-03-10T12:00:00-07:00"


def health(_: Functions, answer: Any) -> None:
    assert body(answer)["database"] == "ok"


def document(_: Functions, answer: Any) -> None:
    assert body(answer)["openapi"].startswith("3.1")


def page(_: Functions, answer: Any) -> None:
    assert (answer["statusCode"], "openapi.json" in answer["body"]) == (200, True)


def book(functions: Functions, answer: Any) -> None:
    said = body(answer, 201)
    (visit,) = functions.intakeq.state()["appointments"]
    assert (said["status"], said["ehr"]["externalId"]) == ("confirmed", visit["Id"])
    assert functions.call("book", sample("book/book"))["body"] == answer["body"]
    assert len(functions.intakeq.state()["appointments"]) == 1


def refused_without_a_token(_: Functions, answer: Any) -> None:
    assert body(answer, 401)["type"].endswith("/token-refused")


def held(functions: Functions, answer: Any) -> None:
    said = body(answer, 201)
    assert (said["providerId"], said["expiresAt"]) == (str(INES), "2027-03-10T12:10:00-07:00")
    assert [str(row["id"]) for row in functions.rows("select id from appointment_holds")] == [said["holdId"]]


def a_hold(functions: Functions) -> None:
    """Hold the sample's slot under the id that the other sample gives back."""
    functions.call("book", sample("book/hold"))
    renamed(functions, "appointment_holds", sample("book/drop_hold")["pathParameters"]["holdId"], "hold_id")


def dropped(functions: Functions, answer: Any) -> None:
    assert (answer["statusCode"], answer.get("body") or "") == (204, "")
    assert functions.rows("select 1 from appointment_holds union all select 1 from time_claims") == []


def kept_lead(functions: Functions, answer: Any) -> None:
    said = body(answer, 201)
    assert [str(row["id"]) for row in functions.rows("select id from leads")] == [said["leadId"]]


def renamed(functions: Functions, table: str, new_id: str, *references: str) -> None:
    """Give the one row of a table the id that a sample names; `references` are the columns that point to it."""
    tables = {"hold_id": ["time_claims"], "appointment_id": ["time_claims", "ehr_writes", "idempotency_keys"]}
    with functions.begin() as connection:
        old_id = connection.execute(sa.text(f"select id from {table}")).scalar_one()
        ids = {"old": old_id, "new": UUID(new_id)}
        columns = f"(jsonb_populate_record(a, jsonb_build_object('id', cast(:new as text)))).* from {table} a"
        connection.execute(sa.text(f"insert into {table} select {columns}"), ids)
        for column in references:
            for other in (*tables[column], *(["appointment_external_ids"] if column == "appointment_id" else [])):
                connection.execute(sa.text(f"update {other} set {column} = :new where {column} = :old"), ids)
        connection.execute(sa.text(f"delete from {table} where id = :old"), ids)


def an_admin(functions: Functions) -> None:
    """Store who the samples' `sub` is."""
    claims = sample("admin/conflicts")["requestContext"]["authorizer"]["jwt"]["claims"]
    add_staff(functions, "admin", claims["sub"])


def a_visit(functions: Functions) -> None:
    """Store an admin, and a visit under the id that the samples name."""
    an_admin(functions)
    functions.call("book", sample("book/book"))
    renamed(functions, "appointments", sample("admin/cancel")["pathParameters"]["appointmentId"], "appointment_id")


def listed(_: Functions, answer: Any) -> None:
    (item,) = body(answer)["items"]
    assert (item["start"], item["patient"]["name"]) == ("2027-03-11T10:00:00-07:00", "Dana Whitlock")


def booked_by_staff(functions: Functions, answer: Any) -> None:
    said = body(answer, 201)
    assert said["status"] == "confirmed"
    (row,) = functions.rows("select kind, details from patient_activity_log")
    assert (row["kind"], row["details"]["appointmentId"]) == ("overlap_overruled", said["appointmentId"])


def cancelled(functions: Functions, answer: Any) -> None:
    assert body(answer)["status"] == "cancelled"
    assert [visit["Status"] for visit in functions.intakeq.state()["appointments"]] == ["Canceled"]


def moved(functions: Functions, answer: Any) -> None:
    said = body(answer)
    assert (said["status"], said["start"], said["sequence"]) == ("confirmed", "2027-03-12T10:00:00-07:00", 1)
    assert said["provider"]["id"] == str(EMIL)


def an_admin_and_a_conflict(functions: Functions) -> None:
    """Store an admin, and a conflict of a visit that is booked here."""
    an_admin(functions)
    booked = body(functions.call("book", sample("book/book")), 201)
    values = {"appointment_id": UUID(booked["appointmentId"]), "external_id": "stranger", "state": "open"}
    account_id = functions.rows("select id from ehr_accounts")[0]["id"]
    with functions.begin() as connection:
        connection.execute(sa.insert(t.schedule_conflicts).values(account_id=account_id, created_at=NOON, **values))


def conflicts(_: Functions, answer: Any) -> None:
    said = body(answer)
    assert [(item["externalId"], item["state"]) for item in said["items"]] == [("stranger", "open")]
    assert said["nextCursor"] is None


def accepted_webhook(functions: Functions, answer: Any) -> None:
    assert body(answer) == {}
    (event,) = functions.rows("select id, state from webhook_events")
    assert event["state"] == "received"
    assert functions.queues["EventQueue"].take() == [{"eventId": str(event["id"])}]


def accepted_delivery(functions: Functions, answer: Any) -> None:
    assert body(answer) == {}
    found = functions.rows("select id, source, external_id, state from webhook_events order by source")
    assert [(row["source"], row["external_id"], row["state"]) for row in found] == [
        ("athena", "1204881", "received"), ("athena_delivery", None, "ignored"),
    ]  # fmt: skip
    assert functions.queues["EventQueue"].take() == [{"eventId": str(found[0]["id"])}]


def an_applied_event(functions: Functions) -> None:
    a_stored_event(functions)
    functions.call("apply_event", functions.take("EventQueue"))
    functions.execute("update webhook_events set state = 'applied'")


def replayed(functions: Functions, answer: Any) -> None:
    assert answer == {"events": 1}
    (event,) = functions.rows("select id, state from webhook_events")
    assert event["state"] == "received"
    assert functions.queues["EventQueue"].take() == [{"eventId": str(event["id"])}]


def a_stored_event(functions: Functions) -> None:
    """Store what the webhook's sample sends under the id that this sample names."""
    functions.call("webhook", sample("webhook/intakeq"))
    functions.execute("update webhook_events set id = :id", id=named("apply_event/event", "eventId"))
    values = {"first_name": "Dana", "last_name": "Whitlock", "intakeq_client_id": "4821"}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.patients).values(**values))


def applied_event(functions: Functions, answer: Any) -> None:
    assert answer == DONE
    assert functions.rows("select state from webhook_events") == [{"state": "applied"}]
    assert functions.rows("select status from appointments") == [{"status": "confirmed"}]


def opened_run(functions: Functions, answer: Any) -> None:
    assert (answer["state"], answer["requestsUsed"]) == ("applying", 2)
    assert [message["runId"] for message in functions.queues["SyncQueue"].take()] == [answer["runId"]]


def quick_workers(functions: Functions) -> None:
    """Let the parts of a run be applied at once, as by workers who were waiting for them."""

    class Worked(MemoryQueue):
        def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
            super().send(messages, delay_seconds)
            assert functions.call("sync_org", records(self.take())) == DONE

    functions.queues["SyncQueue"] = Worked()


def finished_run(_: Functions, answer: Any) -> None:
    assert (answer["state"], answer["error"]) == ("completed", None)


def a_run(functions: Functions, run_id: UUID, state: str, phase: str) -> None:
    values = {
        "id": run_id,
        "account_id": functions.rows("select id from ehr_accounts")[0]["id"],
        "sync_type": "automated_daily",
        "state": state,
        "phase": phase,
        "window_first": NOON.date() - timedelta(days=90),
        "window_last": NOON.date() + timedelta(days=90),
        "started_at": NOON,
        "touched_at": NOON,
    }
    with functions.begin() as connection:
        connection.execute(sa.insert(t.sync_runs).values(**values))


def a_paused_run(functions: Functions) -> None:
    a_run(functions, named("sync_cron/go_on", "runId"), "pulling", "window")


def continued_run(functions: Functions, answer: Any) -> None:
    assert answer == DONE
    assert functions.rows("select state, requests_used from sync_runs") == [{"state": "applying", "requests_used": 2}]


def a_part(functions: Functions) -> None:
    run_id, log_id = (named("sync_org/part", name) for name in ("runId", "syncLogId"))
    a_run(functions, run_id, "applying", "pulled")
    values = {"sync_type": "automated_daily", "status": "in_progress", "started_at": NOON, "touched_at": NOON}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.sync_logs).values(id=log_id, run_id=run_id, **values))


def applied_part(functions: Functions, answer: Any) -> None:
    assert answer == DONE
    assert functions.rows("select l.status, r.state from sync_logs l join sync_runs r on r.id = l.run_id") == [
        {"status": "completed", "state": "completed"}
    ]


def leftovers(functions: Functions) -> None:
    """Leave a hold that ran out, and a webhook's event that nobody has taken."""
    values = {"provider_id": INES, "service_id": SERVICE_ID, "payer_id": PAYER, "start": TEN}
    ends = {"end": TEN + timedelta(hours=1), "created_at": NOON - timedelta(minutes=11), "expires_at": NOON}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.appointment_holds).values(**values, **ends))
    functions.call("webhook", sample("webhook/intakeq"))
    functions.queues["EventQueue"].take()
    functions.clock.advance(minutes=6)


def swept(functions: Functions, answer: Any) -> None:
    assert answer == {"holds_expired": 1, "slots_thawed": 0, "pulls": 0, "parts": 0, "events": 1}
    assert functions.rows("select id from appointment_holds") == []
    assert len(functions.queues["EventQueue"].take()) == 1


def migrated(functions: Functions, answer: Any) -> None:
    assert functions.rows("select version_num from alembic_version") == [{"version_num": answer["revision"]}]


def named(name: str, member: str) -> UUID:
    """Return the id that a sample message names."""
    return UUID(json.loads(sample(name)["Records"][0]["body"])[member])


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/appointments": a_visit,
    "admin/book": an_admin,
    "admin/cancel": a_visit,
    "admin/conflicts": an_admin_and_a_conflict,
    "admin/reschedule": a_visit,
    "apply_event/event": a_stored_event,
    "apply_event/replay": an_applied_event,
    "book/drop_hold": a_hold,
    "sweeper/every_minute": leftovers,
    "sync_cron/by_hand": quick_workers,
    "sync_cron/go_on": a_paused_run,
    "sync_org/part": a_part,
    **samples_admin.GIVEN,
    **samples_catalog.GIVEN,
    **samples_dashboard.GIVEN,
    **samples_people.GIVEN,
    **samples_provisioning.GIVEN,
    **samples_payers.GIVEN,
    **samples_syncadm.GIVEN,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/appointments": listed,
    "admin/book": booked_by_staff,
    "admin/cancel": cancelled,
    "admin/conflicts": conflicts,
    "admin/reschedule": moved,
    "apply_event/event": applied_event,
    "apply_event/replay": replayed,
    "availability/availability": availability,
    "availability/docs": page,
    "availability/eligibility": eligibility,
    "availability/health": health,
    "availability/openapi": document,
    "availability/payers": payers,
    "availability/services": services,
    "book/appointment": refused_without_a_token,
    "book/book": book,
    "book/calendar": refused_without_a_token,
    "book/cancel": refused_without_a_token,
    "book/drop_hold": dropped,
    "book/hold": held,
    "book/lead": kept_lead,
    "book/reschedule": refused_without_a_token,
    "migrate/deploy": migrated,
    "sweeper/every_minute": swept,
    "sync_cron/by_hand": finished_run,
    "sync_cron/go_on": continued_run,
    "sync_cron/schedule": opened_run,
    "sync_org/part": applied_part,
    "webhook/athena": accepted_delivery,
    "webhook/intakeq": accepted_webhook,
    **samples_admin.PROMISED,
    **samples_catalog.PROMISED,
    **samples_dashboard.PROMISED,
    **samples_people.PROMISED,
    **samples_provisioning.PROMISED,
    **samples_payers.PROMISED,
    **samples_syncadm.PROMISED,
}


def test_every_sample_is_tried_and_shown_in_its_readme() -> None:
    samples = {f"{path.parts[-3]}/{path.stem}" for path in (ROOT / "functions").glob("*/events/*.json")}
    assert samples == set(PROMISED)
    for name in samples:
        function, event = name.split("/")
        assert f"`events/{event}.json`" in (ROOT / "functions" / function / "README.md").read_text()


@pytest.mark.parametrize("name", PROMISED)
def test_a_sample_gets_the_answer_that_is_promised(functions: Functions, name: str) -> None:
    if name in GIVEN:
        GIVEN[name](functions)
    PROMISED[name](functions, functions.call(name.partition("/")[0], sample(name)))


def with_token(name: str, booked: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Return a sample about a visit as who holds a token of another visit would send it."""
    event = sample(name)
    path = event["rawPath"].replace(event["pathParameters"]["appointmentId"], booked["appointmentId"])
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    if "token" in event.get("queryStringParameters", {}):
        event |= {"rawQueryString": f"token={token}", "queryStringParameters": {"token": token}}
    else:
        event["headers"]["authorization"] = f"Bearer {token}"
    return event


def test_the_samples_for_a_visit_answer_to_who_holds_its_token(functions: Functions) -> None:
    functions.clock.advance(days=-2)
    booked = body(functions.call("book", sample("book/book")), 201)

    def ask(name: str) -> Any:
        return functions.call("book", with_token(name, booked, booked["manageToken"]))

    assert body(ask("book/appointment"))["start"] == "2027-03-11T10:00:00-07:00"
    assert ask("book/calendar")["body"].startswith("BEGIN:VCALENDAR")
    assert body(ask("book/reschedule"))["start"] == "2027-03-12T10:00:00-07:00"
    assert body(ask("book/cancel"))["status"] == "cancelled"
    assert body(ask("book/cancel"))["status"] == "cancelled"
    functions.clock.advance(days=40)
    for name in ("appointment", "calendar", "cancel", "reschedule"):
        assert body(ask(f"book/{name}"), 401)
