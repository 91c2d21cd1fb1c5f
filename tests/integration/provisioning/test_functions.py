"""A new payer, from its event to being bookable; and direct calls that make no sense."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from moonlit import wiring
from moonlit.booking.outbox import Outbox
from moonlit.db.engine import beginner, connect
from moonlit.events import EventBus, EventsNotPublished
from moonlit.provisioning.errors import BackfillRefused, ProvisioningIncomplete
from moonlit.relay import PAYER_CREATED, relay_at_once
from tests.fixtures_access import add_staff, as_user
from tests.fixtures_booking import NEW_PAYER
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.samples_provisioning import defaults

__all__ = ["functions", "open_intakeq", "start_intakeq"]


def told(payer_id: UUID = NEW_PAYER) -> dict[str, Any]:
    """Return the event that the bus hands over."""
    return sample("payer_created/event") | {"detail": {"eventId": str(uuid4()), "payerId": str(payer_id)}}


def created(functions: Functions, payer_id: UUID = NEW_PAYER) -> None:
    """Leave the event of a new payer in the outbox."""
    with functions.begin() as connection:
        Outbox(connection).add(PAYER_CREATED, payer_id, NOON, payerId=str(payer_id))


def made(functions: Functions, payer_id: UUID = NEW_PAYER) -> list[str]:
    """Return the systems that the payer's live instances are mapped in."""
    rows = functions.rows(
        "select m.system from service_instances i join service_instance_integrations m on m.service_instance_id = i.id"
        " where i.payer_id = :id and i.retired_at is null order by 1", id=payer_id,
    )  # fmt: skip
    return [row["system"] for row in rows]


def changes(functions: Functions) -> list[Any]:
    return functions.rows(
        "select action, actor_kind, request_id from audit_log where entity = 'service_instance' order by at, id"
    )


def test_a_new_payer_is_made_bookable_once_however_often_and_late_it_is_told(functions: Functions) -> None:
    defaults(functions)
    event = told()
    answer = functions.call("payer_created", event)
    assert made(functions) == ["athena", "intakeq"]
    noted = changes(functions)
    assert {(line["actor_kind"], line["request_id"]) for line in noted} == {("system", event["detail"]["eventId"])}
    assert len(noted) == 3
    functions.clock.advance(days=3)
    assert functions.call("payer_created", event) == {"runId": None}
    assert functions.call("payer_created", told()) == {"runId": None}
    assert [str(row["id"]) for row in functions.rows("select id from provisioning_runs")] == [answer["runId"]]
    assert changes(functions) == noted


@pytest.mark.parametrize("status", ["suspended", "rejected"])
def test_a_payer_that_is_barred_is_left_alone(functions: Functions, status: str) -> None:
    defaults(functions)
    functions.execute("update payers set status_code = :status", status=status)
    assert functions.call("payer_created", told()) == {"runId": None}
    assert made(functions) == []


def test_a_payer_that_is_gone_is_nobodys_trouble(functions: Functions) -> None:
    assert functions.call("payer_created", told(uuid4())) == {"runId": None}


def test_a_mapping_that_fails_leaves_the_instance_and_is_made_by_the_next_attempt(functions: Functions) -> None:
    defaults(functions)
    functions.execute("alter table service_instance_integrations add constraint ck_made_up check (system <> 'athena')")
    event = told()
    for _ in range(2):
        with pytest.raises(ProvisioningIncomplete):
            functions.call("payer_created", event)
        assert made(functions) == ["intakeq"]
    functions.execute("alter table service_instance_integrations drop constraint ck_made_up")
    functions.call("payer_created", event)
    assert made(functions) == ["athena", "intakeq"]
    states = [row["state"] for row in functions.rows("select state from provisioning_runs order by started_at, state")]
    assert sorted(states) == ["applied", "partial", "partial"]


