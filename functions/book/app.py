"""Book a visit, and show a patient their own."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path
from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.booking import desk
from moonlit.booking.answers import AppointmentAnswer, BookingBody, IdempotencyKey
from moonlit.booking.attempt import Key
from moonlit.booking.saga import Saga
from moonlit.observability import logger
from moonlit.web.http_api import HttpApi, answer
from moonlit.web.problems import responses

app = HttpApi()


@app.post(
    "/appointments",
    responses=responses(404, 409, success={201: AppointmentAnswer, 202: AppointmentAnswer}),
    tags=["Widget"],
)
def book(
    body: Annotated[BookingBody, Body()],
    idempotency_key: Annotated[IdempotencyKey, Header(alias="Idempotency-Key")],
) -> Response[str]:
    """Book the slot: 201 when the EHR has it, 202 while it is being written; the same key answers the same visit."""
    key = Key(idempotency_key, hashlib.sha256(body.model_dump_json().encode()).hexdigest())
    saga = Saga(wiring.begin(), wiring.clock(), wiring.ehr_of, wiring.deadline.pause)
    booked = desk.book(saga, body.wanted(), key, wiring.token_key())
    return answer(booked, HTTPStatus.ACCEPTED if booked.status == "pending" else HTTPStatus.CREATED)


@app.get(
    "/appointments/<appointment_id>", responses=responses(401, 404, success={200: AppointmentAnswer}), tags=["Widget"]
)
def appointment(
    appointment_id: Annotated[UUID, Path()],
    authorization: Annotated[str | None, Header()] = None,
) -> Response[str]:
    """Show the visit to who holds its manage token (`Authorization: Bearer …`)."""
    token = (authorization or "").removeprefix("Bearer ")
    return answer(desk.show(wiring.begin(), wiring.clock(), appointment_id, token, wiring.token_key()))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway event."""
    wiring.deadline.start(context)
    return app.resolve(event, context)
