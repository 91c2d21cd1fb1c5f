"""Making payers bookable: dry runs, the real thing, and taking it back."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from moonlit import wiring
from moonlit.provisioning import answers
from moonlit.provisioning import wiring as provisioning
from moonlit.provisioning.answers import RunList, RunShown
from moonlit.provisioning.request import RunRequest
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Limit
from moonlit.web.problems import responses

router = new_router()


@router.post(
    "/admin/provisioning/runs",
    responses=responses(401, 403, 404, 409, success={200: RunShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def start_provisioning(body: Annotated[RunRequest, Body()]) -> Response[str]:
    """Show what it takes to make payers bookable, or do it."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    run_id = provisioning.provisioner().run(body, auth.actor(staff, router.current_event))
    return answer(provisioning.shown(run_id))


@router.get(
    "/admin/provisioning/runs",
    responses=responses(401, 403, success={200: RunList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def provisioning_runs(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Response[str]:
    """List the runs, the newest first, without their actions."""
    auth.require(wiring.begin(), router.current_event, "admin")
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        return answer(answers.listed(connection, zone, now, limit=limit, after=cursor))


@router.get(
    "/admin/provisioning/runs/<run_id>",
    responses=responses(401, 403, 404, success={200: RunShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def provisioning_run(
    run_id: Annotated[UUID, Path()], cursor: Annotated[Cursor | None, Query()] = None
) -> Response[str]:
    """Show a run with its actions, up to 5,000 at once."""
    auth.require(wiring.begin(), router.current_event, "admin")
    return answer(provisioning.shown(run_id, cursor))


@router.post(
    "/admin/provisioning/runs/<run_id>/undo",
    responses=responses(401, 403, 404, 409, success={200: RunShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def undo_provisioning(run_id: Annotated[UUID, Path()]) -> Response[str]:
    """Take back all that a run did, as long as nobody has used or changed it since; once more answers the same."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    provisioning.undoing().undo(run_id, auth.actor(staff, router.current_event))
    return answer(provisioning.shown(run_id))
