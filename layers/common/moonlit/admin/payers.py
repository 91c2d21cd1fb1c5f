"""Payers with their contracts and supervision, as staff keep them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from moonlit import wiring
from moonlit.contracting import shown
from moonlit.contracting.answers import PayerBody, PayerChanged, PayerItems, PayerShown, PayerType, StatusCode
from moonlit.contracting.shown import Filter
from moonlit.contracting.use_cases import PayerDesk, current, state_of
from moonlit.relay import relay_at_once
from moonlit.web import auth
from moonlit.web.etags import IfMatch, etag
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Limit, Line, State, TrueOrFalse
from moonlit.web.problems import responses

router = new_router()
PayerId = Annotated[UUID, Path()]


def desk() -> PayerDesk:
    """Return where payers are kept."""
    return PayerDesk(
        wiring.begin(),
        wiring.clock(),
        lambda: relay_at_once(wiring.begin(), wiring.clock(), wiring.publisher()),
    )


@router.get(
    "/admin/payers",
    responses=responses(401, 403, success={200: PayerItems}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def payers(  # noqa: PLR0917  # Powertools passes them by name.
    q: Annotated[Line | None, Query()] = None,
    payer_type: Annotated[PayerType | None, Query(alias="type")] = None,
    status_code: Annotated[StatusCode | None, Query(alias="statusCode")] = None,
    state: Annotated[State | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List payers by name, each with whether its members are taken and whether intake could be booked."""
    auth.require(wiring.begin(), router.current_event, "admin")
    wanted = Filter(q, payer_type, status_code, state)
    with wiring.begin()() as connection:
        return answer(shown.page(connection, wiring.clock().now(), wanted, limit=limit, after=cursor))


@router.post(
    "/admin/payers",
    responses=responses(401, 403, 409, success={201: PayerChanged}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def create_payer(body: Annotated[PayerBody, Body()]) -> Response[str]:
    """Store a payer with its contracts and supervision; it is made bookable by itself right after."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    made = desk().create(body, auth.actor(staff, router.current_event))
    return answer(made, HTTPStatus.CREATED, ETag=etag(state_of(made)), Location=f"/admin/payers/{made.id}")


@router.get(
    "/admin/payers/<payer_id>",
    responses=responses(401, 403, 404, success={200: PayerShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def payer(payer_id: PayerId) -> Response[str]:
    """Show a payer with its contracts and supervision; the `ETag` is what a change has to send back."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        found = shown.shown(connection, current(connection, payer_id), wiring.clock().now())
    return answer(found, ETag=etag(state_of(found)))


@router.put(
    "/admin/payers/<payer_id>",
    responses=responses(401, 403, 404, 409, 412, 428, success={200: PayerChanged}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def change_payer(
    payer_id: PayerId,
    body: Annotated[PayerBody, Body()],
    if_match: Annotated[IfMatch | None, Header(alias="If-Match")] = None,
    dry_run: Annotated[TrueOrFalse, Query(alias="dryRun")] = False,  # noqa: FBT002
) -> Response[str]:
    """Make a payer, its contracts and its supervision what is sent; with `dryRun`, only say what that would do."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    changed = desk().change(payer_id, body, actor, if_match=if_match, dry_run=dry_run)
    return answer(changed, ETag=etag(state_of(changed)))