def test_what_is_committed_is_published_at_once(functions: Functions) -> None:
    created(functions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVENT_BUS_NAME", "bus")
        relay_at_once(functions.begin, functions.clock, wiring.publisher())
    (event,) = functions.events
    assert (event.kind, event.detail) == (PAYER_CREATED, {"payerId": str(NEW_PAYER)})
    (row,) = functions.rows("select sent_at from outbox")
    assert row["sent_at"] == NOON


def test_what_the_bus_did_not_take_is_published_by_the_next_sweep_and_the_payer_is_bookable(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults(functions)
    created(functions)
    works = EventBus.publish
    with monkeypatch.context() as patch:
        patch.setenv("EVENT_BUS_NAME", "bus")

        def away(*_: object) -> None:
            raise EventsNotPublished("away")

        patch.setattr(EventBus, "publish", away)
        relay_at_once(functions.begin, functions.clock, wiring.publisher())
    assert EventBus.publish is works
    assert functions.rows("select id from outbox where sent_at is null")
    assert functions.call("sweeper", sample("sweeper/every_minute"))["events_relayed"] == 1
    (event,) = functions.events
    functions.call("payer_created", told() | {"detail": {"eventId": str(event.id), **event.detail}})
    assert made(functions) == ["athena", "intakeq"]
    functions.call("sweeper", sample("sweeper/every_minute"))
    assert len(functions.events) == 1


def test_what_cannot_be_noted_as_published_is_published_again_and_its_caller_answered(
    functions: Functions, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(functions)
    monkeypatch.setenv("EVENT_BUS_NAME", "bus")
    rival, impatient = connect(app_url), connect(app_url)
    with impatient.begin() as connection:
        connection.execute(sa.text("set lock_timeout = '50ms'"))
    with rival.begin() as connection:
        connection.execute(sa.text("select from outbox for update"))
        relay_at_once(beginner(impatient), functions.clock, wiring.publisher())
    for engine in (rival, impatient):
        engine.dispose()
    assert functions.call("sweeper", sample("sweeper/every_minute"))["events_relayed"] == 1
    first, second = functions.events
    assert first == second


def test_an_event_that_comes_twice_leaves_alone_what_people_did_since(functions: Functions) -> None:
    defaults(functions)
    created(functions)
    (waiting,) = functions.rows("select id from outbox")
    event = told() | {"detail": {"eventId": str(waiting["id"]), "payerId": str(NEW_PAYER)}}
    run = functions.call("payer_created", event)["runId"]
    functions.execute("update service_instance_integrations set external_id = 'their-own'")
    assert functions.call("payer_created", event) == {"runId": None}
    assert {row["external_id"] for row in functions.rows("select external_id from service_instance_integrations")} == {
        "their-own"
    }
    functions.execute("delete from service_instance_integrations")
    functions.execute("update provisioning_runs set state = 'undone'")
    assert functions.call("payer_created", event) == {"runId": None}
    assert [str(row["id"]) for row in functions.rows("select id from provisioning_runs")] == [run]
    functions.call("payer_created", told())  # Of another event, such as that a bar was lifted.
    assert made(functions) == ["athena", "intakeq"]


def test_what_is_told_to_people_stays_in_the_outbox(functions: Functions) -> None:
    with functions.begin() as connection:
        Outbox(connection).add("lead_created", uuid4(), NOON, leadId="x")
    functions.call("sweeper", sample("sweeper/every_minute"))
    assert functions.events == []
    assert functions.rows("select id from outbox where sent_at is null")


def everything(functions: Functions) -> list[Any]:
    return [
        functions.rows(f"select * from {table} order by 1")
        for table in ("service_instances", "service_instance_integrations", "provisioning_runs", "audit_log")
    ]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"mode": "dryRun"},
        {"mode": "dryrun", "requestedBy": "admin@example.org"},
        {"dryRun": True, "requestedBy": "admin@example.org"},
        {"mode": "apply", "dryRun": True, "requestedBy": "admin@example.org"},
        {"mode": "apply", "strategy": "everybody", "requestedBy": "admin@example.org"},
        {"mode": "apply", "payerIds": [], "requestedBy": "admin@example.org"},
        {"mode": "apply", "payerIds": ["x"], "requestedBy": "admin@example.org"},
        {"mode": "apply", "undo": str(uuid4()), "requestedBy": "admin@example.org"},
        {"undo": str(uuid4()), "strategy": "all", "requestedBy": "admin@example.org"},
        {"mode": "apply", "requestedBy": "admin"},
    ],
)
def test_a_call_that_makes_no_sense_changes_nothing(functions: Functions, event: dict[str, Any]) -> None:
    defaults(functions)
    before = everything(functions)
    with pytest.raises(ValidationError) as refused:
        functions.call("backfill", event)
    assert "admin@example.org" not in str(refused.value)
    assert everything(functions) == before


