"""Which rooms are free, and how much they are used."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import PlainValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from moonlit.booking.store import ACTIVE
from moonlit.catalog.rooms import RoomKept
from moonlit.web.malformed import in_query
from moonlit.web.models import Day, Instant, Model

LONGEST = timedelta(days=366)
OPENS, CLOSES = time(8), time(18)
_DAY: TypeAdapter[date] = TypeAdapter(Day)
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


def _moment(value: Any) -> date | datetime:
    text = str(value)
    try:
        return _DAY.validate_python(text) if len(text) == len("yyyy-mm-dd") else _INSTANT.validate_python(text)
    except ValidationError:
        raise PydanticCustomError("date_text", "Input should be a date or an instant as text") from None


Moment = Annotated[date | datetime, PlainValidator(_moment, json_schema_input_type=str)]
"""A day, yyyy-mm-dd, or an instant, RFC 3339 with an offset."""


class FreeRooms(Model):
    """The rooms that are free for all of the range, the smallest first; there is no second page."""

    start: datetime
    end: datetime
    items: list[RoomKept]
    next_cursor: None = None


class RoomUse(Model):
    """How much a room is used.

    `minutesOpen` are those of Monday to Friday, 8:00 to 18:00 where the room is; `share` is how much of them visits
    took, null when there are none. Visits at other times are in `minutesBooked` alone.
    """

    room_id: UUID
    location_id: UUID
    room_number: str
    room_name: str
    is_active: bool
    visits: int
    minutes_booked: int
    minutes_open: int
    share: float | None


class RoomUses(Model):
    """Every room, by location and number; there is no second page."""

    items: list[RoomUse]
    next_cursor: None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time in question, [start, end)."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, first: date | datetime, last: date | datetime, zone: ZoneInfo) -> Stretch:
        """Return the time from `first` to `last`: an instant ends it, a day of `zone` is part of it.

        Raises:
            RequestValidationError: The end does not lie after the start, or more than a year after it.
        """
        start = first if isinstance(first, datetime) else datetime.combine(first, time(), zone)
        end = last if isinstance(last, datetime) else datetime.combine(last + timedelta(days=1), time(), zone)
        if end <= start:
            raise in_query("before_from", "to")
        if end - start > LONGEST:
            raise in_query("range_too_long", "to")
        return cls(start.astimezone(zone), end.astimezone(zone))


@dataclass(frozen=True, slots=True)
class RoomNeeds:
    """What a room has to have, and where it has to be, None for anywhere."""

    capacity: int = 1
    equipment: Collection[str] = ()
    location_id: UUID | None = None


def free_rooms(connection: sa.Connection, stretch: Stretch, needs: RoomNeeds, now: datetime) -> FreeRooms:
    """Return the rooms that nobody has claimed any of the time in; holds that ran out claim nothing."""
    values = {
        "capacity": needs.capacity,
        "equipment": list(needs.equipment),
        "location_id": needs.location_id,
        "start": stretch.start,
        "end": stretch.end,
        "now": now,
    }
    rows = connection.execute(_FREE, values).mappings()
    return FreeRooms(start=stretch.start, end=stretch.end, items=[RoomKept(**row) for row in rows])


def uses(connection: sa.Connection, first: date, last: date, zone: ZoneInfo) -> RoomUses:
    """Return how much every room was or will be used on the days `first` to `last` of `zone`.

    Visits that are cancelled, or to which nobody came, use nothing.

    Raises:
        RequestValidationError: `last` lies before `first`, or more than a year after it.
    """
    stretch = Stretch.of(first, last, zone)
    values = {"first": first, "last": last, "start": stretch.start, "end": stretch.end, "active": list(ACTIVE)}
    rows = connection.execute(_USES, values | {"opens": OPENS, "closes": CLOSES}).mappings()
    return RoomUses(items=[_used(row) for row in rows])


def _used(row: sa.RowMapping) -> RoomUse:
    told = {name: row[name] for name in RoomUse.model_fields if name != "share"}
    share = row["minutes_taken"] / row["minutes_open"] if row["minutes_open"] else None
    return RoomUse(**told, share=None if share is None else round(share, 4))


_FREE = sa.text("""
    select id, location_id, room_number, room_name, capacity, equipment, is_active from rooms r
    where is_active and capacity >= :capacity and equipment @> :equipment
        and (cast(:location_id as uuid) is null or location_id = :location_id)
        and not exists (
            select from time_claims c left join appointment_holds h on h.id = c.hold_id
            where c.resource_kind = 'room' and c.resource_id = r.id and c.span && tstzrange(:start, :end)
                and (c.hold_id is null or h.expires_at > :now))
    order by capacity, room_number, id
""").bindparams(
    sa.bindparam("equipment", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("location_id", type_=sa.UUID),
    *(sa.bindparam(name, type_=sa.DateTime(timezone=True)) for name in ("start", "end", "now")),
)

# No service is longer than a day, so visits that reach into the range began in the day before it at the earliest.
_MINUTES = "(select coalesce(sum(extract(epoch from upper(u) - lower(u))), 0)::bigint / 60 from unnest({}) u)"
_USES = sa.text(f"""
    with days as (
        select d::date as day from generate_series(cast(:first as date), cast(:last as date), interval '1 day') d
        where extract(isodow from d) < 6
    ), open as (
        select l.id, range_agg(tstzrange(
            (day + cast(:opens as time)) at time zone l.timezone, (day + cast(:closes as time)) at time zone l.timezone)
        ) * tstzmultirange(tstzrange(:start, :end)) as hours
        from locations l cross join days group by l.id
    ), taken as (
        select room_id, count(*) as visits, range_agg(tstzrange(start, "end") * tstzrange(:start, :end)) as spans
        from appointments
        where room_id is not null and status = any(:active)
            and start < :end and "end" > :start and start >= cast(:start as timestamptz) - interval '1 day'
        group by room_id
    )
    select r.id as room_id, r.location_id, r.room_number, r.room_name, r.is_active, coalesce(t.visits, 0) as visits,
        {_MINUTES.format("t.spans")} as minutes_booked, {_MINUTES.format("o.hours")} as minutes_open,
        {_MINUTES.format("t.spans * o.hours")} as minutes_taken
    from rooms r join locations l on l.id = r.location_id
    left join open o on o.id = l.id left join taken t on t.room_id = r.id
    order by l.name, l.id, r.room_number, r.id
""").bindparams(
    sa.bindparam("active", type_=sa.ARRAY(sa.Text)),
    *(sa.bindparam(name, type_=sa.DateTime(timezone=True)) for name in ("start", "end")),
)
