"""What has to be there for the admin's samples about the catalog and the follow-up, and what each is promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_booking import SERVICE_ID
from tests.fixtures_functions import Functions, sample
from tests.samples_admin import an_admin


def _path_id(name: str) -> UUID:
    return UUID(next(iter(sample(f"admin/{name}")["pathParameters"].values())))


def _sent(name: str) -> Any:
    return json.loads(sample(f"admin/{name}")["body"])


def _body(answer: Mapping[str, Any], status: int = 200) -> Any:
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def a_room(functions: Functions) -> None:
    """Store an admin, and the location and the room that the samples name."""
    an_admin(functions)
    location, room = _path_id("location"), _path_id("room")
    place = {"id": location, "name": "Sugar House", "timezone": "America/Denver", "pos_code": "11"}
    inside = {"room_number": "9", "room_name": "Talk", "capacity": 2, "equipment": ["couch"]}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.locations).values(**place))
        connection.execute(sa.insert(t.rooms).values(id=room, location_id=location, **inside))


def listed(key: str) -> Callable[[Functions, Any], None]:
    def check(_: Functions, answer: Any) -> None:
        said = _body(answer)
        assert ([item["id"] for item in said["items"]], said["nextCursor"]) == ([key], None)

    return check


def shown(key: str) -> Callable[[Functions, Any], None]:
    def check(_: Functions, answer: Any) -> None:
        assert (_body(answer)["id"], answer["headers"]["ETag"][0]) == (key, '"')

    return check


def kept(name: str, status: int = 200) -> Callable[[Functions, Any], None]:
    """Return what holds an answer, and what is shown afterwards, to the body that was sent."""

    def check(functions: Functions, answer: Any) -> None:
        said = _body(answer, status)
        assert said | _sent(name) == said
        (line,) = functions.rows("select * from audit_log where action in ('create', 'update')")
        assert line["entity_id"] == said["id"]

    return check


def free(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert [item["id"] for item in said["items"]] == [str(_path_id("room"))]
    assert (said["start"], said["end"]) == ("2027-03-11T10:00:00-07:00", "2027-03-11T11:00:00-07:00")


def used(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["visits"], item["minutesOpen"], item["share"]) == (0, 5 * 600, 0.0)


def a_lead(functions: Functions) -> None:
    """Store an admin, and a lead under the id that the samples name."""
    an_admin(functions)
    functions.call("book", sample("book/lead"))
    functions.execute("update leads set id = :id", id=_path_id("lead"))


def leads(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["leadId"], item["status"]) == (str(_path_id("lead")), "pending")


def lead(_: Functions, answer: Any) -> None:
    assert (_body(answer)["leadId"], answer["headers"]["ETag"][0]) == (str(_path_id("lead")), '"')


def followed(functions: Functions, answer: Any) -> None:
    assert _body(answer)["status"] == "contacted"
    assert functions.rows("select status from leads") == [{"status": "contacted"}]


def a_change(functions: Functions) -> None:
    """Store an admin who has changed a service."""
    an_admin(functions)
    functions.call("admin", sample("admin/replace_service"))


def audited(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["action"], item["entity"], item["entityId"]) == ("update", "service", str(SERVICE_ID))
    assert item["actor"]["name"] == "Dora Finch"


def a_write(functions: Functions) -> None:
    """Store an admin, and a visit that has reached the EHR."""
    an_admin(functions)
    functions.call("book", sample("book/book"))


def writes(functions: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    (visit,) = functions.intakeq.state()["appointments"]
    assert (item["state"], item["externalId"], item["nextLookAt"]) == ("confirmed", visit["Id"], None)


def settings(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["settings"]["minNoticeMinutes"], said["defaultServices"]) == (120, [])
    assert said["ehrLimits"] == [{"system": "intakeq", "perMinute": 1000, "perDay": None}]


def changed_settings(functions: Functions, answer: Any) -> None:
    said, sent = _body(answer), _sent("change_settings")
    assert said["settings"] == said["settings"] | sent["settings"]
    assert said["defaultServices"] == [
        {**each, "mappings": {"athena": None, **each["mappings"]}} for each in sent["defaultServices"]
    ]
    assert functions.rows("select per_minute, per_day from ehr_accounts") == [{"per_minute": 10, "per_day": 500}]


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/services": an_admin,
    "admin/add_service": an_admin,
    "admin/service": an_admin,
    "admin/replace_service": an_admin,
    "admin/locations": a_room,
    "admin/add_location": an_admin,
    "admin/location": a_room,
    "admin/replace_location": a_room,
    "admin/rooms": a_room,
    "admin/add_room": a_room,
    "admin/room": a_room,
    "admin/replace_room": a_room,
    "admin/free_rooms": a_room,
    "admin/room_use": a_room,
    "admin/leads": a_lead,
    "admin/lead": a_lead,
    "admin/follow_lead": a_lead,
    "admin/audit_log": a_change,
    "admin/ehr_writes": a_write,
    "admin/settings": an_admin,
    "admin/change_settings": an_admin,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/services": listed(str(SERVICE_ID)),
    "admin/add_service": kept("add_service", 201),
    "admin/service": shown(str(SERVICE_ID)),
    "admin/replace_service": kept("replace_service"),
    "admin/locations": listed(str(_path_id("location"))),
    "admin/add_location": kept("add_location", 201),
    "admin/location": shown(str(_path_id("location"))),
    "admin/replace_location": kept("replace_location"),
    "admin/rooms": listed(str(_path_id("room"))),
    "admin/add_room": kept("add_room", 201),
    "admin/room": shown(str(_path_id("room"))),
    "admin/replace_room": kept("replace_room"),
    "admin/free_rooms": free,
    "admin/room_use": used,
    "admin/leads": leads,
    "admin/lead": lead,
    "admin/follow_lead": followed,
    "admin/audit_log": audited,
    "admin/ehr_writes": writes,
    "admin/settings": settings,
    "admin/change_settings": changed_settings,
}
