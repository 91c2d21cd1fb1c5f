"""What the practice offers and where: services, locations and rooms, each changed as a whole."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from moonlit import wiring
from moonlit.catalog.locations import LOCATIONS, LocationKept, LocationPage, LocationWanted
from moonlit.catalog.rooms import ROOMS, RoomKept, RoomPage, RoomWanted, of_place
from moonlit.catalog.services import SERVICES, ServiceKept, ServicePage, ServiceWanted, of_use
from moonlit.catalog.shelf import Kept, Kind, Shelf
from moonlit.web import auth
from moonlit.web.etags import IfMatch, etag
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Limit, Model, TrueOrFalse
from moonlit.web.problems import responses

router = new_router()
Match = Annotated[IfMatch | None, Header(alias="If-Match")]


def shelf[Wanted: Model, Shown: Kept](kind: Kind[Wanted, Shown]) -> Shelf[Wanted, Shown]:
    """Return where things of this kind are kept."""
    return Shelf(kind, wiring.begin(), wiring.clock())


def shown(kept: Kept, status: HTTPStatus = HTTPStatus.OK) -> Response[str]:
    """Return one of them as the answer."""
    return answer(kept, status, ETag=etag(kept))


@router.get(
    "/admin/services",
    responses=responses(401, 403, success={200: ServicePage}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def services(
    is_active: Annotated[TrueOrFalse | None, Query(alias="isActive")] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the services by name, also those that are out of use."""
    auth.require(wiring.begin(), router.current_event, "admin")
    items, following = shelf(SERVICES).page(*of_use(is_active), limit=limit, after=cursor)
    return answer(ServicePage(items=items, next_cursor=following))


@router.post(
    "/admin/services",
    responses=responses(401, 403, 409, success={201: ServiceKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def add_service(body: Annotated[ServiceWanted, Body()]) -> Response[str]:
    """Offer something new; nobody can book it before a payer has an instance of it."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    return shown(shelf(SERVICES).add(body, auth.actor(staff, router.current_event)), HTTPStatus.CREATED)


@router.get(
    "/admin/services/<service_id>",
    responses=responses(401, 403, 404, success={200: ServiceKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def service(service_id: Annotated[UUID, Path()]) -> Response[str]:
    """Show a service."""
    auth.require(wiring.begin(), router.current_event, "admin")
    return shown(shelf(SERVICES).show(service_id))


@router.put(
    "/admin/services/<service_id>",
    responses=responses(401, 403, 404, 409, 412, success={200: ServiceKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def replace_service(
    service_id: Annotated[UUID, Path()], body: Annotated[ServiceWanted, Body()], if_match: Match = None
) -> Response[str]:
    """Let a service be as the body says, all of it; visits that are booked keep what was copied onto them."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return shown(shelf(SERVICES).replace(service_id, body, if_match, actor))


@router.get(
    "/admin/locations",
    responses=responses(401, 403, success={200: LocationPage}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def locations(limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None) -> Response[str]:
    """List the locations by name."""
    auth.require(wiring.begin(), router.current_event, "admin")
    items, following = shelf(LOCATIONS).page(limit=limit, after=cursor)
    return answer(LocationPage(items=items, next_cursor=following))


@router.post(
    "/admin/locations",
    responses=responses(401, 403, 409, success={201: LocationKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def add_location(body: Annotated[LocationWanted, Body()]) -> Response[str]:
    """Open a location."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    return shown(shelf(LOCATIONS).add(body, auth.actor(staff, router.current_event)), HTTPStatus.CREATED)


@router.get(
    "/admin/locations/<location_id>",
    responses=responses(401, 403, 404, success={200: LocationKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def location(location_id: Annotated[UUID, Path()]) -> Response[str]:
    """Show a location."""
    auth.require(wiring.begin(), router.current_event, "admin")
    return shown(shelf(LOCATIONS).show(location_id))


@router.put(
    "/admin/locations/<location_id>",
    responses=responses(401, 403, 404, 409, 412, success={200: LocationKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def replace_location(
    location_id: Annotated[UUID, Path()], body: Annotated[LocationWanted, Body()], if_match: Match = None
) -> Response[str]:
    """Let a location be as the body says, all of it."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return shown(shelf(LOCATIONS).replace(location_id, body, if_match, actor))


@router.get(
    "/admin/rooms",
    responses=responses(401, 403, success={200: RoomPage}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def rooms(
    location_id: Annotated[UUID | None, Query(alias="locationId")] = None,
    is_active: Annotated[TrueOrFalse | None, Query(alias="isActive")] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the rooms by number, also those that are out of use."""
    auth.require(wiring.begin(), router.current_event, "admin")
    items, following = shelf(ROOMS).page(*of_place(location_id, is_active), limit=limit, after=cursor)
    return answer(RoomPage(items=items, next_cursor=following))


@router.post(
    "/admin/rooms",
    responses=responses(401, 403, 409, success={201: RoomKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def add_room(body: Annotated[RoomWanted, Body()]) -> Response[str]:
    """Open a room."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    return shown(shelf(ROOMS).add(body, auth.actor(staff, router.current_event)), HTTPStatus.CREATED)


@router.get(
    "/admin/rooms/<room_id>",
    responses=responses(401, 403, 404, success={200: RoomKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def room(room_id: Annotated[UUID, Path()]) -> Response[str]:
    """Show a room."""
    auth.require(wiring.begin(), router.current_event, "admin")
    return shown(shelf(ROOMS).show(room_id))


@router.put(
    "/admin/rooms/<room_id>",
    responses=responses(401, 403, 404, 409, 412, success={200: RoomKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def replace_room(
    room_id: Annotated[UUID, Path()], body: Annotated[RoomWanted, Body()], if_match: Match = None
) -> Response[str]:
    """Let a room be as the body says, all of it; out of use it takes no more visits, and keeps those it has."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return shown(shelf(ROOMS).replace(room_id, body, if_match, actor))
