"""What partner organizations see and do, signed in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.partners import wiring as partners
from moonlit.partners.answers import (
    CalendarToken,
    FeedToken,
    HistoryAnswer,
    PatientAnswer,
    RosterPage,
    Sought,
    SyncProgress,
    SyncStarted,
)
from moonlit.sync import wiring as sync
from moonlit.sync.request import RefreshBody
from moonlit.sync.single_answer import PatientSynced
from moonlit.web import auth
from moonlit.web.http_api import HttpApi, answer
from moonlit.web.models import Cursor, Limit
from moonlit.web.problems import responses
from moonlit.web.refusals import noting

app = HttpApi(noting(partners.begin, "partner", partners.note_refusal))
PatientId = Annotated[UUID, Path()]


@app.get(
    "/partner-dashboard/patients",
    responses=responses(401, 403, success={200: RosterPage}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def roster(
    sought: Annotated[Sought | None, Query(alias="q")] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the organization's patients by name, each with the visit that comes next, or runs now."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    actor = auth.actor(partner, app.current_event)
    return answer(partners.dashboard().roster(actor, sought=sought, cursor=cursor, limit=limit))


@app.get(
    "/partner-dashboard/patients/<patient_id>",
    responses=responses(401, 403, 404, success={200: PatientAnswer}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def patient(patient_id: PatientId) -> Response[str]:
    """Show a patient with their visits and what syncs changed, the latest first; without consent neither."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    return answer(partners.dashboard().patient(auth.actor(partner, app.current_event), patient_id))


@app.post(
    "/partner-dashboard/patients/<patient_id>/sync",
    responses=responses(401, 403, 404, 409, 503, success={200: PatientSynced}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def sync_patient(patient_id: PatientId, body: Annotated[RefreshBody | None, Body()] = None) -> Response[str]:
    """Bring a patient up to date at once, asking the EHR for them alone."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    actor = auth.actor(partner, app.current_event)
    partners.dashboard().expect_patient(actor, patient_id)
    done = sync.single_patient().refresh(patient_id, actor, body.window() if body else None)
    return answer(partners.dashboard().synced(actor, patient_id, done))


@app.get(
    "/partner-dashboard/patients/<patient_id>/sync-history",
    responses=responses(401, 403, 404, success={200: HistoryAnswer}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def sync_history(patient_id: PatientId) -> Response[str]:
    """List every refresh of a patient, the latest first."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    return answer(partners.dashboard().history(auth.actor(partner, app.current_event), patient_id))


@app.post(
    "/partner-dashboard/organizations/<organization_id>/sync-all-patients",
    responses=responses(401, 403, 404, success={202: SyncStarted}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def sync_all_patients(
    organization_id: Annotated[UUID, Path()], body: Annotated[RefreshBody | None, Body()] = None
) -> Response[str]:
    """Have all patients of the own organization brought up to date; while that goes on, the same `syncId` again."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    actor = auth.actor(partner, app.current_event)
    partners.dashboard().expect_organization(actor, organization_id)
    sync_id = sync.refreshes().start(organization_id, actor, body.window() if body else None)
    return answer(SyncStarted(sync_id=sync_id), HTTPStatus.ACCEPTED)


@app.get(
    "/partner-dashboard/syncs/<sync_id>",
    responses=responses(401, 403, 404, success={200: SyncProgress}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def sync_progress(sync_id: Annotated[UUID, Path()]) -> Response[str]:
    """Show how far a refresh is, patient by patient."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    return answer(partners.dashboard().progress(auth.actor(partner, app.current_event), sync_id))


@app.post(
    "/partner-dashboard/calendar-token",
    responses=responses(401, 403, success={201: CalendarToken}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def issue_calendar_token() -> Response[str]:
    """Issue what opens the caller's calendar feed; an earlier token opens nothing any more."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    token = partners.dashboard().issue_calendar_token(auth.actor(partner, app.current_event))
    return answer(CalendarToken.of(token), HTTPStatus.CREATED)


@app.delete(
    "/partner-dashboard/calendar-token",
    responses=responses(401, 403, success={204: None}),
    security=auth.SIGNED_IN,
    tags=["Partner dashboard"],
)
def revoke_calendar_token() -> Response[str]:
    """Let the caller's token open nothing any more; also when there is none."""
    partner = auth.require(partners.begin(), app.current_event, *auth.PARTNERS)
    partners.dashboard().revoke_calendar_token(auth.actor(partner, app.current_event))
    return Response(HTTPStatus.NO_CONTENT, "text/plain", "")  # An absent body would be held against the annotation.


@app.get(
    "/partner-dashboard/calendar.ics",
    responses=responses(401, success={200: None}),
    tags=["Partner dashboard"],
)
def calendar(token: Annotated[FeedToken, Query()]) -> Response[str]:
    """Serve the calendar feed to whoever holds the token: initials and times, and no more."""
    request_id = app.current_event.request_context.request_id
    feed = partners.dashboard().calendar(token, request_id)
    headers = {"Cache-Control": "private, max-age=300"}
    return Response(HTTPStatus.OK, "text/calendar; charset=utf-8", feed.decode(), headers)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway event."""
    wiring.deadline.start(context)
    return app.resolve(event, context)
