"""Which rooms are free for a whole stretch of time, and how much they are used."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range

from moonlit.db import tables as t
from tests.fixtures_access import add_partner, add_staff, as_user
from tests.fixtures_booking import EMIL, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions, functions
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, add_patient, as_admin

__all__ = ["functions", "open_intakeq", "start_intakeq"]

HOUR = timedelta(hours=1)
EAST, WEST = UUID(int=0xE0), UUID(int=0xE1)  # Of West, the clocks are an hour behind.
SMALL, LARGE, FAR, CLOSED = (UUID(int=0xF0 + number) for number in range(4))


def insert(functions: Functions, table: sa.Table, **values: Any) -> None:
    with functions.begin() as connection:
        connection.execute(sa.insert(table).values(**values))


@pytest.fixture
def house(functions: Functions) -> Functions:
    add_staff(functions, "admin", ADMIN)
    for key, name, zone in ((EAST, "East", "America/Denver"), (WEST, "West", "America/Los_Angeles")):
        insert(functions, t.locations, id=key, name=name, timezone=zone, pos_code="11")
    for key, place, capacity, words in (
        (SMALL, EAST, 2, ["couch"]),
        (LARGE, EAST, 8, ["couch", "screen"]),
        (FAR, WEST, 4, []),
    ):
        room = {"location_id": place, "room_number": str(capacity), "room_name": "R", "capacity": capacity}
        insert(functions, t.rooms, id=key, equipment=words, **room)
    insert(functions, t.rooms, id=CLOSED, location_id=EAST, room_number="9", room_name="R", capacity=9, is_active=False)
    return functions


def ask(house: Functions, name: str, **query: object) -> tuple[int, Any]:
    told = {{"from_": "from", "equipment": "equipment[]"}.get(key, key): str(value) for key, value in query.items()}
    answer = house.call("admin", as_admin(f"admin/{name}") | {"queryStringParameters": told})
    return answer["statusCode"], json.loads(answer["body"])


def free(house: Functions, start: datetime = TEN, end: datetime = TEN + HOUR, **query: object) -> list[UUID]:
    times = {"from_": start.isoformat(), "to": end.isoformat()}
    return [UUID(room["id"]) for room in ask(house, "free_rooms", **times | query)[1]["items"]]


def visit(house: Functions, room: UUID, start: datetime, minutes: int, status: str = "confirmed") -> UUID:
    """Store a visit in the room, which claims it unless it does not stand."""
    end, key = start + timedelta(minutes=minutes), uuid4()
    row = {"id": key, "patient_id": add_patient(house), "provider_id": EMIL, "room_id": room, "system": "intakeq"}
    insert(
        house,
        t.appointments,
        **row,
        start=start,
        end=end,
        status=status,
        location_id=EAST,
        created_at=NOON,
        updated_at=NOON,
    )
    if status in {"confirmed", "scheduled", "pending"}:
        span = Range(start, end + timedelta(minutes=10))
        insert(house, t.time_claims, resource_kind="room", resource_id=room, appointment_id=key, span=span)
    return key


def test_a_room_is_free_when_nobody_has_any_of_the_time(house: Functions) -> None:
    assert free(house) == [SMALL, FAR, LARGE]
    assert free(house, capacity=3) == [FAR, LARGE]
    assert free(house, equipment="couch,screen") == [LARGE]
    assert free(house, locationId=EAST, capacity=2) == [SMALL, LARGE]
    assert free(house, locationId=uuid4()) == []

    visit(house, SMALL, TEN, 50)
    visit(house, LARGE, TEN, 50, "cancelled")
    assert free(house) == [FAR, LARGE]
    assert free(house, TEN + timedelta(minutes=50)) == [FAR, LARGE]  # Its buffer is still the visit's.
    assert free(house, TEN + HOUR, TEN + 2 * HOUR) == [SMALL, FAR, LARGE]
    assert free(house, TEN - 5 * HOUR, TEN + 5 * HOUR) == [FAR, LARGE]

    hold = {"id": uuid4(), "provider_id": EMIL, "service_id": SERVICE_ID, "payer_id": PAYER, "start": TEN}
    insert(house, t.appointment_holds, **hold, end=TEN + HOUR, created_at=NOON, expires_at=NOON + timedelta(minutes=10))
    insert(house, t.time_claims, resource_kind="room", resource_id=FAR, hold_id=hold["id"], span=Range(TEN, TEN + HOUR))
    assert free(house) == [LARGE]
    house.clock.advance(minutes=10)
    assert free(house) == [FAR, LARGE]
    # Days are the practice's, and the last is part of the range: TEN is on the 11th in Denver.
    for first, last, rooms in (
        ("03-11", "03-11", 2),
        ("03-10", "03-10", 3),
        ("03-09", "03-12", 2),
        ("03-12", "03-31", 3),
    ):
        said = ask(house, "free_rooms", from_=f"2027-{first}", to=f"2027-{last}")[1]
        assert (len(said["items"]), said["start"]) == (rooms, f"2027-{first}T00:00:00-07:00")


def test_how_much_a_room_is_used_is_told_by_its_own_clock(house: Functions) -> None:
    # Thursday the 11th: a visit of an hour at ten, one from half past seven in the morning, one that ends after six.
    visit(house, SMALL, TEN, 60)
    visit(house, SMALL, TEN - timedelta(hours=2, minutes=30), 60)
    visit(house, SMALL, TEN + timedelta(hours=7, minutes=30), 60, "scheduled")
    for status in ("cancelled", "declined", "no_show", "failed"):
        visit(house, SMALL, TEN, 60, status)
    visit(house, LARGE, datetime(2027, 3, 13, 17, tzinfo=UTC), 90)  # On a Saturday.
    visit(house, FAR, TEN - 2 * HOUR, 120)  # From eight in Denver is from seven in Los Angeles.
    visit(house, FAR, TEN + timedelta(days=7), 60)

    def used(first: str, last: str) -> dict[UUID, tuple[Any, ...]]:
        said = ask(house, "room_use", from_=f"2027-{first}", to=f"2027-{last}")[1]
        names = ("visits", "minutesBooked", "minutesOpen", "share")
        return {UUID(room["roomId"]): tuple(room[name] for name in names) for room in said["items"]}

    week = used("03-08", "03-14")
    assert list(week) == [SMALL, LARGE, CLOSED, FAR]
    assert week[SMALL] == (3, 180, 3000, round(120 / 3000, 4))
    assert week[LARGE] == (1, 90, 3000, 0.0)
    assert week[FAR] == (1, 120, 3000, 0.02)
    assert week[CLOSED] == (0, 0, 3000, 0.0)
    assert used("03-13", "03-14")[LARGE] == (1, 90, 0, None)
    assert used("03-11", "03-18")[FAR] == (2, 180, 3600, round(120 / 3600, 4))


def test_ranges_that_are_none_are_refused(house: Functions) -> None:
    def wrong(name: str, first: str, last: str, **query: object) -> list[tuple[str, str]]:
        status, said = ask(house, name, from_=first, to=last, **query)
        assert status == 422
        return [(error["pointer"], error["code"]) for error in said["errors"]]

    for name in ("free_rooms", "room_use"):
        assert wrong(name, "2027-03-11", "2027-03-10") == [("/query/to", "before_from")]
        assert wrong(name, "2027-03-11", "2028-03-12") == [("/query/to", "range_too_long")]
        assert wrong(name, "tomorrow", "2027-03-11") == [("/query/from", "date_text")]
    assert wrong("free_rooms", TEN.isoformat(), TEN.isoformat()) == [("/query/to", "before_from")]
    assert wrong("free_rooms", "2027-03-11T10:00:00", "2027-03-12") == [("/query/from", "date_text")]
    assert wrong("free_rooms", "2027-03-11", "2027-03-12", capacity=0) == [("/query/capacity", "greater_than")]
    add_partner(house, "case_manager", "s-1")
    for name in ("free_rooms", "room_use"):
        assert house.call("admin", as_user(f"admin/{name}", sub="s-1"))["statusCode"] == 403
