"""Services, locations and rooms as staff keep them: what is refused, what is noted, and who may."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from sqlalchemy.dialects.postgresql import Range

from moonlit.audit.store import Actor
from moonlit.catalog.changing import one_at_a_time
from moonlit.catalog.errors import CatalogContended
from moonlit.catalog.rooms import ROOMS, RoomWanted
from moonlit.catalog.services import SERVICES, ServiceWanted
from moonlit.catalog.shelf import Shelf
from moonlit.clock import FixedClock
from moonlit.db import tables as t
from moonlit.db.engine import Begin, beginner, connect
from moonlit.errors import MoonlitError
from moonlit.practice.answers import DefaultServiceWanted, Mappings, RulesBody, SettingsWanted
from moonlit.practice.settings import Settings
from moonlit.web.etags import etag
from tests.fixtures_access import ROLES, add_partner, add_staff, as_user
from tests.fixtures_booking import EMIL, PAYER, SERVICE_ID, TEN, load_practice, make_clinic
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, as_admin

__all__ = ["functions", "open_intakeq", "start_intakeq"]

PATHS = {"service": "serviceId", "location": "locationId", "room": "roomId"}
HERE = UUID(int=0x70)
NOBODYS = UUID("7c1e5f0c-6f55-4e0b-9a53-0f7a3d9f4b10")


def call(functions: Functions, event: dict[str, Any]) -> tuple[int, Any, str]:
    """Return status, JSON and ETag of an answer."""
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"].get("ETag", "")


def add(functions: Functions, what: str, **changes: Any) -> tuple[int, Any, str]:
    body = json.loads(sample(f"admin/add_{what}")["body"]) | changes
    return call(functions, as_admin(f"admin/add_{what}", json.dumps(body)))


def show(functions: Functions, what: str, key: object) -> tuple[int, Any, str]:
    return call(functions, as_admin(f"admin/{what}", None, **{PATHS[what]: key}))


def put(
    functions: Functions, what: str, kept: Mapping[str, Any], if_match: str | None = None, **changes: Any
) -> tuple[int, Any, str]:
    """Let something that is shown be otherwise."""
    body = {name: value for name, value in kept.items() if name != "id"} | changes
    event = as_admin(f"admin/replace_{what}", json.dumps(body), **{PATHS[what]: kept["id"]})
    event["headers"].pop("if-match", None)
    if if_match:
        event["headers"]["if-match"] = if_match
    return call(functions, event)


def slug(said: Any) -> str:
    return str(said["type"]).rpartition("/")[2]


def wrong(answer: tuple[int, Any, str]) -> list[tuple[str, str]]:
    """Return where a request was malformed, and how."""
    status, said, _ = answer
    assert (status, slug(said)) == (422, "malformed-request")
    return [(error["pointer"], error["code"]) for error in said["errors"]]


def lines(functions: Functions) -> list[Mapping[str, Any]]:
    return functions.rows("select * from audit_log where action in ('create', 'update') order by at, id")


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def test_only_an_admin_sees_or_changes_the_catalog(functions: Functions) -> None:
    others = [role for role in ROLES if role != "admin"]
    for role in others:
        (add_partner if role in {"partner_admin", "case_manager"} else add_staff)(functions, role, role)
    routes = [name for what in PATHS for name in (f"{what}s", f"add_{what}", what, f"replace_{what}")]
    for name, role in zip(routes, cycle(others), strict=False):
        assert call(functions, as_user(f"admin/{name}", sub=role))[0] == 403
        assert call(functions, as_user(f"admin/{name}", sub="s-stranger"))[0] == 401
    assert functions.rows("select 1 from rooms union all select 1 from locations") == []


def test_a_service_is_kept_whole_and_each_change_of_it_is_noted(functions: Functions, admin: UUID) -> None:
    status, kept, etag = add(functions, "service", minNoticeMinutes=30)
    assert (status, kept["baseRate"], kept["isActive"], kept["bufferBeforeMinutes"]) == (201, "240.00", True, 0)
    assert show(functions, "service", kept["id"]) == (200, kept, etag)

    functions.clock.advance(minutes=1)
    assert put(functions, "service", kept, etag) == (200, kept, etag)  # As it is: no trace.
    status, changed, newer = put(functions, "service", kept, etag, kind="intake", baseRate=None, codes=["H0031"])
    assert (status, changed) == (200, kept | {"kind": "intake", "baseRate": None, "codes": ["H0031"]})
    status, said, _ = put(functions, "service", kept, etag, name="Late")
    assert (status, slug(said)) == (412, "stale-etag")
    assert show(functions, "service", kept["id"]) == (200, changed, newer)
    assert slug(show(functions, "service", NOBODYS)[1]) == "not-found"
    assert slug(put(functions, "service", kept | {"id": str(NOBODYS)}, name="Else")[1]) == "not-found"

    made, update = lines(functions)
    assert made["after"] == {name: value for name, value in kept.items() if name != "id"}
    assert (made["action"], made["before"], made["entity"], made["entity_id"]) == (
        "create",
        None,
        "service",
        kept["id"],
    )
    assert update["before"] == {"kind": "psychotherapy", "baseRate": "240.00", "codes": ["90837", "99354"]}
    assert update["after"] == {"kind": "intake", "baseRate": None, "codes": ["H0031"]}
    assert {(row["actor_kind"], row["actor_id"], row["request_id"]) for row in (made, update)} == {
        ("staff", admin, "request")
    }


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"durationMinutes": 4}, "/durationMinutes", "greater_than_equal"),
        ({"durationMinutes": 1441}, "/durationMinutes", "less_than_equal"),
        ({"durationMinutes": "60"}, "/durationMinutes", "int_type"),
        ({"bufferAfterMinutes": -1}, "/bufferAfterMinutes", "greater_than_equal"),
        ({"minNoticeMinutes": -1}, "/minNoticeMinutes", "greater_than_equal"),
        ({"codes": ["9083"]}, "/codes/0", "string_pattern_mismatch"),
        ({"codes": ["90837", "Z0001"]}, "/codes/1", "string_pattern_mismatch"),
        ({"codes": ["90837", "90837"]}, "/codes", "duplicate"),
        ({"baseRate": 180}, "/baseRate", "string_type"),
        ({"baseRate": "180"}, "/baseRate", "string_pattern_mismatch"),
        ({"baseRate": "-1.00"}, "/baseRate", "string_pattern_mismatch"),
        ({"kind": "massage"}, "/kind", "literal_error"),
        ({"isActive": "yes"}, "/isActive", "bool_type"),
        ({"name": " "}, "/name", "string_too_short"),
        ({"price": "1.00"}, "/price", "extra_forbidden"),
    ],
)
def test_a_malformed_service_is_refused(changes: dict[str, Any], pointer: str, code: str) -> None:
    body = json.loads(sample("admin/add_service")["body"]) | changes
    with pytest.raises(ValueError, match="validation error") as refused:
        ServiceWanted.model_validate(body)
    (error,) = refused.value.errors()  # type: ignore[attr-defined]
    assert ("".join(f"/{part}" for part in error["loc"]), error["type"]) == (pointer, code)


def test_no_two_active_services_share_a_name(functions: Functions, admin: UUID) -> None:
    status, said, _ = add(functions, "service", name=" iNTAKE ")
    assert (status, slug(said), str(SERVICE_ID) in said["detail"]) == (409, "service-name-taken", True)
    status, twin, _ = add(functions, "service", name="intake", isActive=False)
    assert status == 201
    assert slug(put(functions, "service", twin, isActive=True)[1]) == "service-name-taken"
    _, other, _ = add(functions, "service", name="Other")
    assert slug(put(functions, "service", other, name="INTAKE")[1]) == "service-name-taken"
    assert len(lines(functions)) == 2

    # A clinic came with two of one name: what else there is to say about them can be said.
    functions.execute("update services set is_active = true")
    status, changed, _ = put(functions, "service", twin, isActive=True, name="Intake", durationMinutes=50)
    assert (status, changed["durationMinutes"]) == (200, 50)


def test_a_default_service_stays_in_use(functions: Functions, admin: UUID) -> None:
    kept = show(functions, "service", SERVICE_ID)[1]
    functions.execute(
        "update practice_settings set default_services = jsonb_build_array(jsonb_build_object('service_id', cast(:id as text)))",
        id=str(SERVICE_ID),
    )
    assert slug(put(functions, "service", kept, isActive=False)[1]) == "service-is-default"
    assert put(functions, "service", kept, durationMinutes=45)[0] == 200
    functions.execute("update practice_settings set default_services = '[]'")
    assert put(functions, "service", kept, isActive=False)[1]["isActive"] is False


def test_rooms_belong_to_a_location_and_have_a_number_of_their_own_there(functions: Functions, admin: UUID) -> None:
    status, here, etag = add(functions, "location", name="Here")
    assert (status, here["posCode"], etag != "") == (201, "11", True)
    _, there, _ = add(functions, "location", name="There", address=None, athenaDepartmentId=None)
    assert wrong(add(functions, "location", posCode="1")) == [("/posCode", "string_pattern_mismatch")]
    assert wrong(add(functions, "location", timezone="Mars/Olympus")) == [("/timezone", "zone")]
    status, moved, _ = put(functions, "location", here, etag, timezone="America/Boise")
    assert (status, moved["timezone"]) == (200, "America/Boise")
    assert slug(put(functions, "location", here, etag)[1]) == "stale-etag"

    assert wrong(add(functions, "room", locationId=str(NOBODYS))) == [("/locationId", "unknown_id")]
    assert wrong(add(functions, "room", capacity=0, locationId=here["id"])) == [("/capacity", "greater_than")]
    assert wrong(add(functions, "room", equipment=["tv", "tv"], locationId=here["id"])) == [("/equipment", "duplicate")]
    _, room, _ = add(functions, "room", locationId=here["id"], roomNumber="9a", isActive=False)
    assert slug(add(functions, "room", locationId=here["id"], roomNumber=" 9A ")[1]) == "room-number-taken"
    _, twin, _ = add(functions, "room", locationId=there["id"], roomNumber="9A")
    assert slug(put(functions, "room", twin, locationId=here["id"])[1]) == "room-number-taken"
    assert put(functions, "room", room, capacity=9, isActive=True)[1] == room | {"capacity": 9, "isActive": True}
    assert sorted(row["entity"] for row in lines(functions)) == ["location"] * 3 + ["room"] * 3

    def listed(name: str, **query: str) -> list[str]:
        return [
            item["id"]
            for item in call(functions, as_admin(f"admin/{name}") | {"queryStringParameters": query})[1]["items"]
        ]

    assert listed("locations") == [here["id"], there["id"]]
    assert listed("rooms", locationId=there["id"]) == [twin["id"]]
    assert sorted(listed("rooms", isActive="true")) == sorted([room["id"], twin["id"]])
    assert listed("rooms", isActive="false") == []


def test_a_room_that_is_taken_does_not_wander(functions: Functions, admin: UUID) -> None:
    here, there = (add(functions, "location", name=name)[1]["id"] for name in ("Here", "There"))
    _, room, _ = add(functions, "room", locationId=here)
    hold = uuid4()
    held = {"id": hold, "provider_id": EMIL, "service_id": SERVICE_ID, "payer_id": PAYER, "created_at": NOON}
    times = {"start": TEN, "end": TEN + timedelta(hours=1), "expires_at": NOON + timedelta(minutes=10)}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.appointment_holds).values(**held, **times))
        span = Range(TEN, TEN + timedelta(hours=1))
        claim = {"resource_kind": "room", "resource_id": UUID(room["id"]), "hold_id": hold, "span": span}
        connection.execute(sa.insert(t.time_claims).values(**claim))
    assert slug(put(functions, "room", room, locationId=there)[1]) == "room-in-use"
    assert put(functions, "room", room, isActive=False)[0] == 200
    functions.clock.advance(minutes=11)  # The hold has run out.
    assert put(functions, "room", room, locationId=there)[1]["locationId"] == there


def test_services_come_by_name_a_page_at_a_time(functions: Functions, admin: UUID) -> None:
    for name in ("Couples", "Assessment", "Group"):
        add(functions, "service", name=name)
    add(functions, "service", name="Intake", isActive=False)
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = call(functions, as_admin("admin/services") | {"queryStringParameters": query})[1]
        seen += [item["name"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]
    assert seen == ["Assessment", "Couples", "Group", "Intake", "Intake"]


# ── Two at once ───────────────────────────────────────────────────────────────────────────────────────────────────────

SOMEBODY = Actor("staff", uuid4())
CLOCK = FixedClock(NOON)
DEFAULT = {"name": "Intake", "service_id": SERVICE_ID, "location": "Telehealth", "pos_code": "10", "required": True}


def add_room(begin: Begin) -> object:
    wanted = RoomWanted(location_id=HERE, room_number="1", room_name="R", capacity=1)
    return Shelf(ROOMS, begin, CLOCK).add(wanted, SOMEBODY)


def add_service(begin: Begin) -> object:
    wanted = ServiceWanted(name="New", kind="intake", duration_minutes=60, modality="telehealth")
    return Shelf(SERVICES, begin, CLOCK).add(wanted, SOMEBODY)


def lengthen(begin: Begin, etag: str) -> object:
    """Change a service from the state that `etag` stands for."""
    length = uuid4().int % 1000 + 100
    wanted = ServiceWanted(name="Intake", kind="intake", duration_minutes=length, modality="telehealth")
    return Shelf(SERVICES, begin, CLOCK).replace(SERVICE_ID, wanted, etag, SOMEBODY)


def take_out_of_use(begin: Begin) -> object:
    wanted = ServiceWanted(name="Intake", kind="intake", duration_minutes=60, modality="telehealth", is_active=False)
    return Shelf(SERVICES, begin, CLOCK).replace(SERVICE_ID, wanted, None, SOMEBODY)


def make_default(begin: Begin) -> object:
    wanted = SettingsWanted(
        name="Test Practice", timezone="America/Denver", settings=RulesBody(), ehr_limits=[],
        default_services=[DefaultServiceWanted(**DEFAULT, mappings=Mappings(intakeq="1"))],
    )  # fmt: skip
    return Settings(begin, CLOCK).replace(wanted, None, SOMEBODY)


@pytest.fixture
def together(database_url: str) -> Iterator[Callable[..., list[str]]]:
    """Return what runs several pieces of work at once, and returns for each `done` or what refused it."""
    engines = [connect(database_url) for _ in range(4)]
    load_practice(beginner(engines[0]), make_clinic())
    with engines[0].begin() as connection:
        row = {"id": HERE, "name": "Here", "timezone": "America/Denver", "pos_code": "11"}
        connection.execute(sa.insert(t.locations).values(**row))

    def outcome(work: Callable[[Begin], object], engine: sa.Engine, start: threading.Barrier) -> str:
        start.wait()
        try:
            work(beginner(engine))
        except MoonlitError as error:
            return error.slug
        except RequestValidationError as error:
            return str(error.errors()[0]["type"])
        return "done"

    def run(*works: Callable[[Begin], object]) -> list[str]:
        start = threading.Barrier(len(works))
        with ThreadPoolExecutor(len(works)) as threads:
            running = [threads.submit(outcome, *each, start) for each in zip(works, engines, strict=False)]
        return [each.result() for each in running]

    yield run
    for engine in engines:
        engine.dispose()


def test_of_two_who_want_the_same_at_once_one_gets_it(together: Callable[..., list[str]], database_url: str) -> None:
    assert sorted(together(*[add_room] * 4)) == ["done", *["room-number-taken"] * 3]
    assert sorted(together(*[add_service] * 4)) == ["done", *["service-name-taken"] * 3]
    engine = connect(database_url)
    kept = etag(Shelf(SERVICES, beginner(engine), CLOCK).show(SERVICE_ID))
    engine.dispose()
    assert sorted(together(*[partial(lengthen, etag=kept)] * 4)) == ["done", *["stale-etag"] * 3]


def test_no_service_goes_out_of_use_while_it_becomes_a_default(together: Callable[..., list[str]]) -> None:
    outcomes = together(take_out_of_use, make_default)
    assert outcomes in (["done", "inactive_service"], ["service-is-default", "done"])


def test_who_waits_too_long_for_the_catalog_is_told(database_url: str) -> None:
    slow, hasty = connect(database_url), connect(database_url)
    sa.event.listen(hasty, "begin", lambda connection: connection.exec_driver_sql("set local lock_timeout = '20ms'"))

    def change(_: sa.Connection) -> None:
        with pytest.raises(CatalogContended):
            one_at_a_time(beginner(hasty), lambda _: None)

    one_at_a_time(beginner(slow), change)
    one_at_a_time(beginner(hasty), lambda _: None)
    for engine in (slow, hasty):
        engine.dispose()
