"""Leads, writes to the EHRs and the audit log as staff read them: filters, pages, what is noted, and how it is found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from moonlit.audit import listing
from moonlit.audit.listing import AuditFilter
from moonlit.audit.store import Actor, Audit
from moonlit.booking.lead_list import LeadList, LeadStep
from moonlit.db import tables as t
from moonlit.db.engine import Begin, connect
from tests.fixtures_access import OPEN_HOUSE, ROLES, add_partner, add_staff, as_user
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, as_admin, audited

__all__ = ["functions", "open_intakeq", "start_intakeq"]

NOBODYS = UUID("7c1e5f0c-6f55-4e0b-9a53-0f7a3d9f4b10")
DENVER = ZoneInfo("America/Denver")
SOMEBODYS = ("Dana", "Whitlock", "example.org", "801555")  # Parts of what leads and patients of the samples are called.


def call(functions: Functions, event: dict[str, Any]) -> tuple[int, Any]:
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def ask(functions: Functions, name: str, **query: object) -> tuple[int, Any]:
    """Return what a list answers to an admin."""
    told = {key.rstrip("_"): str(value) for key, value in query.items()}
    return call(functions, as_admin(f"admin/{name}") | {"queryStringParameters": told})


def pages(functions: Functions, name: str, **query: object) -> list[Any]:
    """Return the items of a list, read two at a time."""
    items: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        _, said = ask(functions, name, limit=2, **query, **cursor)
        items += said["items"]
        if said["nextCursor"] is None:
            return items
        assert len(said["items"]) == 2
        cursor = {"cursor": said["nextCursor"]}


def wrong(answer: tuple[int, Any]) -> list[tuple[str, str]]:
    """Return where a request was malformed, and how."""
    assert answer[0] == 422
    return [(error["pointer"], error["code"]) for error in answer[1]["errors"]]


def slug(said: Any) -> str:
    return str(said["type"]).rpartition("/")[2]


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def test_only_an_admin_follows_up(functions: Functions) -> None:
    others = [role for role in ROLES if role != "admin"]
    for role in others:
        (add_partner if role in {"partner_admin", "case_manager"} else add_staff)(functions, role, role)
    for name, role in zip(("leads", "lead", "follow_lead", "audit_log", "ehr_writes"), cycle(others), strict=False):
        assert call(functions, as_user(f"admin/{name}", sub=role))[0] == 403
        assert call(functions, as_user(f"admin/{name}", sub="s-stranger"))[0] == 401


# ── Leads ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_lead(functions: Functions, **values: Any) -> str:
    row = {"id": uuid4(), "payer_name": "Dune", "email": "dana.lead@example.org", "first_name": "Dana", **values}
    times = {"created_at": functions.clock.now(), "updated_at": functions.clock.now()}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.leads).values(**row, **times))
    return str(row["id"])


def follow(functions: Functions, lead_id: str, status: str, if_match: str | None = None) -> tuple[int, Any]:
    event = as_admin("admin/follow_lead", json.dumps({"status": status}), leadId=lead_id)
    if if_match:
        event["headers"]["if-match"] = if_match
    return call(functions, event)


def test_leads_are_found_by_their_day_and_status_the_newest_first(functions: Functions, admin: UUID) -> None:
    # NOON is the 10th of March at noon in Denver.
    old = add_lead(functions)
    functions.clock.advance(hours=13)
    newer = [add_lead(functions, status=status) for status in ("pending", "contacted")]
    assert [item["leadId"] for item in pages(functions, "leads")] == [*sorted(newer, reverse=True), old]
    assert [item["leadId"] for item in ask(functions, "leads", status="contacted")[1]["items"]] == [newer[1]]
    assert [item["leadId"] for item in ask(functions, "leads", to="2027-03-10")[1]["items"]] == [old]
    assert len(ask(functions, "leads", from_="2027-03-11", to="2027-03-11")[1]["items"]) == 2
    assert wrong(ask(functions, "leads", from_="2027-03-11", to="2027-03-10")) == [("/query/to", "before_from")]
    assert wrong(ask(functions, "leads", status="lost")) == [("/query/status", "literal_error")]
    looks = audited(functions, "read")
    assert {(look["entity"], look["actor_id"], look["request_id"]) for look in looks} == {("lead", admin, "request")}
    assert [look["after"] for look in looks if look["after"] == {"ids": [old]}]


def test_a_lead_goes_forward_only_and_each_step_is_noted(functions: Functions, admin: UUID) -> None:
    lead_id = add_lead(functions)
    shown = functions.call("admin", as_admin("admin/lead", leadId=lead_id))
    seen, etag = json.loads(shown["body"]), shown["headers"]["ETag"]
    assert (seen["firstName"], seen["createdAt"]) == ("Dana", "2027-03-10T12:00:00-07:00")
    functions.clock.advance(minutes=1)
    assert follow(functions, lead_id, "pending", etag) == (200, seen)  # As it is: no trace.
    status, said = follow(functions, lead_id, "contacted", etag)
    assert (status, said["status"], said["updatedAt"]) == (200, "contacted", "2027-03-10T12:01:00-07:00")
    status, said = follow(functions, lead_id, "converted", etag)
    assert (status, slug(said)) == (412, "stale-etag")
    status, said = follow(functions, lead_id, "pending")
    assert (status, slug(said)) == (409, "lead-status")
    assert functions.rows("select status from leads") == [{"status": "contacted"}]
    assert follow(functions, lead_id, "converted")[1]["status"] == "converted"
    assert slug(follow(functions, lead_id, "contacted")[1]) == "lead-status"
    straight = add_lead(functions)
    assert follow(functions, straight, "converted")[0] == 200
    assert follow(functions, straight, "lost")[0] == 422
    assert slug(follow(functions, str(NOBODYS), "contacted")[1]) == "not-found"
    assert call(functions, as_admin("admin/lead", leadId=NOBODYS))[0] == 404

    steps = audited(functions, "follow")
    assert sorted((row["entity_id"] == lead_id, row["before"]["status"], row["after"]["status"]) for row in steps) == [
        (False, "pending", "converted"), (True, "contacted", "converted"), (True, "pending", "contacted"),
    ]  # fmt: skip
    assert {(row["entity"], row["actor_id"]) for row in steps} == {("lead", admin)}
    told = json.dumps(functions.rows("select before, after, entity_id from audit_log"))
    assert not any(part in told for part in SOMEBODYS)


def test_of_two_who_take_the_same_step_at_once_one_leaves_a_trace(functions: Functions, database_url: str) -> None:
    lead_id, engines = UUID(add_lead(functions)), [connect(database_url) for _ in range(3)]

    def work(engine: sa.Engine) -> str:
        with engine.begin() as connection:
            audit = Audit(connection, Actor("staff", uuid4()), NOON)
            return LeadList(connection, DENVER).follow(lead_id, LeadStep(status="contacted"), None, audit).status

    with ThreadPoolExecutor(len(engines)) as threads:
        assert list(threads.map(work, engines)) == ["contacted"] * 3
    for engine in engines:
        engine.dispose()
    assert len(audited(functions, "follow")) == 1


# ── Writes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_writes_are_told_by_ids_and_codes_and_the_look_is_noted(functions: Functions, admin: UUID) -> None:
    booked = json.loads(functions.call("book", sample("book/book"))["body"])
    functions.clock.advance(minutes=1)
    event = as_admin(
        "admin/cancel", json.dumps({"reason": "Dana Whitlock is ill"}), appointmentId=booked["appointmentId"]
    )
    assert call(functions, event)[0] == 200
    status, said = ask(functions, "ehr_writes")
    (patient,) = functions.rows("select id from patients")
    cancelled, made = said["items"]
    assert (status, cancelled["kind"], made["kind"]) == (200, "cancel", "book")
    assert made | {
        "appointmentId": booked["appointmentId"], "patientId": str(patient["id"]), "system": "intakeq",
        "state": "confirmed", "externalId": booked["ehr"]["externalId"], "lastError": None, "nextLookAt": None,
        "createdAt": "2027-03-10T12:00:00-07:00",
    } == made  # fmt: skip
    assert not any(part in json.dumps(said) for part in SOMEBODYS)
    assert [item["kind"] for item in pages(functions, "ehr_writes")] == ["cancel", "book"]
    assert [item["kind"] for item in ask(functions, "ehr_writes", kind="cancel")[1]["items"]] == ["cancel"]
    assert ask(functions, "ehr_writes", state="waiting")[1]["items"] == []
    assert ask(functions, "ehr_writes", to="2027-03-09")[1]["items"] == []
    assert wrong(ask(functions, "ehr_writes", state="lost")) == [("/query/state", "literal_error")]
    looks = [row["patient_ids"] for row in audited(functions, "read") if row["entity"] == "ehr_write"]
    assert looks.count([patient["id"]]) == len(looks) - 2


# ── The audit log ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_tells_who_did_what_and_that_somebody_read_it(functions: Functions, admin: UUID) -> None:
    gone = add_staff(functions, "admin", "s-gone")
    partner = add_partner(functions, "case_manager", "s-partner")
    functions.call("admin", as_user("admin/replace_service", sub="s-gone"))
    functions.execute("delete from staff_users where id = :id", id=gone)
    patient, now = uuid4(), functions.clock.now()
    with functions.begin() as connection:
        Audit(connection, Actor("system"), now - timedelta(days=1)).changed("pull", "sync_run", "r-1")
        seen = Actor("partner", partner, OPEN_HOUSE, "request-2")
        Audit(connection, seen, now + timedelta(minutes=1)).read("patient", [patient], patient)
    functions.call("admin", as_user("admin/leads", sub="s-partner"))
    assert ask(functions, "services", limit=0)[0] == 422

    lines = pages(functions, "audit_log")
    by = {line["action"]: line for line in lines}
    assert [line["at"] for line in lines] == sorted((line["at"] for line in lines), reverse=True)
    assert by["update"]["actor"] == {"kind": "staff", "id": str(gone), "name": None, "organizationId": None}
    assert (by["update"]["before"]["durationMinutes"], by["update"]["after"]["durationMinutes"]) == (60, 75)
    refused = {line["actor"]["name"]: line for line in lines if line["action"] == "refused"}
    assert {name: (line["entity"], line["after"]["slug"]) for name, line in refused.items()} == {
        "Dora Finch": ("GET /admin/services", "malformed-request"),
        "Amos Tilbury": ("GET /admin/leads", "forbidden"),
    }
    assert (refused["Dora Finch"]["actor"]["kind"], refused["Dora Finch"]["requestId"]) == ("staff", "request")
    looked = next(line for line in lines if line["entity"] == "patient")
    assert looked["actor"] == {
        "kind": "partner", "id": str(partner), "name": "Amos Tilbury", "organizationId": str(OPEN_HOUSE),
    }  # fmt: skip
    assert (looked["entityId"], looked["patientIds"]) == (str(patient), [str(patient)])
    assert by["pull"]["actor"] == {"kind": "system", "id": None, "name": None, "organizationId": None}

    def found(**query: object) -> list[str]:
        return [line["action"] for line in ask(functions, "audit_log", **query)[1]["items"]]

    assert found(entity="service") == ["update"]
    assert found(entity="service", entityId=str(NOBODYS)) == []
    assert found(entityId=patient) == found(patientId=patient) == ["read"]
    assert found(patientId=NOBODYS) == []
    assert found(actor=gone) == found(actor=f"staff:{gone}") == ["update"]
    assert found(actor=f"partner:{gone}") == []
    assert sorted(found(actor=f"partner:{partner}")) == ["read", "refused"]
    assert found(actor="system") == ["pull"]
    assert found(action="update") == ["update"]
    assert found(to="2027-03-09") == ["pull"]
    assert found(from_="2027-03-10", to="2027-03-10", entity="sync_run") == []
    assert wrong(ask(functions, "audit_log", from_="2027-03-10", to="2027-03-09")) == [("/query/to", "before_from")]
    assert wrong(ask(functions, "audit_log", actor="Dora")) == [("/query/actor", "string_pattern_mismatch")]
    assert wrong(ask(functions, "audit_log", cursor="x")) == [("/query/cursor", "cursor")]
    reads = functions.rows("select * from audit_log where entity = 'audit_log'")
    assert {(row["action"], row["actor_id"]) for row in reads} == {("read", admin)}
    assert len(reads) > 12


ACTORS, THINGS = [uuid4() for _ in range(50)], [uuid4() for _ in range(400)]


@pytest.fixture
def full(begin: Begin) -> Iterator[sa.Connection]:
    """A long audit log, whose planner knows what is in it."""
    with begin() as connection:
        connection.execute(
            sa.text("""
                insert into audit_log (id, at, actor_kind, actor_id, action, entity, entity_id)
                select gen_random_uuid(), cast(:start as timestamptz) + n * interval '1 minute',
                    case when mod(n, 100) = 0 then 'system' else 'staff' end,
                    case when mod(n, 100) > 0 then (cast(:actors as uuid[]))[1 + mod(n, 50)] end,
                    case when mod(n, 500) = 0 then 'update' else 'read' end, 'thing' || mod(n, 20),
                    (cast(:things as uuid[]))[1 + mod(n * 7, 400)]::text
                from generate_series(1, 20000) n
            """),
            {"start": NOON, "actors": ACTORS, "things": THINGS},
        )
        connection.execute(sa.text("analyze audit_log"))
        yield connection


def plans(
    connection: sa.Connection, wanted: AuditFilter, after: str | None, limit: int = 50
) -> tuple[list[Mapping[str, Any]], str]:
    """Return the nodes of the plan by which the log is read, and the cursor of the next page."""
    told: list[tuple[str, Any]] = []

    def listen(_: object, __: object, statement: str, values: Any, *___: object) -> None:
        if "audit_log" in statement:
            told.append((statement, values))

    sa.event.listen(connection, "before_cursor_execute", listen)
    page = listing.page(connection, DENVER, wanted, limit=limit, after=after)
    sa.event.remove(connection, "before_cursor_execute", listen)
    ((statement, values),) = told
    plan = connection.exec_driver_sql(f"explain (analyze, format json) {statement}", values).scalar_one()
    assert page.next_cursor
    nodes = [plan[0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    return nodes, page.next_cursor


def test_the_log_is_read_along_an_index_whatever_is_asked_for(full: sa.Connection) -> None:
    """A page costs what it shows, not what the log holds: no line is read to be thrown away, none is sorted."""
    filters = [
        AuditFilter(),
        AuditFilter(first=date(2027, 3, 11), last=date(2027, 3, 15)),
        AuditFilter(entity="thing3"),
        AuditFilter(entity="thing3", first=date(2027, 3, 11)),
        AuditFilter(actor=str(ACTORS[7])),
        AuditFilter(actor=f"staff:{ACTORS[7]}", last=date(2027, 3, 20)),
        AuditFilter(actor="system"),
    ]
    for wanted in filters:
        cursor = None
        for _ in range(2):
            nodes, cursor = plans(full, wanted, cursor)
            assert {node["Node Type"] for node in nodes} <= {"Limit", "Index Scan"}, (wanted, nodes)
            assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) == 0, (wanted, nodes)


def test_who_has_seen_a_patient_is_found_among_all_looks(full: sa.Connection) -> None:
    looks = "update audit_log set patient_ids = array[gen_random_uuid(), case when mod(extract(epoch from at)::int / 60, 100) = 0"
    full.execute(sa.text(f"{looks} then cast(:id as uuid) else gen_random_uuid() end]"), {"id": NOBODYS})
    full.execute(sa.text("select gin_clean_pending_list('ix_audit_log_patient_ids')"))  # As autovacuum does.
    full.execute(sa.text("analyze audit_log"))
    nodes, _ = plans(full, AuditFilter(patient_id=NOBODYS), None)
    assert "ix_audit_log_patient_ids" in {node.get("Index Name") for node in nodes}


def test_the_lines_about_one_thing_are_read_along_their_index(full: sa.Connection) -> None:
    (thing, lines), *_ = full.execute(
        sa.text("select entity_id, count(*) from audit_log where entity = 'thing3' group by 1 order by 1")
    )
    wanted, cursor = AuditFilter(entity="thing3", entity_id=thing), None
    assert lines > 20
    for _ in range(2):
        nodes, cursor = plans(full, wanted, cursor, limit=8)
        assert [(node["Node Type"], node.get("Index Name")) for node in nodes] == [
            ("Limit", None), ("Index Scan", "ix_audit_log_entity_id"),
        ]  # fmt: skip
        assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) == 0
    nodes, _ = plans(full, AuditFilter(entity_id=thing), None, limit=8)  # There are not many: they may be sorted.
    assert "ix_audit_log_entity_id" in {node.get("Index Name") for node in nodes}
