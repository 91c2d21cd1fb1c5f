"""What the booking widget asks before it books: payers, services, who is eligible, what is free."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.availability import widget
from moonlit.availability.answers import (
    AvailabilityAnswer,
    EligibilityAnswer,
    EligibilityRequest,
    Health,
    PayerList,
    ServiceList,
    check_days,
)
from moonlit.availability.store import Own
from moonlit.availability.use_cases import Request
from moonlit.observability import logger
from moonlit.web.http_api import HttpApi, answer
from moonlit.web.models import Cursor, Day, Language, Limit, Line, Modality, State, ZoneName
from moonlit.web.problems import responses

app = HttpApi()


@app.get("/payers", responses=responses(success={200: PayerList}), tags=["Widget"])
def payers(
    q: Annotated[Line | None, Query()] = None,
    state: Annotated[State | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the payers by name, with whether the practice takes their members."""
    with wiring.begin()() as connection:
        found = widget.payers(connection, wiring.clock().now(), q=q, state=state, limit=limit, after=cursor)
    return answer(found)


@app.get("/services", responses=responses(404, success={200: ServiceList}), tags=["Widget"])
def services(payer_id: Annotated[UUID, Query(alias="payerId")]) -> Response[str]:
    """List the services that can be booked with the payer."""
    with wiring.begin()() as connection:
        found = widget.services(connection, payer_id)
    return answer(found)


@app.post("/eligibility", responses=responses(404, success={200: EligibilityAnswer}), tags=["Widget"])
def eligibility(body: Annotated[EligibilityRequest, Body()]) -> Response[str]:
    """Say who may be booked for the payer, and how many providers each filter removed."""
    with wiring.begin()() as connection:
        found = widget.eligibility(connection, body, wiring.clock().now())
    return answer(found)


@app.get("/availability", compress=True, responses=responses(404, success={200: AvailabilityAnswer}), tags=["Widget"])
def availability(  # noqa: PLR0917  # Query parameters, by name.
    payer_id: Annotated[UUID, Query(alias="payerId")],
    service_id: Annotated[UUID, Query(alias="serviceId")],
    first: Annotated[Day, Query(alias="from")],
    last: Annotated[Day, Query(alias="to")],
    state: Annotated[State, Query()],
    tz: Annotated[ZoneName | None, Query()] = None,
    providers: Annotated[list[UUID] | None, Query(alias="providers[]")] = None,
    language: Annotated[Language | None, Query()] = None,
    interpreter: Annotated[bool, Query()] = False,  # noqa: FBT002
    modality: Annotated[Modality | None, Query()] = None,
    location_id: Annotated[UUID | None, Query(alias="locationId")] = None,
    hold_id: Annotated[UUID | None, Query(alias="holdId")] = None,
    appointment_id: Annotated[UUID | None, Query(alias="appointmentId")] = None,
) -> Response[str]:
    """List the free slots of everyone eligible, merged, on the days `from` to `to` (inclusive, at most 31)."""
    check_days(first, last)
    request = Request(
        payer_id=payer_id,
        service_id=service_id,
        state=state,
        first=first,
        last=last,
        zone=tz,
        provider_ids=tuple(providers or ()),
        language=language,
        interpreter=interpreter,
        modality=modality,
        location_id=location_id,
        own=Own(hold_id, appointment_id),
        with_room=True,
    )
    with wiring.begin()() as connection:
        text = widget.availability(connection, request, wiring.clock().now())
    return Response(status_code=200, content_type="application/json", body=text)


@app.get("/health", responses=responses(success={200: Health}), tags=["Meta"])
def health() -> Response[str]:
    """Say whether this side and its database answer."""
    return answer(widget.health(wiring.begin()))


@app.get("/openapi.json", include_in_schema=False)
def openapi_document() -> Response[str]:
    """Serve the document of the whole API."""
    from moonlit.web.openapi import committed  # Rarely asked for.

    return Response(status_code=200, content_type="application/json", body=committed())


@app.get("/docs", include_in_schema=False)
def documentation() -> Response[str]:
    """Serve a page that shows the document."""
    from moonlit.web.openapi import page

    return Response(status_code=200, content_type="text/html; charset=utf-8", body=page())


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway event."""
    wiring.deadline.start(context)
    return app.resolve(event, context)
