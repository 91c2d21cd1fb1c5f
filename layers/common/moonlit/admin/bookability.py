"""Which payers can be booked, and why others cannot."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from moonlit import wiring
from moonlit.contracting import why_not
from moonlit.contracting.overview import BookabilityOverview, overview
from moonlit.contracting.why_not import Question, WhyNot
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Day, State
from moonlit.web.problems import responses

router = new_router()


@router.get(
    "/admin/bookability",
    compress=True,
    responses=responses(401, 403, success={200: BookabilityOverview}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def bookability() -> Response[str]:
    """Say of every payer whether intake could be booked, whether it may be, and what is missing."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        return answer(overview(connection, wiring.clock().now()))


@router.get(
    "/admin/payers/<payer_id>/bookability",
    responses=responses(401, 403, 404, success={200: WhyNot}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def payer_bookability(
    payer_id: Annotated[UUID, Path()],
    state: Annotated[State | None, Query()] = None,
    visit_date: Annotated[Day | None, Query(alias="visitDate")] = None,
    service_id: Annotated[UUID | None, Query(alias="serviceId")] = None,
) -> Response[str]:
    """Say of every service and provider whether a member of the payer can be booked, and why not."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        found = why_not.answer(connection, Question(payer_id, state, visit_date, service_id), wiring.clock().now())
    return answer(found)
