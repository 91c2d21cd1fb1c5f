"""Payers with their contracts and supervision, created and changed over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from moonlit.audit.store import Actor
from moonlit.contracting.answers import MOST_ROWS, PayerBody, kept
from moonlit.contracting.errors import PayerNameTaken
from moonlit.contracting.use_cases import PayerDesk, current
from moonlit.db.engine import beginner, connect
from moonlit.errors import MoonlitError
from moonlit.web.etags import StaleEtag, etag
from tests.fixtures_access import add_partner, add_staff, as_user
from tests.fixtures_booking import EMIL, INES, NEW_PAYER, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, SERVICE, MovableClock, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN
from tests.fixtures_payers import (
    OTHER,
    add_provider,
    add_visit,
    ask,
    change,
    contract,
    create,
    read,
    supervision,
)

__all__ = ["functions", "open_intakeq", "start_intakeq"]

INES_CONTRACT, EMIL_CONTRACT = UUID(int=0x70), UUID(int=0x71)
SYSTEM = Actor("system")
TABLES = ("payers", "provider_payer_networks", "supervision_relationships", "audit_log", "outbox")


@pytest.fixture(autouse=True)
def admin(functions: Functions) -> UUID:
    add_provider(functions)
    return add_staff(functions, "admin", ADMIN)


def everything(functions: Functions) -> dict[str, list[Any]]:
    """Return what a refusal must leave as it is. That somebody was refused is noted elsewhere, and may be."""
    where = {"audit_log": "where action <> 'refused'"}
    return {name: functions.rows(f"select * from {name} {where.get(name, '')} order by id") for name in TABLES}


def changes_of(functions: Functions) -> list[Any]:
    return functions.rows(
        "select action, entity, entity_id, before, after, actor_id, request_id from audit_log"
        " where action not in ('read', 'refused') order by entity desc, action"
    )


def test_nobody_but_an_admin_sees_or_keeps_payers(functions: Functions) -> None:
    for role in ("biller", "provider", "partner_admin"):
        (add_partner if role == "partner_admin" else add_staff)(functions, role, f"s-{role}")
    before = everything(functions)
    for name in ("payers", "create_payer", "payer", "change_payer"):
        for sub, status in (("s-biller", 403), ("s-provider", 403), ("s-partner_admin", 403), ("s-stranger", 401)):
            assert functions.call("admin", as_user(f"admin/{name}", sub=sub))["statusCode"] == status
    assert everything(functions) == before


def test_a_payer_is_created_with_its_rows_and_told_to_the_bundle(functions: Functions, admin: UUID) -> None:
    made = create(
        functions,
        name="  Juniper Health ",
        statusCode="pending",
        planCodes=["JH-100"],
        contracts=[contract(INES), contract(EMIL, None, status="credentialing_in_progress")],
        supervision=[supervision(OTHER, INES, level="co_visit_required")],
    )
    assert made.status == 201, made.said
    payer_id = made.said["id"]
    assert made.headers["location"] == f"/admin/payers/{payer_id}"
    shown = read(functions, payer_id)
    assert shown.headers["etag"] == made.headers["etag"]
    assert {key: made.said[key] for key in shown.said} == shown.said
    assert (shown.said["name"], shown.said["acceptance"], shown.said["serviceReady"]) == (
        "Juniper Health",
        {"status": "accepted", "from": None},
        False,
    )
    assert [row["providerId"] for row in shown.said["contracts"]] == [str(INES), str(EMIL)]
    assert {"id": str(OTHER), "name": "Noor Castellan"} in shown.said["providers"]
    assert [(each["entity"], each["action"]) for each in made.said["changes"]] == [
        ("payer", "created"),
        ("contract", "created"),
        ("contract", "created"),
        ("supervision", "created"),
    ]
    noted = changes_of(functions)
    assert [(row["entity"], row["action"], row["actor_id"], row["request_id"]) for row in noted] == [
        ("supervision", "create", admin, "request"),
        ("payer", "create", admin, "request"),
        ("contract", "create", admin, "request"),
        ("contract", "create", admin, "request"),
    ]
    assert {row["entity_id"] for row in noted} == {each["id"] for each in made.said["changes"]}
    assert noted[1]["after"] == made.said["changes"][0]["after"]
    assert [(event.kind, event.detail) for event in functions.events] == [("payer.created", {"payerId": payer_id})]


def test_what_was_read_may_be_sent_back_and_changes_nothing(functions: Functions) -> None:
    shown = read(functions)
    before = everything(functions)
    body = {name: shown.said[name] for name in ("planCodes", "contracts", "supervision")}
    again = change(functions, if_match=shown.headers["etag"], **body)
    assert (again.status, again.said["changes"], again.headers["etag"]) == (200, [], shown.headers["etag"])
    assert everything(functions) == before
    assert functions.events == []


def test_rows_without_ids_stand_for_those_that_are_about_the_same(functions: Functions) -> None:
    shown = read(functions)
    before = everything(functions)
    bare = [{name: value for name, value in row.items() if name != "id"} for row in shown.said["contracts"]]
    again = change(functions, if_match=shown.headers["etag"], planCodes=shown.said["planCodes"], contracts=bare)
    assert (again.status, again.said["changes"]) == (200, [])
    assert everything(functions) == before
    ended = change(functions, contracts=[bare[0] | {"endDate": "2030-12-31"}, *bare[1:]])
    (told,) = [each for each in ended.said["changes"] if each["entity"] == "contract"]
    assert (told["action"], told["id"]) == ("updated", shown.said["contracts"][0]["id"])


def test_an_active_contract_may_still_want_its_date_and_counts_for_nothing_until_then(functions: Functions) -> None:
    made = create(functions, contracts=[contract(INES, None)])
    assert (made.status, made.said["acceptance"]["status"]) == (201, "lead")


def test_a_list_that_is_sent_is_the_whole_new_list_and_one_that_is_left_out_stays(
    functions: Functions, admin: UUID
) -> None:
    added = change(functions, supervision=[supervision(OTHER, EMIL)])
    assert [(each["entity"], each["action"]) for each in added.said["changes"]] == [("supervision", "created")]
    (lent,) = added.said["supervision"]
    functions.execute("delete from audit_log")
    rows = [contract(INES, last="2027-12-31", id=INES_CONTRACT), contract(OTHER, "2027-04-01")]
    kept_ = change(functions, name="Cedar Health of Utah", contracts=rows, if_match=added.headers["etag"])
    assert kept_.status == 200, kept_.said
    told = {(each["entity"], each["action"]): each for each in kept_.said["changes"]}
    assert told.keys() == {
        ("payer", "updated"),
        ("contract", "updated"),
        ("contract", "created"),
        ("contract", "removed"),
    }
    assert told["contract", "updated"]["before"]["endDate"] is None
    assert told["contract", "updated"]["after"]["endDate"] == "2027-12-31"
    assert (told["contract", "removed"]["id"], told["contract", "removed"]["after"]) == (str(EMIL_CONTRACT), None)
    assert kept_.said["supervision"] == [lent]
    assert read(functions).headers["etag"] == kept_.headers["etag"]
    noted = {(row["entity"], row["action"]): row for row in changes_of(functions)}
    assert noted.keys() == {("payer", "update"), ("contract", "update"), ("contract", "create"), ("contract", "remove")}
    assert all((row["actor_id"], row["request_id"]) == (admin, "request") for row in noted.values())
    assert noted["payer", "update"]["before"]["name"] == "Cedar Health"
    assert noted["contract", "update"]["after"] == told["contract", "updated"]["after"]
    emptied = change(functions, name="Cedar Health of Utah", contracts=[], supervision=[])
    assert (emptied.said["contracts"], emptied.said["supervision"]) == ([], [])
    assert emptied.said["acceptance"]["status"] == "lead"


def test_a_change_says_which_state_it_was_made_from(functions: Functions) -> None:
    old = read(functions).headers["etag"]
    body = {"name": "Cedar Health", "type": "private", "statusCode": "pending"}
    missing = ask(functions, "change_payer", body, payerId=PAYER)
    assert (missing.status, missing.slug) == (428, "precondition-required")
    assert change(functions, statusCode="pending", if_match=old).status == 200
    before = everything(functions)
    stale = change(functions, statusCode="approved", if_match=old)
    assert (stale.status, stale.slug) == (412, "stale-etag")
    assert change(functions, if_match="no-etag").faults == [("/header/if-match", "string_pattern_mismatch")]
    assert change(functions, payer=UUID(int=0x99)).status == read(functions, UUID(int=0x99)).status == 404
    assert everything(functions) == before
    # What follows from instances, days and other tables makes no state stale.
    fresh = read(functions).headers["etag"]
    functions.execute("delete from service_instance_integrations")
    functions.clock.advance(days=400)
    assert read(functions).headers["etag"] == fresh


CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "unknown type": ({"type": "barter"}, [("/type", "literal_error")]),
    "unknown status": ({"statusCode": "maybe"}, [("/statusCode", "literal_error")]),
    "no lists": (
        {"contracts": None, "supervision": None},
        [("/contracts", "list_type"), ("/supervision", "list_type")],
    ),
    "dates": ({"contracts": [contract(INES, "2027-02-02", "2027-02-01")]}, [("/contracts/0/endDate", "dates")]),
    "dates of supervision": (
        {"supervision": [supervision(EMIL, INES, "2027-02-02", "2027-02-01")]},
        [("/supervision/0/endDate", "dates")],
    ),
    "overlap": (
        {
            "contracts": [
                contract(INES),
                contract(EMIL),
                contract(INES, "2030-01-01", status="credentialing_in_progress"),
            ]
        },
        [("/contracts/2", "contract_overlap")],
    ),
    "circle": (
        {"supervision": [supervision(EMIL, INES), supervision(INES, OTHER), supervision(OTHER, EMIL)]},
        [(f"/supervision/{n}", "supervision_circle") for n in range(3)],
    ),
    "oneself": ({"supervision": [supervision(EMIL, EMIL)]}, [("/supervision/0/attendingId", "two_people")]),
    "unknown providers": (
        {"contracts": [contract(UUID(int=9))], "supervision": [supervision(EMIL, UUID(int=9))]},
        [("/contracts/0/providerId", "unknown_id"), ("/supervision/0/attendingId", "unknown_id")],
    ),
    "unknown row": ({"contracts": [contract(INES, id=UUID(int=9))]}, [("/contracts/0/id", "unknown_id")]),
}


def test_what_cannot_stand_is_refused_with_its_place_and_changes_nothing(functions: Functions) -> None:
    before = everything(functions)
    for case, (body, faults) in CASES.items():
        assert create(functions, **body).faults == faults, case
        assert change(functions, **body).faults == faults, case
        assert change(functions, dry_run=True, **body).faults == faults, case
        assert everything(functions) == before, case
    assert functions.events == []


def test_rows_are_a_payers_own_and_named_once(functions: Functions) -> None:
    twice = [contract(INES, id=INES_CONTRACT), contract(INES, id=INES_CONTRACT)]
    assert change(functions, contracts=twice).faults == [("/contracts/1/id", "duplicate_id")]
    theirs = change(functions, payer=NEW_PAYER, name="Dune Mutual", contracts=[contract(INES, id=INES_CONTRACT)])
    assert theirs.faults == [("/contracts/0/id", "unknown_id")]


def test_a_circle_is_one_over_several_payers_and_over_the_ids_of_one_person(functions: Functions) -> None:
    functions.execute(
        "insert into supervision_relationships (id, resident_id, attending_id, level, effective_date, end_date)"
        " values (gen_random_uuid(), :resident, :attending, 'sign_off_only', '2026-01-01', '2026-12-31')",
        resident=EMIL,
        attending=INES,
    )
    assert change(functions, supervision=[supervision(INES, EMIL, "2027-01-01")]).status == 200
    across = create(functions, supervision=[supervision(EMIL, INES, "2027-06-01")])
    assert across.faults == [("/supervision/0", "supervision_circle")]
    any_payer = change(functions, supervision=[supervision(INES, EMIL, "2026-12-31")])
    assert any_payer.faults == [("/supervision/0", "supervision_circle")]
    assert len(read(functions).said["supervisionForAnyPayer"]) == 1
    functions.execute("update providers set person_key = 'one' where id in (:ines, :other)", ines=INES, other=OTHER)
    oneself = create(functions, supervision=[supervision(OTHER, INES, "2028-01-01")])
    assert oneself.faults == [("/supervision/0", "supervision_circle")]


def test_old_faults_do_not_bar_what_has_nothing_to_do_with_them(functions: Functions) -> None:
    functions.execute(
        "insert into provider_payer_networks (id, provider_id, payer_id, effective_date, status)"
        " values (gen_random_uuid(), :ines, :payer, '2026-06-01', 'active'),"
        " (gen_random_uuid(), :other, :payer, null, 'active')",
        ines=INES,
        other=OTHER,
        payer=PAYER,
    )
    rows = read(functions).said["contracts"]
    assert (
        change(functions, statusCode="pending", contracts=[*rows, contract(EMIL, "2020-01-01", "2020-02-01")]).status
        == 200
    )
    moved = [row | {"effectiveDate": "2026-07-01"} if row["effectiveDate"] == "2026-06-01" else row for row in rows]
    (place,) = [n for n, row in enumerate(moved) if row["effectiveDate"] == "2026-07-01"]
    assert change(functions, contracts=moved).faults == [(f"/contracts/{place}", "contract_overlap")]


def test_no_two_payers_have_one_name(functions: Functions) -> None:
    before = everything(functions)
    taken = create(functions, name=" cedar HEALTH")
    assert (taken.status, taken.slug) == (409, "payer-name-taken")
    renamed = change(functions, payer=NEW_PAYER, name="Cedar Health")
    assert (renamed.status, renamed.slug) == (409, "payer-name-taken")
    assert everything(functions) == before
    assert change(functions, name="CEDAR health").status == 200


def test_a_dry_run_tells_the_visits_that_would_have_no_ground_and_changes_nothing(
    functions: Functions, admin: UUID
) -> None:
    day = timedelta(days=1)
    kept_visit, hit = add_visit(functions), add_visit(functions, start=TEN + 30 * day)
    add_visit(functions, start=TEN + 31 * day, status="cancelled")
    add_visit(functions, start=NOON - day)
    add_visit(functions, provider_id=OTHER, start=TEN + 30 * day)  # Had no ground before either.
    add_visit(functions, provider_id=EMIL, start=TEN + 30 * day)
    before = everything(functions)
    rows = [contract(INES, last="2027-04-01", id=INES_CONTRACT), contract(EMIL, id=EMIL_CONTRACT), contract(OTHER)]
    dry = change(functions, dry_run=True, contracts=rows)
    assert dry.status == 200, dry.said
    assert [(each["action"], each["id"]) for each in dry.said["changes"]] == [
        ("updated", str(INES_CONTRACT)),
        ("created", None),
    ]
    assert dry.said["stranded"]["total"] == 1
    (item,) = dry.said["stranded"]["items"]
    assert (item["appointmentId"], item["reason"]) == (str(hit), "no_contract")
    assert dry.headers["etag"] == read(functions).headers["etag"]
    (seen,) = functions.rows("select * from audit_log where action = 'read'")
    assert (seen["entity"], seen["entity_id"], seen["actor_id"]) == ("payer", str(PAYER), admin)
    assert [str(each) for each in seen["patient_ids"]] == [item["patientId"]]
    functions.execute("delete from audit_log where action = 'read'")
    assert everything(functions) == before
    real = change(functions, contracts=rows, if_match=dry.headers["etag"])
    assert real.said["stranded"] == dry.said["stranded"]
    assert functions.rows("select status from appointments where id = :id", id=kept_visit) == [{"status": "confirmed"}]
    assert ask(functions, "change_payer", {}, query={"dryRun": "yes"}, payerId=PAYER).faults[0] == (
        "/query/dryRun",
        "true_or_false",
    )


def test_a_resident_is_stranded_with_the_attending_and_a_suspension_strands_nobody(functions: Functions) -> None:
    lent = [supervision(OTHER, EMIL), supervision(OTHER, INES)]
    assert change(functions, supervision=lent).said["stranded"]["total"] == 0
    theirs = add_visit(functions, provider_id=OTHER, rendering_provider_id=EMIL)
    anyones = add_visit(functions, provider_id=OTHER, start=TEN + timedelta(days=1))
    without_emil = [contract(INES, id=INES_CONTRACT)]
    hit = change(functions, dry_run=True, contracts=without_emil).said["stranded"]["items"]
    assert [item["appointmentId"] for item in hit] == [str(theirs)]
    none_at_all = change(functions, dry_run=True, contracts=[]).said["stranded"]["items"]
    assert [item["appointmentId"] for item in none_at_all] == [str(theirs), str(anyones)]
    assert change(functions, dry_run=True, statusCode="suspended").said["stranded"]["total"] == 0
    own = change(functions, dry_run=True, contracts=[contract(OTHER)])
    assert own.said["stranded"]["total"] == 0


def test_a_payer_that_is_taken_again_is_told_to_the_bundle_each_time(functions: Functions) -> None:
    assert change(functions, statusCode="rejected").said["acceptance"]["status"] == "lead"
    assert change(functions, dry_run=True, statusCode="approved").status == 200
    assert functions.events == []
    for status in ("approved", "suspended", None, "pending"):
        assert change(functions, statusCode=status).status == 200
    assert [event.detail for event in functions.events] == [{"payerId": str(PAYER)}] * 2
    assert len({event.id for event in functions.events}) == 2


def test_the_list_goes_by_name_and_filters(functions: Functions) -> None:
    create(functions, name="alder Plan", type="medicaid", state="ID")

    def names(**query: str) -> list[str]:
        return [item["name"] for item in ask(functions, "payers", query=query).said["items"]]

    assert sorted(names()) == ["Cedar Health", "Dune Mutual", "alder Plan"]
    assert names(q="DUNE") == names(statusCode="pending") == ["Dune Mutual"]
    assert names(type="medicaid") == names(state="ID") == ["alder Plan"]
    assert names(q="%") == []
    first = ask(functions, "payers", query={"limit": "2"})
    rest = ask(functions, "payers", query={"limit": "2", "cursor": first.said["nextCursor"]})
    assert [item["name"] for page in (first, rest) for item in page.said["items"]] == names()
    assert rest.said["nextCursor"] is None
    ready = {item["name"]: (item["serviceReady"], item["acceptance"]["status"]) for item in first.said["items"]}
    assert ready == {"Cedar Health": (True, "accepted"), "Dune Mutual": (False, "lead")}
    assert ask(functions, "payers", query={"cursor": "none"}).faults == [("/query/cursor", "cursor")]
    assert ask(functions, "payers", query={"status": "x"}).faults == [("/query/status", "extra_forbidden")]


# ── At the same time ──────────────────────────────────────────────────────────────────────────────────────────────────


def both(work: Callable[[PayerDesk, int], object], url: str) -> list[str]:
    """Have two processes do the work at once; return what became of them, sorted."""

    def alone(number: int) -> str:
        engine = connect(url)
        try:
            work(PayerDesk(beginner(engine), MovableClock(), lambda: None), number)
        except (MoonlitError, RequestValidationError) as error:
            return type(error).__name__
        finally:
            engine.dispose()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(alone, range(2)))


def test_of_two_who_change_one_state_one_is_told_that_it_is_stale(functions: Functions, app_url: str) -> None:
    with functions.begin() as connection:
        seen = etag(kept(current(connection, PAYER)))

    def rename(desk: PayerDesk, number: int) -> None:
        body = PayerBody.model_validate({"name": f"Cedar {number}", "type": "private"})
        desk.change(PAYER, body, SYSTEM, if_match=seen, dry_run=False)

    assert both(rename, app_url) == sorted([StaleEtag.__name__, "done"])
    assert len(functions.rows("select 1 from audit_log")) == 1


def test_of_two_who_create_one_name_one_is_told_that_it_is_taken(functions: Functions, app_url: str) -> None:
    def add(desk: PayerDesk, number: int) -> None:
        name = ("Elm Group", "ELM group ")[number]
        desk.create(PayerBody.model_validate({"name": name, "type": "medicaid"}), SYSTEM)

    assert both(add, app_url) == sorted([PayerNameTaken.__name__, "done"])
    assert len(functions.rows("select 1 from payers where name ilike 'elm group'")) == 1


def test_of_two_who_close_a_circle_from_both_ends_one_is_refused(functions: Functions, app_url: str) -> None:
    def add_half(desk: PayerDesk, number: int) -> None:
        ends = (INES, EMIL) if number else (EMIL, INES)
        body = {"name": f"Half {number}", "type": "private", "supervision": [supervision(*ends)]}
        desk.change((PAYER, NEW_PAYER)[number], PayerBody.model_validate(body), SYSTEM, if_match="*", dry_run=False)

    assert both(add_half, app_url) == sorted([RequestValidationError.__name__, "done"])
    assert len(functions.rows("select 1 from supervision_relationships")) == 1


def test_as_many_rows_as_one_may_send_are_kept_and_noted_at_once(functions: Functions) -> None:
    def rows(change_of_end: int) -> list[Any]:
        starts = [date(2027, 1, 1) + timedelta(days=2 * n) for n in range(MOST_ROWS)]
        return [contract(INES, str(start), str(start + timedelta(days=change_of_end))) for start in starts]

    made = create(functions, contracts=rows(0))
    assert (made.status, len(made.said["changes"])) == (201, MOST_ROWS + 1)
    later = [row | {"providerId": str(EMIL)} for row in rows(1)]
    swapped = change(functions, payer=made.said["id"], name="Juniper Health", contracts=later)
    assert (swapped.status, len(swapped.said["changes"])) == (200, 2 * MOST_ROWS + 1)
    assert functions.rows("select count(*) as n from audit_log") == [{"n": 3 * MOST_ROWS + 2}]
    too_many = change(functions, payer=made.said["id"], contracts=[contract()] * (MOST_ROWS + 1))
    assert too_many.faults == [("/contracts", "too_long")]


def test_what_a_payer_gets_by_its_events_makes_nothing_stale(functions: Functions) -> None:
    wanted = {"service_id": SERVICE_ID, "location": "Telehealth", "pos_code": "10", "mappings": {"intakeq": SERVICE}}
    functions.execute(
        "update practice_settings set default_services = cast(:wanted as jsonb)",
        wanted=json.dumps([wanted | {"name": "Intake", "required": True}], default=str),
    )

    def bring() -> None:
        event = functions.events.pop()
        detail = {"eventId": str(event.id), **event.detail}
        functions.call("payer_created", sample("payer_created/event") | {"detail": detail})

    made = create(functions, statusCode="suspended", contracts=[contract()])
    bring()
    assert read(functions, made.said["id"]).said["serviceReady"] is False  # Nobody sets up what is suspended.
    payer = {"name": "Juniper Health", "payer": made.said["id"], "statusCode": "approved"}
    lifted = change(functions, **payer, if_match=made.headers["etag"])
    bring()
    assert read(functions, made.said["id"]).said["serviceReady"] is True
    again = change(functions, **payer, if_match=lifted.headers["etag"])
    assert (again.status, again.said["changes"]) == (200, [])
