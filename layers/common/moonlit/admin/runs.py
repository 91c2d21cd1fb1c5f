"""Sync runs that people start or allow to go on, and what the EHRs still let us ask."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from moonlit import wiring
from moonlit.sync import budget_list
from moonlit.sync import wiring as sync
from moonlit.sync.budget_list import BudgetList
from moonlit.sync.run_now import RunsOpened, RunWanted
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.problems import responses

router = new_router()


@router.get(
    "/admin/ehr-budget",
    responses=responses(401, 403, success={200: BudgetList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def ehr_budget() -> Response[str]:
    """Say of every EHR account how much it was asked, and what each lane may still ask."""
    auth.require(wiring.begin(), router.current_event, "admin")
    return answer(budget_list.every_account(wiring.begin(), wiring.clock(), wiring.practice_zone()))


@router.post(
    "/admin/sync-runs",
    responses=responses(401, 403, 404, success={202: RunsOpened}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def start_sync_runs(body: Annotated[RunWanted | None, Body()] = None) -> Response[str]:
    """Sync every EHR account now, or one; a run that is under way is answered instead of a second one."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return answer(sync.run_now().start(body.system if body else None, actor), HTTPStatus.ACCEPTED)


@router.post(
    "/admin/sync-runs/<run_id>/confirm",
    responses=responses(401, 403, 404, 409, success={202: RunsOpened}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def confirm_sync_run(run_id: Annotated[UUID, Path()]) -> Response[str]:
    """Allow what the brake has stopped: another run begins, which may cancel as much."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    return answer(sync.run_now().confirm(run_id, auth.actor(staff, router.current_event)), HTTPStatus.ACCEPTED)
