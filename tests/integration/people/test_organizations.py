"""Partner organizations and their people as staff keep them, and what that opens and ends for them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.partners.calendar_tokens import CalendarTokens, Owner
from tests.fixtures_access import CLOSED_HOUSE, OPEN_HOUSE, add_partner, as_user
from tests.fixtures_intakeq import NOON
from tests.fixtures_mirror import add_patient
from tests.fixtures_people import Staff

OTHER_HOUSE = UUID(int=0xB0)
WANTED = {"name": "House", "active": True, "syncDaysBack": None, "syncDaysAhead": None}
LEO = {
    "organizationId": str(OPEN_HOUSE), "email": "leo.marsh@example.org", "name": "Leo Marsh", "role": "case_manager",
    "identitySub": "s-leo",
}  # fmt: skip


def roster(staff: Staff, sub: str) -> int:
    return int(staff.functions.call("dashboard", as_user("dashboard/roster", sub=sub))["statusCode"])


def affiliate(staff: Staff, organization_id: UUID, **values: Any) -> None:
    row = {"patient_id": add_patient(staff.functions), "organization_id": organization_id, "status": "active",
           "roi_consent": "active", **values}  # fmt: skip
    with staff.functions.begin() as connection:
        connection.execute(sa.insert(t.patient_organization_affiliations).values(row))


def test_an_organization_is_added_listed_and_changed(staff: Staff) -> None:
    added = staff.ask("add_organization", {"name": "Juniper House", "syncDaysBack": 30})
    organization_id = added.said["id"]
    assert (added.status, added.said) == (
        201,
        {
            "id": organization_id, "name": "Juniper House", "active": True, "syncDaysBack": 30, "syncDaysAhead": None,
            "patientsActive": 0, "lastSyncedAt": None,
        },
    )  # fmt: skip
    affiliate(staff, UUID(organization_id))
    affiliate(staff, UUID(organization_id))
    affiliate(staff, UUID(organization_id), status="ended")
    staff.functions.execute("update organizations set last_practiceq_sync_at = :now", now=NOON)
    read = staff.ask("organization", organizationId=organization_id)
    assert (read.said["patientsActive"], read.said["lastSyncedAt"]) == (2, "2027-03-10T12:00:00-07:00")
    same = {**WANTED, "name": "Juniper House", "syncDaysBack": 30}
    assert staff.ask("change_organization", same, organizationId=organization_id).etag == read.etag
    changed = staff.ask(
        "change_organization", same | {"name": "Pine House", "syncDaysAhead": 0}, if_match=read.etag,
        organizationId=organization_id,
    )  # fmt: skip
    again = staff.ask("organization", organizationId=organization_id)
    assert (again.said, again.etag) == (changed.said, changed.etag)
    assert (again.said["name"], again.said["syncDaysAhead"], again.said["patientsActive"]) == ("Pine House", 0, 2)
    stale = staff.ask("change_organization", same, if_match=read.etag, organizationId=organization_id)
    assert (stale.status, stale.slug) == (412, "stale-etag")
    created, updated = staff.audited("organization")
    assert (created["action"], created["actor_id"], created["request_id"]) == (
        "create", staff.id, "request-add_organization",
    )  # fmt: skip
    assert (updated["before"], updated["after"]) == (
        {"syncDaysAhead": None, "untold": ["name"]}, {"syncDaysAhead": 0, "untold": ["name"]},
    )  # fmt: skip
    staff.ask("add_organization", {"name": "Ash House", "active": False})
    first = staff.ask("organizations", query={"limit": "1"}).said
    second = staff.ask("organizations", query={"limit": "1", "cursor": first["nextCursor"]}).said
    assert [item["name"] for item in first["items"] + second["items"]] == ["Ash House", "Pine House"]
    assert second["nextCursor"] is None


WRONG_ORGANIZATIONS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"name": ""}, ("/name", "string_too_short")),
    ({"syncDaysBack": 731}, ("/syncDaysBack", "less_than_equal")),
    ({"syncDaysAhead": -1}, ("/syncDaysAhead", "greater_than_equal")),
    ({"active": None}, ("/active", "bool_type")),
    ({"patientsActive": 3}, ("/patientsActive", "extra_forbidden")),
]


def test_an_organization_that_makes_no_sense_is_refused(staff: Staff) -> None:
    add_partner(staff.functions, "partner_admin", "s-amos")
    for changes, error in WRONG_ORGANIZATIONS:
        assert staff.ask("add_organization", WANTED | changes).errors == [error]
        assert staff.ask("change_organization", WANTED | changes, organizationId=OPEN_HOUSE).errors == [error]
    assert staff.ask("change_organization", {"name": "House"}).errors == [("/active", "missing")]
    assert staff.ask("change_organization", WANTED, organizationId=uuid4()).slug == "not-found"
    assert staff.ask("organization", organizationId=uuid4()).slug == "not-found"
    assert staff.audited("organization") == []


def test_closing_an_organization_keeps_its_people_out_with_their_next_request(staff: Staff) -> None:
    user_id = add_partner(staff.functions, "partner_admin", "s-amos")
    assert roster(staff, "s-amos") == 200
    assert staff.ask("change_organization", WANTED | {"active": False}, organizationId=OPEN_HOUSE).status == 200
    assert roster(staff, "s-amos") == 403
    assert staff.ask("partner_user", userId=user_id).said["active"] is False
    assert staff.audited("organization")[0]["after"] == {"active": False}
    staff.ask("change_organization", WANTED, organizationId=OPEN_HOUSE)
    assert roster(staff, "s-amos") == 200


def test_somebody_is_added_and_may_sign_in_as_long_as_staff_say_so(staff: Staff) -> None:
    add_partner(staff.functions, "partner_admin", "s-amos")
    added = staff.ask("add_partner_user", LEO | {"email": "Leo.Marsh@Example.org", "identitySub": None})
    user_id = added.said["id"]
    assert (added.status, added.said) == (201, {"id": user_id, **LEO, "identitySub": None, "active": False})
    assert roster(staff, "s-leo") == 401
    signed_in = staff.ask("change_partner_user", LEO, if_match=added.etag, userId=user_id)
    assert (signed_in.status, signed_in.said["active"]) == (200, True)
    assert staff.ask("partner_user", userId=user_id).etag == signed_in.etag
    assert roster(staff, "s-leo") == 200
    assert staff.ask("change_partner_user", LEO, if_match=added.etag, userId=user_id).slug == "stale-etag"
    assert staff.ask("change_partner_user", LEO, userId=user_id).etag == signed_in.etag
    staff.ask("change_partner_user", LEO | {"identitySub": None, "role": "partner_admin"}, userId=user_id)
    assert roster(staff, "s-leo") == 401
    created, opened, closed = staff.audited("partner_user")
    assert created["after"] == {
        "organizationId": str(OPEN_HOUSE), "role": "case_manager", "active": False,
        "untold": ["email", "identitySub", "name"],
    }  # fmt: skip
    assert (opened["before"], opened["after"]) == (
        {"active": False, "untold": ["identitySub"]}, {"active": True, "untold": ["identitySub"]},
    )  # fmt: skip
    assert closed["after"] == {"active": False, "role": "partner_admin", "untold": ["identitySub"]}
    told = json.dumps([created, opened, closed], default=str).lower()
    assert "marsh" not in told
    assert "s-leo" not in told


def test_people_are_listed_by_name_of_all_organizations_or_of_one(staff: Staff) -> None:
    add_partner(staff.functions, "partner_admin", "s-amos")
    add_partner(staff.functions, "partner_admin", "s-closed", CLOSED_HOUSE)
    staff.ask("add_partner_user", LEO)
    first = staff.ask("partner_users", query={"limit": "2"}).said
    second = staff.ask("partner_users", query={"limit": "2", "cursor": first["nextCursor"]}).said
    shown = [(item["name"], item["active"]) for item in first["items"] + second["items"]]
    assert sorted(shown) == [("Amos Tilbury", False), ("Amos Tilbury", True), ("Leo Marsh", True)]
    assert [name for name, _ in shown] == sorted(name for name, _ in shown)
    ours = staff.ask("partner_users", query={"organizationId": str(CLOSED_HOUSE)}).said["items"]
    assert [item["organizationId"] for item in ours] == [str(CLOSED_HOUSE)]
    assert staff.ask("partner_users", query={"organizationId": str(uuid4())}).said["items"] == []


def test_no_two_have_one_address_or_sign_in_as_one(staff: Staff) -> None:
    amos = add_partner(staff.functions, "partner_admin", "s-amos")
    staff.functions.execute("update partner_users set email = 'Amos@example.org'")
    own = {**LEO, "email": "amos@example.org", "identitySub": "s-amos", "name": "Amos Tilbury", "role": "partner_admin"}
    assert staff.ask("change_partner_user", own, userId=amos).status == 200  # Their own are no one else's.
    staff.functions.execute("update partner_users set email = 'Amos@example.org'")
    leo = staff.ask("add_partner_user", LEO).said["id"]
    lines = len(staff.audited("partner_user"))
    for changes, slug in (
        ({"email": "aMos@example.org"}, "email-taken"),
        ({"identitySub": "s-amos"}, "identity-taken"),
    ):
        new = {**LEO, "email": "new@example.org", "identitySub": "s-new", **changes}
        for answer in (
            staff.ask("add_partner_user", new), staff.ask("change_partner_user", LEO | changes, userId=leo),
        ):  # fmt: skip
            assert (answer.status, answer.slug) == (409, slug)
            assert "amos" not in json.dumps(answer.said).lower()
    assert staff.ask("partner_user", userId=leo).said == {"id": leo, **LEO, "active": True}
    assert len(staff.functions.rows("select 1 from partner_users")) == 2
    assert len(staff.audited("partner_user")) == lines


WRONG_USERS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"organizationId": str(uuid4())}, ("/organizationId", "unknown_id")),
    ({"email": "leo"}, ("/email", "string_pattern_mismatch")),
    ({"role": "admin"}, ("/role", "literal_error")),
    ({"identitySub": ""}, ("/identitySub", "string_pattern_mismatch")),
    ({"active": True}, ("/active", "extra_forbidden")),
]


def test_somebody_who_makes_no_sense_is_refused(staff: Staff) -> None:
    amos = add_partner(staff.functions, "partner_admin", "s-amos")
    for changes, error in WRONG_USERS:
        assert staff.ask("add_partner_user", LEO | changes).errors == [error]
        assert staff.ask("change_partner_user", LEO | changes, userId=amos).errors == [error]
    assert staff.ask("change_partner_user", LEO, userId=uuid4()).slug == "not-found"
    assert staff.ask("partner_user", userId=uuid4()).slug == "not-found"
    assert (len(staff.functions.rows("select 1 from partner_users")), staff.audited("partner_user")) == (1, [])


def test_who_moves_to_another_organization_leaves_token_and_patients_behind(staff: Staff) -> None:
    leo = UUID(add_leo(staff))
    for house in (OPEN_HOUSE, OTHER_HOUSE):
        affiliate(staff, house, case_manager_id=leo)
    moved = staff.ask("change_partner_user", LEO | {"organizationId": str(OTHER_HOUSE)}, userId=leo)
    assert (moved.status, moved.said["organizationId"], moved.said["active"]) == (200, str(OTHER_HOUSE), True)
    assert staff.functions.rows("select 1 from calendar_tokens") == []
    kept = staff.functions.rows("select organization_id, case_manager_id from patient_organization_affiliations")
    assert {row["organization_id"]: row["case_manager_id"] for row in kept} == {OPEN_HOUSE: None, OTHER_HOUSE: leo}
    line = staff.audited("partner_user")[-1]
    assert (line["before"], line["after"]) == (
        {"organizationId": str(OPEN_HOUSE)}, {"organizationId": str(OTHER_HOUSE), "patientsReleased": 1},
    )  # fmt: skip


def test_who_may_not_sign_in_any_more_has_no_token_either(staff: Staff) -> None:
    leo = add_leo(staff)
    assert staff.ask("change_partner_user", LEO | {"name": "Leo M. Marsh"}, userId=leo).status == 200
    assert len(staff.functions.rows("select 1 from calendar_tokens")) == 1
    assert staff.ask("change_partner_user", LEO | {"identitySub": None}, userId=leo).status == 200
    assert staff.functions.rows("select 1 from calendar_tokens") == []


def add_leo(staff: Staff) -> str:
    """Add Leo, and a calendar token of his; there is another house to go to."""
    for house in (OPEN_HOUSE, OTHER_HOUSE):
        add_partner(staff.functions, "partner_admin", f"s-{house}", house)
    leo = str(staff.ask("add_partner_user", LEO).said["id"])
    with staff.functions.begin() as connection:
        CalendarTokens(connection).issue(Owner(UUID(leo), OPEN_HOUSE), NOON)
    return leo
