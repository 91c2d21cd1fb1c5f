"""Who may use the admin's routes, and the conflicts that they show."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from sqlalchemy.dialects.postgresql import Range

from moonlit.access.store import Principal, Role, Users
from moonlit.db import tables as t
from moonlit.sync.conflicts import open_conflicts
from moonlit.web import auth
from tests.fixtures_access import CLOSED_HOUSE, OPEN_HOUSE, ROLES, add_partner, add_staff, as_user
from tests.fixtures_booking import INES, TEN
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, PRACTITIONER, open_intakeq, start_intakeq

__all__ = ["functions", "open_intakeq", "start_intakeq"]

CONFLICTS = "admin/conflicts"
ADMIN = "s-admin"


def ask(functions: Functions, event: dict[str, Any]) -> tuple[int, Any]:
    """Return status and JSON of the answer to an event."""
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def asking(sub: str = ADMIN, **query: str) -> dict[str, Any]:
    return as_user(CONFLICTS, sub=sub) | {"queryStringParameters": query}


def slug(said: Any) -> str:
    return str(said["type"]).rpartition("/")[2]


# ── Who may ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", ROLES)
def test_only_an_admin_sees_the_conflicts(functions: Functions, role: str) -> None:
    add = add_partner if role in {"partner_admin", "case_manager"} else add_staff
    add(functions, role, "s-1")
    status, said = ask(functions, asking("s-1"))
    assert status == (200 if role == "admin" else 403)
    assert role == "admin" or slug(said) == "forbidden"


@pytest.mark.parametrize(
    "claims", [{"token_use": "id"}, {"token_use": None}, {"sub": None}, {"sub": "s-stranger"}, {"sub": ""}]
)
def test_a_token_that_is_no_access_token_of_somebody_known_is_refused(
    functions: Functions, claims: dict[str, Any]
) -> None:
    add_staff(functions, "admin", ADMIN)
    status, said = ask(functions, as_user(CONFLICTS, **{"sub": ADMIN, **claims}))
    assert (status, slug(said)) == (401, "sign-in-refused")


@pytest.mark.parametrize("authorizer", [None, {}, {"jwt": None}, {"jwt": {"claims": None}}, {"lambda": {"sub": ADMIN}}])
def test_an_event_that_no_authorizer_has_seen_is_refused(functions: Functions, authorizer: Any) -> None:
    add_staff(functions, "admin", ADMIN)
    event = sample(CONFLICTS)
    event["requestContext"]["authorizer"] = authorizer
    assert ask(functions, event)[0] == 401


def test_somebody_without_a_sub_is_not_found_by_its_absence(functions: Functions) -> None:
    add_staff(functions, "admin", ADMIN)
    functions.execute("update staff_users set identity_sub = null")
    assert ask(functions, asking())[0] == 401


def test_who_loses_a_role_loses_it_with_the_next_request(functions: Functions) -> None:
    add_staff(functions, "admin", ADMIN)
    assert ask(functions, asking())[0] == 200
    functions.execute("update staff_users set role = 'biller'")
    assert ask(functions, asking())[0] == 403
    functions.execute("delete from staff_users")
    assert ask(functions, asking())[0] == 401


def signed_in(functions: Functions, sub: str, *roles: Role) -> Principal:
    return auth.require(functions.begin, APIGatewayProxyEventV2(as_user(CONFLICTS, sub=sub)), *roles)


def test_a_principal_says_whose_patients_they_may_see_and_which_provider_they_are(functions: Functions) -> None:
    provider = add_staff(functions, "provider", "s-1")
    manager = add_partner(functions, "case_manager", "s-2")
    assert signed_in(functions, "s-1", "admin", "provider") == Principal(
        provider, "staff", "provider", provider_id=INES
    )
    assert signed_in(functions, "s-2", "case_manager", "partner_admin") == Principal(
        manager, "partner", "case_manager", organization_id=OPEN_HOUSE
    )


def test_each_is_known_as_nobody_else(functions: Functions) -> None:
    people = {
        "s-1": add_staff(functions, "admin", "s-1"),
        "s-2": add_staff(functions, "admin", "s-2"),
        "s-3": add_partner(functions, "case_manager", "s-3"),
        "s-4": add_partner(functions, "case_manager", "s-4"),
    }
    with functions.begin() as connection:
        users = Users(connection)
        assert {sub: [one.user_id for one in users.known_as(sub)] for sub in people} == {
            sub: [user_id] for sub, user_id in people.items()
        }


def test_people_of_a_closed_organization_may_do_nothing(functions: Functions) -> None:
    add_partner(functions, "partner_admin", "s-1", CLOSED_HOUSE)
    with pytest.raises(auth.Forbidden):
        signed_in(functions, "s-1", "partner_admin")


def test_who_is_of_both_sides_is_on_each_who_they_are_there(functions: Functions) -> None:
    staff = add_staff(functions, "biller", "s-1")
    partner = add_partner(functions, "partner_admin", "s-1")
    assert signed_in(functions, "s-1", "biller").user_id == staff
    assert signed_in(functions, "s-1", "partner_admin").user_id == partner
    with pytest.raises(auth.Forbidden):
        signed_in(functions, "s-1", "admin")


# ── Conflicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def visit(functions: Functions) -> UUID:
    """Book a visit and return its id."""
    answer = functions.call("book", sample("book/book"))
    return UUID(json.loads(answer["body"])["appointmentId"])


def conflict(functions: Functions, visit: UUID, external_id: str, **values: Any) -> None:
    account_id = functions.rows("select id from ehr_accounts")[0]["id"]
    row = {"appointment_id": visit, "account_id": account_id, "external_id": external_id, "state": "open"}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.schedule_conflicts).values(**row | {"created_at": NOON} | values))


def test_a_strangers_row_over_a_visit_is_shown_in_the_practices_zone(functions: Functions, visit: UUID) -> None:
    add_staff(functions, "admin", ADMIN)
    account_id = functions.rows("select id from ehr_accounts")[0]["id"]
    stranger = {"external_id": "stranger", "practitioner_id": PRACTITIONER, "status": "confirmed", "raw": {}}
    with functions.begin() as connection:
        span = Range(TEN, TEN + timedelta(hours=1))
        values = stranger | {"span": span, "modified_at": NOON, "content_hash": "x", "seen_at": NOON}
        connection.execute(sa.insert(t.ehr_appointments).values(account_id=account_id, **values))
        assert open_conflicts(connection, account_id, NOON) == 1
    status, said = ask(functions, asking())
    assert (status, said["nextCursor"]) == (200, None)
    (item,) = said["items"]
    assert UUID(item.pop("conflictId"))
    assert item == {
        "appointmentId": str(visit),
        "patientId": str(functions.rows("select patient_id from appointments")[0]["patient_id"]),
        "system": "intakeq",
        "externalId": "stranger",
        "createdAt": "2027-03-10T12:00:00-07:00",
        "state": "open",
    }


def test_pages_hold_every_open_conflict_once_oldest_first(functions: Functions, visit: UUID) -> None:
    add_staff(functions, "admin", ADMIN)
    for number in range(5):  # Two of each instant, so that a page ends between equals.
        conflict(functions, visit, f"row-{number}", created_at=NOON - timedelta(microseconds=number // 2))
    conflict(functions, visit, "settled", state="resolved")
    seen, query = [], {"limit": "1"}
    while query.get("cursor") != "":
        said = ask(functions, asking(**query))[1]
        assert len(said["items"]) == 1
        seen += said["items"]
        query["cursor"] = said["nextCursor"] or ""
    assert {item["externalId"] for item in seen} == {f"row-{number}" for number in range(5)}
    assert [(item["createdAt"], item["conflictId"]) for item in seen] == sorted(
        (item["createdAt"], item["conflictId"]) for item in seen
    )
    whole = ask(functions, asking(limit="5"))[1]
    assert (whole["items"], whole["nextCursor"]) == (seen, None)


def test_who_was_shown_is_noted_for_each_look(functions: Functions, visit: UUID) -> None:
    admin = add_staff(functions, "admin", ADMIN)
    conflict(functions, visit, "row")
    (patient,) = functions.rows("select id from patients")
    assert ask(functions, asking())[0] == 200
    assert ask(functions, as_user("admin/appointments", sub=ADMIN))[0] == 200
    nobody = as_user("admin/appointments", sub=ADMIN) | {"queryStringParameters": {"to": "2020-01-01"}}
    assert ask(functions, nobody)[0] == 200
    looks = functions.rows("select actor_kind, actor_id, action, entity, patient_ids, request_id from audit_log")
    assert {(look["actor_kind"], look["actor_id"], look["action"], look["request_id"]) for look in looks} == {
        ("staff", admin, "read", "request")
    }
    assert sorted((look["entity"], look["patient_ids"]) for look in looks) == [
        ("appointment", []),
        ("appointment", [patient["id"]]),
        ("schedule_conflict", [patient["id"]]),
    ]


# The year 1 in a zone ahead of UTC, which has no year 0.
FAR_PAST = urlsafe_b64encode(b'["0001-01-01T00:00:00+23:59", "00000000-0000-0000-0000-000000000001"]').decode()


@pytest.mark.parametrize("cursor", ["x", "bnVsbA==", "WzEsIDJd", "WyIyMDI3LTAzLTEwIiwgMl0=", FAR_PAST])
def test_a_cursor_of_nobodys_is_malformed(functions: Functions, cursor: str) -> None:
    add_staff(functions, "admin", ADMIN)
    status, said = ask(functions, asking(cursor=cursor))
    assert (status, said["errors"]) == (422, [{"pointer": "/query/cursor", "code": "cursor"}])


def test_members_are_named_as_the_contract_names_them(functions: Functions) -> None:
    add_staff(functions, "admin", "boss")
    event = as_user("admin/create_payer", sub="boss") | {
        "body": '{"name": "Elm", "type": "private", "status_code": null}'
    }
    answer = functions.call("admin", event)
    assert (answer["statusCode"], json.loads(answer["body"])["errors"]) == (
        422,
        [{"pointer": "/?", "code": "extra_forbidden"}],
    )


def test_a_partner_who_tries_the_offices_doors_leaves_a_trace(functions: Functions) -> None:
    user_id = add_partner(functions, "case_manager", "partner")
    assert functions.call("admin", as_user("admin/payers", sub="partner"))["statusCode"] == 403
    (line,) = functions.rows("select actor_kind, actor_id, entity, after from audit_log where action = 'refused'")
    assert (line["actor_kind"], line["actor_id"], line["entity"]) == ("partner", user_id, "GET /admin/payers")
