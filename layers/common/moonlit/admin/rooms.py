"""Which rooms are free, and how much they are used; how they are kept is in catalog.py."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from moonlit import wiring
from moonlit.catalog import room_use
from moonlit.catalog.room_use import FreeRooms, Moment, RoomNeeds, RoomUses, Stretch
from moonlit.catalog.values import Capacity, Equipment
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Day
from moonlit.web.problems import responses

router = new_router()


@router.get(
    "/admin/rooms/availability",
    responses=responses(401, 403, success={200: FreeRooms}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def free_rooms(
    first: Annotated[Moment, Query(alias="from")],
    last: Annotated[Moment, Query(alias="to")],
    capacity: Annotated[Capacity, Query()] = 1,
    equipment: Annotated[list[Equipment] | None, Query(alias="equipment[]")] = None,
    location_id: Annotated[UUID | None, Query(alias="locationId")] = None,
) -> Response[str]:
    """List the rooms that are free from `from` to `to`, instants or days of the practice, and have what is needed."""
    auth.require(wiring.begin(), router.current_event, "admin")
    stretch = Stretch.of(first, last, wiring.practice_zone())
    needs = RoomNeeds(capacity, tuple(equipment or ()), location_id)
    with wiring.begin()() as connection:
        return answer(room_use.free_rooms(connection, stretch, needs, wiring.clock().now()))


@router.get(
    "/admin/rooms/utilization",
    responses=responses(401, 403, success={200: RoomUses}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def room_utilization(
    first: Annotated[Day, Query(alias="from")], last: Annotated[Day, Query(alias="to")]
) -> Response[str]:
    """Say of every room how much it is used on the days `from` to `to` of the practice, both inclusive."""
    auth.require(wiring.begin(), router.current_event, "admin")
    zone = wiring.practice_zone()
    with wiring.begin()() as connection:
        return answer(room_use.uses(connection, first, last, zone))
