"""Whose an EHR's visits are, who gives them, and what its fields say of insurances: what people have to decide."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from moonlit import wiring
from moonlit.audit.store import Audit
from moonlit.sync import proposals, review_list, seats
from moonlit.sync.practitioners import MappingKept, MappingWanted, Practitioners
from moonlit.sync.proposals import ProposalDecided, ProposalDecision, ProposalList, Proposals
from moonlit.sync.review_list import ReviewList
from moonlit.sync.reviews import ReviewDecided, ReviewDecision, Reviews
from moonlit.sync.seats import SeatList
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Limit
from moonlit.web.problems import responses

router = new_router()


@router.get(
    "/admin/match-reviews",
    responses=responses(401, 403, success={200: ReviewList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def match_reviews(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Response[str]:
    """List the clients of the EHRs of whom it is not sure who they are here, the oldest question first."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = review_list.open_page(connection, zone, now, limit=limit, after=cursor)
        Audit(connection, auth.actor(staff, router.current_event), now).read("match_review", found.patient_ids())
    return answer(found)


@router.post(
    "/admin/match-reviews/<review_id>/resolve",
    responses=responses(401, 403, 404, 409, success={200: ReviewDecided}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def resolve_match_review(review_id: Annotated[UUID, Path()], body: Annotated[ReviewDecision, Body()]) -> Response[str]:
    """Say who the client is, and their visits are taken over at once; or that they are nobody here."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return answer(Reviews(wiring.begin(), wiring.clock(), wiring.practice_zone()).decide(review_id, body, actor))


@router.get(
    "/admin/practitioner-mappings",
    responses=responses(401, 403, success={200: SeatList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def practitioner_mappings() -> Response[str]:
    """List the practitioners of the EHRs with the providers that they are, those whom nobody has mapped first."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        return answer(seats.everyone(connection, wiring.clock().now()))


@router.put(
    "/admin/practitioner-mappings",
    responses=responses(401, 403, 404, 409, success={200: MappingKept}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def map_practitioner(body: Annotated[MappingWanted, Body()]) -> Response[str]:
    """Say which provider a practitioner is, and their visits follow, those of 200 patients at once."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    practitioners = Practitioners(wiring.begin(), wiring.clock(), wiring.deadline.seconds_left)
    return answer(practitioners.map(body, auth.actor(staff, router.current_event)))


@router.get(
    "/admin/insurance-proposals",
    responses=responses(401, 403, success={200: ProposalList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def insurance_proposals(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Response[str]:
    """List what free fields of the EHRs say of patients' insurances, the oldest first."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        found = proposals.open_page(connection, zone, limit=limit, after=cursor)
        Audit(connection, auth.actor(staff, router.current_event), now).read("insurance_proposal", found.patient_ids())
    return answer(found)


@router.post(
    "/admin/insurance-proposals/<proposal_id>/resolve",
    responses=responses(401, 403, 404, 409, success={200: ProposalDecided}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def resolve_insurance_proposal(
    proposal_id: Annotated[UUID, Path()], body: Annotated[ProposalDecision, Body()]
) -> Response[str]:
    """Take an insurance over for the patient's coming visits that know none, or dismiss it."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return answer(Proposals(wiring.begin(), wiring.clock(), wiring.practice_zone()).decide(proposal_id, body, actor))
