"""What has become of things: leads, writes to the EHRs, and who changed what or looked at whom."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from moonlit import wiring
from moonlit.audit import listing
from moonlit.audit.listing import ActorReference, AuditFilter, AuditPage
from moonlit.audit.store import Audit
from moonlit.booking import write_list
from moonlit.booking.lead_list import LeadFilter, LeadList, LeadPage, LeadShown, LeadStatus, LeadStep
from moonlit.booking.write_list import WriteFilter, WriteKind, WritePage, WriteState
from moonlit.web import auth
from moonlit.web.etags import IfMatch, etag
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Day, Limit, Line
from moonlit.web.problems import responses

router = new_router()
LeadId = Annotated[UUID, Path()]
FirstDay = Annotated[Day | None, Query(alias="from")]
LastDay = Annotated[Day | None, Query(alias="to")]


@router.get(
    "/admin/leads",
    responses=responses(401, 403, success={200: LeadPage}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def leads(
    status: Annotated[LeadStatus | None, Query()] = None,
    first: FirstDay = None,
    last: LastDay = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the people whose payer was not taken, the newest first; days are the practice's."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = LeadList(connection, zone).page(LeadFilter(status, first, last), limit=limit, after=cursor)
        Audit(connection, auth.actor(staff, router.current_event), now).read("lead", (), others=found.lead_ids())
    return answer(found)


@router.get(
    "/admin/leads/<lead_id>",
    responses=responses(401, 403, 404, success={200: LeadShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def lead(lead_id: LeadId) -> Response[str]:
    """Show a lead."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = LeadList(connection, zone).show(lead_id)
        Audit(connection, auth.actor(staff, router.current_event), now).read("lead", (), lead_id)
    return answer(found, ETag=etag(found))


@router.patch(
    "/admin/leads/<lead_id>",
    responses=responses(401, 403, 404, 409, 412, success={200: LeadShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def follow_lead(
    lead_id: LeadId,
    body: Annotated[LeadStep, Body()],
    if_match: Annotated[IfMatch | None, Header(alias="If-Match")] = None,
) -> Response[str]:
    """Say how far somebody has got with a lead: contacted, converted; there is no way back."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        audit = Audit(connection, auth.actor(staff, router.current_event), now)
        found = LeadList(connection, zone).follow(lead_id, body, if_match, audit)
    return answer(found, ETag=etag(found))


@router.get(
    "/admin/audit-log",
    responses=responses(401, 403, success={200: AuditPage}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def audit_log(  # noqa: PLR0917  # Powertools passes them by name.
    entity: Annotated[Line | None, Query()] = None,
    entity_id: Annotated[Line | None, Query(alias="entityId")] = None,
    actor: Annotated[ActorReference | None, Query()] = None,
    action: Annotated[Line | None, Query()] = None,
    patient_id: Annotated[UUID | None, Query(alias="patientId")] = None,
    first: FirstDay = None,
    last: LastDay = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List who changed what, looked at whom and was refused, the newest first; days are the practice's."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    wanted = AuditFilter(entity, entity_id, actor, action, first, last, patient_id)
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = listing.page(connection, zone, wanted, limit=limit, after=cursor)
        Audit(connection, auth.actor(staff, router.current_event), now).read("audit_log", ())
    return answer(found)


@router.get(
    "/admin/ehr-writes",
    responses=responses(401, 403, success={200: WritePage}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def ehr_writes(  # noqa: PLR0917  # Powertools passes them by name.
    state: Annotated[WriteState | None, Query()] = None,
    kind: Annotated[WriteKind | None, Query()] = None,
    first: FirstDay = None,
    last: LastDay = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List what was written to the EHRs, or is to be, the newest first; days are the practice's."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = write_list.page(connection, zone, WriteFilter(state, kind, first, last), limit=limit, after=cursor)
        Audit(connection, auth.actor(staff, router.current_event), now).read("ehr_write", found.patient_ids())
    return answer(found)
