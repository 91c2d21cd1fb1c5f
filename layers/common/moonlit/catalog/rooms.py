"""The rooms of the locations: how many people they hold, and what stands in them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from pydantic import Field

from moonlit.catalog.errors import RoomInUse, RoomNumberTaken
from moonlit.catalog.shelf import Kept, Kind
from moonlit.catalog.values import Capacity, Equipment, Once
from moonlit.db.tables import appointment_holds, locations, rooms, time_claims
from moonlit.web.malformed import in_body
from moonlit.web.models import Flag, Line, Model


class RoomWanted(Model):
    """A room as somebody wants it, all of it: what is left out has its default."""

    location_id: UUID
    room_number: Annotated[Line, Field(max_length=40)]
    room_name: Line
    capacity: Annotated[Capacity, Field(strict=True)]
    equipment: Annotated[list[Equipment], Field(max_length=50), Once] = Field(default_factory=list)
    is_active: Flag = True


class RoomKept(Kept):
    """A room."""

    location_id: UUID
    room_number: str
    room_name: str
    capacity: int
    equipment: list[str]
    is_active: bool


class RoomPage(Model):
    """A page of rooms by number, those that are out of use included."""

    items: list[RoomKept]
    next_cursor: str | None


def _check(connection: sa.Connection, wanted: RoomWanted, before: RoomKept | None, now: datetime) -> None:
    """Refuse a location that is not there, a number twice in one location, and to move a room that is taken."""
    if not connection.execute(sa.select(sa.exists().where(locations.c.id == wanted.location_id))).scalar_one():
        raise in_body("unknown_id", "locationId")
    if before and before.location_id != wanted.location_id and _is_taken(connection, before.id, now):
        raise RoomInUse(f"room {before.id}")
    if before and (before.location_id, before.room_number) == (wanted.location_id, wanted.room_number):
        return  # A clinic may come with a number twice: who changes something else is not held up.
    same_number = sa.func.lower(sa.func.btrim(rooms.c.room_number)) == sa.func.lower(wanted.room_number)
    query = sa.select(rooms.c.id).where(rooms.c.location_id == wanted.location_id, same_number).order_by(rooms.c.id)
    others = connection.execute(query).scalars()
    if other := next((each for each in others if before is None or each != before.id), None):
        raise RoomNumberTaken(f"room {other} has it")


def _is_taken(connection: sa.Connection, room_id: UUID, now: datetime) -> bool:
    query = (
        sa.select(time_claims.c.id)
        .outerjoin(appointment_holds, appointment_holds.c.id == time_claims.c.hold_id)
        .where(
            time_claims.c.resource_kind == "room",
            time_claims.c.resource_id == room_id,
            sa.func.upper(time_claims.c.span) > now,
            sa.or_(time_claims.c.hold_id.is_(None), appointment_holds.c.expires_at > now),
        )
    )
    return bool(connection.execute(sa.select(query.exists())).scalar_one())


ROOMS = Kind("room", rooms, rooms.c.room_number, RoomKept, _check)


def of_place(location_id: UUID | None, is_active: bool | None) -> list[sa.ColumnElement[bool]]:  # noqa: FBT001
    """Return the conditions of a list of rooms, each None for any."""
    wanted = [
        (location_id, rooms.c.location_id == location_id),
        (is_active, rooms.c.is_active.is_(is_active)),
    ]
    return [condition for value, condition in wanted if value is not None]
