"""Visits as staff see and change them, and what contradicts them in the EHRs."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from moonlit import wiring
from moonlit.audit.store import Audit
from moonlit.booking import listing
from moonlit.booking.answers import (
    AppointmentAnswer,
    CancelBody,
    IdempotencyKey,
    StaffBookingBody,
    StaffMoveBody,
)
from moonlit.booking.desk import Desk
from moonlit.booking.listing import Filter, StaffAppointments
from moonlit.booking.moving import Change
from moonlit.booking.saga import Saga
from moonlit.booking.wanted import Key
from moonlit.sync import conflict_list
from moonlit.sync.conflict_list import ConflictList
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Day, Limit
from moonlit.web.problems import responses

router = new_router()
AppointmentId = Annotated[UUID, Path()]
Status = Literal["pending", "scheduled", "confirmed", "cancelled", "declined", "no_show", "failed"]


def desk() -> Desk:
    """Return where visits are handled."""
    return Desk(Saga(wiring.begin(), wiring.clock(), wiring.ehr_of, wiring.deadline.pause), wiring.token_key())


@router.get(
    "/admin/appointments",
    responses=responses(401, 403, success={200: StaffAppointments}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def appointments(  # noqa: PLR0917  # Powertools passes them by name.
    first: Annotated[Day | None, Query(alias="from")] = None,
    last: Annotated[Day | None, Query(alias="to")] = None,
    provider_id: Annotated[UUID | None, Query(alias="providerId")] = None,
    patient_id: Annotated[UUID | None, Query(alias="patientId")] = None,
    status: Annotated[Status | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List visits by their start; days are the practice's, and the stored status counts (none is `completed`)."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    wanted = Filter(first, last, provider_id, patient_id, status)
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = listing.page(connection, zone, now, wanted, limit=limit, after=cursor)
        Audit(connection, auth.actor(staff, router.current_event), now).read("appointment", found.patient_ids())
    return answer(found)


@router.post(
    "/admin/appointments",
    responses=responses(401, 403, 404, 409, success={201: AppointmentAnswer, 202: AppointmentAnswer}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def book(
    body: Annotated[StaffBookingBody, Body()],
    idempotency_key: Annotated[IdempotencyKey, Header(alias="Idempotency-Key")],
) -> Response[str]:
    """Book for a patient, also at short notice, and over the patient's other visits with a reason."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    key = Key(idempotency_key, hashlib.sha256(body.model_dump_json().encode()).hexdigest())
    overrule = body.overrule.overrule(staff.user_id) if body.overrule else None
    actor = auth.actor(staff, router.current_event)
    booked = desk().book(body.wanted(by_staff=True, overrule=overrule, actor=actor), key)
    return _answered(booked, HTTPStatus.CREATED)


@router.post(
    "/admin/appointments/<appointment_id>/cancel",
    responses=responses(401, 403, 404, 409, success={200: AppointmentAnswer}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def cancel(appointment_id: AppointmentId, body: Annotated[CancelBody | None, Body()] = None) -> Response[str]:
    """Cancel a visit at any time; once more answers the same."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return answer(desk().cancel(appointment_id, body.reason if body else None, by_staff=True, actor=actor))


@router.post(
    "/admin/appointments/<appointment_id>/reschedule",
    responses=responses(401, 403, 404, 409, success={200: AppointmentAnswer, 202: AppointmentAnswer}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def reschedule(appointment_id: AppointmentId, body: Annotated[StaffMoveBody, Body()]) -> Response[str]:
    """Move a visit at any time, to another provider too, and over the patient's other visits with a reason."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    overrule = body.overrule.overrule(staff.user_id) if body.overrule else None
    actor = auth.actor(staff, router.current_event)
    change = Change(appointment_id, body.start, body.provider_id, by_staff=True, overrule=overrule, actor=actor)
    return _answered(desk().move(change), HTTPStatus.OK)


def _answered(visit: AppointmentAnswer, done: HTTPStatus) -> Response[str]:
    return answer(visit, HTTPStatus.ACCEPTED if visit.status == "pending" else done)


@router.get(
    "/admin/conflicts",
    responses=responses(401, 403, success={200: ConflictList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def conflicts(limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None) -> Response[str]:
    """List the visits booked here that a row of the EHR lies over, until somebody settles them, oldest first."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = conflict_list.open_page(connection, zone, limit=limit, after=cursor)
        Audit(connection, auth.actor(staff, router.current_event), now).read("schedule_conflict", found.patient_ids())
    return answer(found)
