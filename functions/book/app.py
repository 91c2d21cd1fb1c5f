"""Hold a slot, book it, and let a patient look at, cancel or move their visit; take leads."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.booking import holds, leads
from moonlit.booking.answers import (
    AppointmentAnswer,
    BookingBody,
    CancelBody,
    HoldAnswer,
    HoldBody,
    IdempotencyKey,
    LeadAnswer,
    LeadBody,
    MoveBody,
    hold_answer,
)
from moonlit.booking.callers import caller_of
from moonlit.booking.desk import Desk
from moonlit.booking.moving import Change
from moonlit.booking.saga import Saga
from moonlit.booking.wanted import Key
from moonlit.observability import logger
from moonlit.web.http_api import HttpApi, answer
from moonlit.web.problems import responses

app = HttpApi()
Bearer = Annotated[str | None, Header(alias="Authorization")]
AppointmentId = Annotated[UUID, Path()]


def desk() -> Desk:
    """Return where visits are handled."""
    return Desk(saga(), wiring.token_key())


def saga() -> Saga:
    """Return what carries visits to the EHRs."""
    return Saga(wiring.begin(), wiring.clock(), wiring.ehr_of, wiring.deadline.pause)


def caller() -> str:
    """Return who asks, as far as public forms are counted."""
    return caller_of(app.current_event.request_context.http.source_ip, wiring.token_key())


def opened(appointment_id: UUID, authorization: str | None) -> Desk:
    """Return the desk to who holds the visit's manage token (`Authorization: Bearer …`)."""
    at = desk()
    at.check(appointment_id, (authorization or "").removeprefix("Bearer "))
    return at


@app.post("/holds", responses=responses(404, 409, 429, success={201: HoldAnswer}), tags=["Widget"])
def hold(body: Annotated[HoldBody, Body()]) -> Response[str]:
    """Keep a slot for ten minutes."""
    held = holds.place(saga(), body.wanted(), caller())
    return answer(hold_answer(held, wiring.practice_zone()), HTTPStatus.CREATED)


@app.delete("/holds/<hold_id>", responses=responses(404, success={204: None}), tags=["Widget"])
def drop_hold(hold_id: Annotated[UUID, Path()]) -> Response[str]:
    """Give a held slot back; one that is gone stays so."""
    holds.drop(saga(), hold_id)
    return Response(HTTPStatus.NO_CONTENT, "text/plain", "")  # An absent body would be held against the annotation.


@app.post(
    "/appointments",
    responses=responses(404, 409, 429, success={201: AppointmentAnswer, 202: AppointmentAnswer}),
    tags=["Widget"],
)
def book(
    body: Annotated[BookingBody, Body()],
    idempotency_key: Annotated[IdempotencyKey, Header(alias="Idempotency-Key")],
) -> Response[str]:
    """Book the slot: 201 when the EHR has it, 202 while it is being written; the same key answers the same visit."""
    key = Key(idempotency_key, hashlib.sha256(body.model_dump_json().encode()).hexdigest())
    return _answered(desk().book(body.wanted(caller=caller()), key), HTTPStatus.CREATED)


@app.get(
    "/appointments/<appointment_id>", responses=responses(401, 404, success={200: AppointmentAnswer}), tags=["Widget"]
)
def appointment(appointment_id: AppointmentId, authorization: Bearer = None) -> Response[str]:
    """Show the visit."""
    return answer(opened(appointment_id, authorization).show(appointment_id))


@app.post(
    "/appointments/<appointment_id>/cancel",
    responses=responses(401, 404, 409, success={200: AppointmentAnswer}),
    tags=["Widget"],
)
def cancel(
    appointment_id: AppointmentId, body: Annotated[CancelBody | None, Body()] = None, authorization: Bearer = None
) -> Response[str]:
    """Cancel the visit; once more answers the same."""
    return answer(opened(appointment_id, authorization).cancel(appointment_id, body.reason if body else None))


@app.post(
    "/appointments/<appointment_id>/reschedule",
    responses=responses(401, 404, 409, success={200: AppointmentAnswer, 202: AppointmentAnswer}),
    tags=["Widget"],
)
def reschedule(
    appointment_id: AppointmentId, body: Annotated[MoveBody, Body()], authorization: Bearer = None
) -> Response[str]:
    """Move the visit: 200 when the EHR has it there, 202 while it is being written."""
    at = opened(appointment_id, authorization)
    return _answered(at.move(Change(appointment_id, body.start, body.provider_id)), HTTPStatus.OK)


@app.get(
    "/appointments/<appointment_id>/calendar.ics",
    responses=responses(401, 404, success={200: None}),
    tags=["Widget"],
)
def calendar(
    appointment_id: AppointmentId,
    token: Annotated[str | None, Query(max_length=1000)] = None,
    authorization: Bearer = None,
) -> Response[str]:
    """Give the visit as a calendar file; calendars send no headers, so the manage token may stand in the address."""
    content = opened(appointment_id, token or authorization).calendar(appointment_id).decode()
    return Response(HTTPStatus.OK, "text/calendar; charset=utf-8", content, {"Cache-Control": "no-store"})


@app.post("/leads", responses=responses(404, 429, success={201: LeadAnswer}), tags=["Widget"])
def lead(body: Annotated[LeadBody, Body()]) -> Response[str]:
    """Keep somebody whose payer is not taken yet; staff get in touch."""
    lead_id = leads.leave(wiring.begin(), wiring.clock(), body.lead(), caller())
    return answer(LeadAnswer(lead_id=lead_id), HTTPStatus.CREATED)


def _answered(visit: AppointmentAnswer, done: HTTPStatus) -> Response[str]:
    return answer(visit, HTTPStatus.ACCEPTED if visit.status == "pending" else done)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway event."""
    wiring.deadline.start(context)
    return app.resolve(event, context)