def test_nobody_else_makes_payers_bookable(functions: Functions) -> None:
    defaults(functions)
    add_staff(functions, "biller", "b", email="biller@example.org")
    before = everything(functions)
    for address in ("biller@example.org", "nobody@example.org"):
        with pytest.raises(BackfillRefused) as refused:
            functions.call("backfill", {"mode": "apply", "requestedBy": address})
        assert address not in str(refused.value)
    with pytest.raises(BackfillRefused, match="not-found: "):
        functions.call("backfill", {"undo": str(uuid4()), "requestedBy": "admin@example.org"})
    with pytest.raises(BackfillRefused, match="not-found: "):
        functions.call("backfill", {"mode": "apply", "payerIds": [str(uuid4())], "requestedBy": "admin@example.org"})
    assert everything(functions) == before


def test_the_run_is_the_admins_by_id(functions: Functions) -> None:
    defaults(functions)
    run = functions.call("backfill", {"mode": "apply", "requestedBy": "Admin@Example.org"})
    (admin,) = functions.rows("select id from staff_users")
    assert run["requestedBy"] == f"staff:{admin['id']}"
    assert {line["actor_kind"] for line in changes(functions)} == {"staff"}


def with_body(name: str, body: Any) -> dict[str, Any]:
    return sample(name) | {"body": json.dumps(body)}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/mode", "missing"),
        ({"mode": "dryRunn"}, "/mode", "literal_error"),
        ({"mode": "apply", "strategy": "most"}, "/strategy", "enum"),
        ({"mode": "apply", "payerIds": []}, "/payerIds", "too_short"),
        ({"mode": "apply", "dryRun": True}, "/dryRun", "extra_forbidden"),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_with_its_place(
    functions: Functions, body: Any, pointer: str, code: str
) -> None:
    defaults(functions)
    answer = functions.call("admin", with_body("admin/start_provisioning", body))
    assert answer["statusCode"] == 422
    assert {"pointer": pointer, "code": code} in json.loads(answer["body"])["errors"]
    assert functions.rows("select id from provisioning_runs") == []


@pytest.mark.parametrize("name", ["start_provisioning", "provisioning_runs", "provisioning_run", "undo_provisioning"])
def test_only_admins_reach_it(functions: Functions, name: str) -> None:
    add_staff(functions, "biller", "the-biller")
    assert functions.call("admin", as_user(f"admin/{name}", sub="the-biller"))["statusCode"] == 403


def test_over_http_a_payer_is_unknown_a_run_is_touched_and_a_cursor_is_none(functions: Functions) -> None:
    defaults(functions)
    unknown = with_body("admin/start_provisioning", {"mode": "apply", "payerIds": [str(uuid4())]})
    assert functions.call("admin", unknown)["statusCode"] == 404
    assert functions.rows("select id from provisioning_runs") == []
    run = json.loads(functions.call("admin", with_body("admin/start_provisioning", {"mode": "apply"}))["body"])
    with functions.begin() as connection:
        connection.execute(sa.text("update service_instance_integrations set external_id = 'other'"))
    event = sample("admin/undo_provisioning") | {"pathParameters": {"runId": run["runId"]}}
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"/admin/provisioning/runs/{run['runId']}/undo"
    refused = functions.call("admin", event)
    assert (refused["statusCode"], json.loads(refused["body"])["type"].rsplit("/", 1)[-1]) == (409, "run-touched")
    paged = sample("admin/provisioning_run") | {"queryStringParameters": {"cursor": "x1"}}
    paged["rawPath"] = paged["requestContext"]["http"]["path"] = f"/admin/provisioning/runs/{run['runId']}"
    assert functions.call("admin", paged)["statusCode"] == 422
