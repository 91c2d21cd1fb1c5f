"""The practice's settings as staff read and change them, and who finds them changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_access import ROLES, add_partner, add_staff, as_user
from tests.fixtures_booking import SERVICE_ID
from tests.fixtures_functions import Context, Functions, functions, loaded, sample
from tests.fixtures_intakeq import open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, as_admin, audited

__all__ = ["functions", "open_intakeq", "start_intakeq"]

INTAKE = {
    "name": "Intake", "serviceId": str(SERVICE_ID), "location": "Telehealth", "posCode": "10", "required": True,
    "mappings": {"intakeq": "svc-1", "athena": None},
}  # fmt: skip


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def show(functions: Functions) -> tuple[Any, str]:
    """Return the settings and their ETag."""
    answer = functions.call("admin", as_admin("admin/settings"))
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"]), answer["headers"]["ETag"]


def put(functions: Functions, body: Any, if_match: str | None = None) -> tuple[int, Any]:
    event = as_admin("admin/change_settings", json.dumps(body))
    event["headers"].pop("if-match")
    if if_match:
        event["headers"]["if-match"] = if_match
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def kept(functions: Functions) -> Mapping[str, Any]:
    """Return the row as it is stored."""
    (row,) = functions.rows("select * from practice_settings")
    return row


def slug(said: Any) -> str:
    return str(said["type"]).rpartition("/")[2]


def test_only_an_admin_sees_or_changes_the_settings(functions: Functions) -> None:
    for role in ROLES:
        (add_partner if role in {"partner_admin", "case_manager"} else add_staff)(functions, role, role)
        for name in ("settings", "change_settings"):
            answer = functions.call("admin", as_user(f"admin/{name}", sub=role))
            assert answer["statusCode"] == (200 if role == "admin" else 403)
    assert functions.call("admin", as_user("admin/settings", sub="s-stranger"))["statusCode"] == 401


def test_the_settings_are_changed_as_a_whole_and_say_no_more_than_they_have_to(
    functions: Functions, admin: UUID
) -> None:
    functions.execute("""update practice_settings set settings = '{"theme": "dark", "horizon_days": 60}'""")
    shown, etag = show(functions)
    assert (shown["name"], shown["timezone"], shown["defaultServices"]) == ("Test Practice", "America/Denver", [])
    assert (shown["settings"]["horizonDays"], shown["settings"]["syncDaysBack"]) == (60, 90)
    assert shown["ehrLimits"] == [{"system": "intakeq", "perMinute": 1000, "perDay": None}]
    stood = kept(functions)
    assert put(functions, shown, etag) == (200, shown)
    assert (kept(functions), audited(functions, "update")) == (stood, [])

    wanted = shown | {
        "settings": shown["settings"] | {"minNoticeMinutes": 0},
        "defaultServices": [INTAKE],
        "ehrLimits": [{"system": "intakeq", "perMinute": 10, "perDay": 500}],
    }
    assert put(functions, wanted, etag) == (200, wanted)
    row = kept(functions)
    assert row["settings"] == {"theme": "dark", "horizon_days": 60, "min_notice_minutes": 0}
    assert row["default_services"] == [
        {
            "name": "Intake", "service_id": str(SERVICE_ID), "location": "Telehealth", "pos_code": "10",
            "required": True, "mappings": {"intakeq": "svc-1"},
        }
    ]  # fmt: skip
    assert row["ehr_limits"] == {"intakeq": {"per_minute": 10, "per_day": 500}}
    assert functions.rows("select per_minute, per_day from ehr_accounts") == [{"per_minute": 10, "per_day": 500}]
    (line,) = audited(functions, "update")
    assert (line["entity"], line["entity_id"], line["actor_id"], line["request_id"]) == (
        "practice_settings", None, admin, "request",
    )  # fmt: skip
    assert line["before"] == {
        "settings": {"minNoticeMinutes": 120}, "defaultServices": [], "ehrLimits": shown["ehrLimits"],
    }  # fmt: skip
    assert line["after"] == {
        "settings": {"minNoticeMinutes": 0}, "defaultServices": [INTAKE], "ehrLimits": wanted["ehrLimits"],
    }  # fmt: skip

    status, said = put(functions, shown | {"name": "Late"}, etag)
    assert (status, slug(said)) == (412, "stale-etag")
    status, said = put(functions, wanted | {"settings": {}, "defaultServices": [], "ehrLimits": []})
    assert (status, said["settings"], said["ehrLimits"]) == (200, shown["settings"], wanted["ehrLimits"])
    assert kept(functions)["settings"] == {"theme": "dark"}


def test_settings_that_refer_to_nothing_or_say_it_twice_are_refused(functions: Functions, admin: UUID) -> None:
    shown, _ = show(functions)
    stood, asleep = kept(functions), uuid4()
    with functions.begin() as connection:
        idle = {"name": "Old", "kind": "intake", "duration_minutes": 60, "modality": "telehealth", "is_active": False}
        connection.execute(sa.insert(t.services).values(id=asleep, **idle))
    limits = {"perMinute": 10, "perDay": 500}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"defaultServices": [INTAKE | {"serviceId": str(UUID(int=7))}]}, "/defaultServices/0/serviceId", "unknown_id"),
        ({"defaultServices": [INTAKE | {"serviceId": str(asleep)}]}, "/defaultServices/0/serviceId", "inactive_service"),
        ({"defaultServices": [INTAKE, INTAKE | {"name": "Twin"}]}, "/defaultServices/1", "duplicate"),
        ({"defaultServices": [INTAKE | {"mappings": {"epic": "1"}}]}, "/defaultServices/0/mappings/epic", "extra_forbidden"),
        ({"defaultServices": [INTAKE | {"posCode": "ten"}]}, "/defaultServices/0/posCode", "string_pattern_mismatch"),
        ({"ehrLimits": [limits | {"system": "athena"}]}, "/ehrLimits/0/system", "unknown_id"),
        ({"ehrLimits": [limits | {"system": "intakeq"}] * 2}, "/ehrLimits/1", "duplicate"),
        ({"ehrLimits": [{"system": "intakeq", "perMinute": 10}]}, "/ehrLimits/0/perDay", "missing"),
        ({"ehrLimits": [limits | {"system": "intakeq", "perMinute": 0}]}, "/ehrLimits/0/perMinute", "greater_than"),
        ({"settings": {"gridMinutes": 7}}, "/settings/gridMinutes", "multiple_of"),
        ({"settings": {"theme": "light"}}, "/settings/theme", "extra_forbidden"),
        ({"timezone": "Mars/Olympus"}, "/timezone", "zone"),
        ({"name": None}, "/name", "string_type"),
    ]  # fmt: skip
    for changes, pointer, code in cases:
        status, said = put(functions, shown | {"name": "Other"} | changes)
        assert (status, said["errors"]) == (422, [{"pointer": pointer, "code": code}])
    status, said = put(functions, shown | {"name": "Other", "timezone": "America/Boise"})
    assert (status, slug(said)) == (409, "timezone-fixed")
    for member in shown:
        assert put(functions, {name: value for name, value in shown.items() if name != member})[0] == 422
    assert (kept(functions), audited(functions, "update")) == (stood, [])
    # The same service at two places is two default services.
    assert put(functions, shown | {"defaultServices": [INTAKE, INTAKE | {"posCode": "02"}]})[0] == 200


def test_the_next_request_finds_the_settings_changed(functions: Functions, admin: UUID) -> None:
    shown, _ = show(functions)

    def first_slot() -> str:
        event = sample("availability/availability")
        return str(json.loads(functions.call("availability", event)["body"])["slots"][0]["start"])

    def refused(name: str) -> int:
        return int(functions.call("book", sample(f"book/{name}"))["statusCode"])

    assert first_slot() == "2027-03-11T09:00:00-07:00"
    rules = {"minNoticeMinutes": 24 * 60, "leadsPerAddressHour": 0, "liveHoldsPerAddress": 0}
    limits = [{"system": "intakeq", "perMinute": 7, "perDay": 70}]
    assert put(functions, shown | {"settings": rules, "ehrLimits": limits})[0] == 200
    assert first_slot() == "2027-03-11T12:00:00-07:00"
    assert refused("lead") == 429
    assert put(functions, shown | {"settings": {"liveHoldsPerAddress": 0}})[0] == 200
    assert refused("hold") == 429
    (account,) = json.loads(functions.call("admin", as_admin("admin/ehr_budget"))["body"])["items"]
    assert (account["perMinute"], account["perDay"]) == (1000, None)


def test_a_process_that_lives_on_finds_them_changed_too(functions: Functions) -> None:
    def first(answer: Any) -> str:
        return str(json.loads(answer["body"])["slots"][0]["start"])

    event = sample("availability/availability")
    assert first(functions.call("availability", event)) == "2027-03-11T09:00:00-07:00"
    functions.execute("""update practice_settings set settings = '{"min_notice_minutes": 1440}'""")
    assert first(loaded("availability").handler(event, Context())) == "2027-03-11T12:00:00-07:00"
