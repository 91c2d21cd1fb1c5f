"""What has to be there for the admin's sample events about people, and what each is promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_access import OPEN_HOUSE, add_partner, add_staff
from tests.fixtures_booking import EMIL, INES, TEN
from tests.fixtures_functions import Functions, sample


def _path(name: str, parameter: str) -> UUID:
    return UUID(sample(f"admin/{name}")["pathParameters"][parameter])


def _body(answer: Mapping[str, Any], status: int = 200) -> Any:
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def an_admin(functions: Functions) -> None:
    """Store who the samples' `sub` is."""
    claims = sample("admin/providers")["requestContext"]["authorizer"]["jwt"]["claims"]
    add_staff(functions, "admin", claims["sub"])


def a_visit(functions: Functions) -> None:
    """Store an admin, and a visit of Dana's with Ines."""
    an_admin(functions)
    _body(functions.call("book", sample("book/book")), 201)


def time_off(functions: Functions) -> None:
    """Store an admin, and time off of the provider under the id that the sample names."""
    an_admin(functions)
    row = {"id": _path("drop_time_off", "timeOffId"), "provider_id": INES, "start": TEN, "end": TEN.replace(hour=20)}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.provider_time_off).values(row))


def a_partner(functions: Functions) -> None:
    """Store an admin, and somebody of a partner organization under the id that the samples name."""
    an_admin(functions)
    user_id = add_partner(functions, "case_manager", "s-amos", OPEN_HOUSE)
    functions.execute(
        "update partner_users set id = :new where id = :old", new=_path("partner_user", "userId"), old=user_id
    )


def providers(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert [item["id"] for item in said["items"]] == [str(EMIL), str(INES)]


def added_provider(functions: Functions, answer: Any) -> None:
    said = _body(answer, 201)
    assert (said["name"], said["active"], said["ehr"]["practitionerId"]) == ("Ruth Abel", True, None)
    assert functions.rows("select name from providers where id = :id", id=UUID(said["id"])) == [{"name": "Ruth Abel"}]


def shown_provider(_: Functions, answer: Any) -> None:
    assert _body(answer)["summary"] == {"hours": 5, "contracts": 1}
    assert answer["headers"]["etag"].startswith('"')


def asked_to_stop(functions: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["dryRun"], said["changed"]) == (True, ["acceptingNewPatients", "active"])
    assert [item["reason"] for item in said["stranded"]["items"]] == ["provider_inactive"]
    assert functions.rows("select active from providers where id = :id", id=INES) == [{"active": True}]


def hours(_: Functions, answer: Any) -> None:
    assert [item["weekday"] for item in _body(answer)["items"]] == [0, 1, 2, 3, 4]


def asked_for_hours(functions: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["added"], said["ended"]) == (2, 5)
    assert [item["reason"] for item in said["stranded"]["items"]] == ["outside_hours"]
    assert len(functions.rows("select 1 from provider_hours where provider_id = :id", id=INES)) == 5


def listed_time_off(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["start"], item["end"]) == ("2027-03-11T10:00:00-07:00", "2027-03-11T13:00:00-07:00")


def added_time_off(functions: Functions, answer: Any) -> None:
    said = _body(answer, 201)
    assert [item["reason"] for item in said["stranded"]["items"]] == ["time_off"]
    assert [str(row["id"]) for row in functions.rows("select id from provider_time_off")] == [said["id"]]


def moved_time_off(functions: Functions, answer: Any) -> None:
    assert _body(answer)["id"] == str(_path("move_time_off", "timeOffId"))
    assert [row["end"] for row in functions.rows('select "end" from provider_time_off')] == [TEN.replace(hour=19)]


def dropped_time_off(functions: Functions, answer: Any) -> None:
    assert (answer["statusCode"], answer.get("body") or "") == (204, "")
    assert functions.rows("select 1 from provider_time_off") == []


def resynced(functions: Functions, answer: Any) -> None:
    said = _body(answer, 202)
    assert functions.queues["PullQueue"].take() == [{"runId": said["runs"][0]["runId"]}]
    assert (said["runs"][0]["system"], said["patientsWaiting"]) == ("intakeq", 0)


def organizations(_: Functions, answer: Any) -> None:
    assert [item["name"] for item in _body(answer)["items"]] == ["House"]


def added_organization(_: Functions, answer: Any) -> None:
    said = _body(answer, 201)
    assert (said["name"], said["active"], said["syncDaysAhead"], said["patientsActive"]) == (
        "Juniper House",
        True,
        120,
        0,
    )


def shown_organization(_: Functions, answer: Any) -> None:
    assert _body(answer)["lastSyncedAt"] is None


def closed_organization(functions: Functions, answer: Any) -> None:
    assert _body(answer)["active"] is False
    assert functions.rows("select active from organizations") == [{"active": False}]


def partner_users(_: Functions, answer: Any) -> None:
    assert [(item["name"], item["active"]) for item in _body(answer)["items"]] == [("Amos Tilbury", True)]


def added_partner_user(_: Functions, answer: Any) -> None:
    said = _body(answer, 201)
    assert (said["name"], said["identitySub"], said["active"]) == ("Leo Marsh", None, False)


def shown_partner_user(_: Functions, answer: Any) -> None:
    assert _body(answer)["role"] == "case_manager"


def changed_partner_user(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["role"], said["active"]) == ("partner_admin", False)


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/add_organization": an_admin,
    "admin/add_partner_user": a_partner,
    "admin/add_provider": an_admin,
    "admin/add_time_off": a_visit,
    "admin/change_organization": a_partner,
    "admin/change_partner_user": a_partner,
    "admin/change_provider": a_visit,
    "admin/drop_time_off": time_off,
    "admin/hours": an_admin,
    "admin/move_time_off": time_off,
    "admin/organization": a_partner,
    "admin/organizations": a_partner,
    "admin/partner_user": a_partner,
    "admin/partner_users": a_partner,
    "admin/provider": an_admin,
    "admin/providers": an_admin,
    "admin/replace_hours": a_visit,
    "admin/resync_provider": an_admin,
    "admin/time_off": time_off,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/add_organization": added_organization,
    "admin/add_partner_user": added_partner_user,
    "admin/add_provider": added_provider,
    "admin/add_time_off": added_time_off,
    "admin/change_organization": closed_organization,
    "admin/change_partner_user": changed_partner_user,
    "admin/change_provider": asked_to_stop,
    "admin/drop_time_off": dropped_time_off,
    "admin/hours": hours,
    "admin/move_time_off": moved_time_off,
    "admin/organization": shown_organization,
    "admin/organizations": organizations,
    "admin/partner_user": shown_partner_user,
    "admin/partner_users": partner_users,
    "admin/provider": shown_provider,
    "admin/providers": providers,
    "admin/replace_hours": asked_for_hours,
    "admin/resync_provider": resynced,
    "admin/time_off": listed_time_off,
}
