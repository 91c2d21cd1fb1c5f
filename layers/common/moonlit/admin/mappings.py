"""Whether what is mapped here is what the EHRs have."""

from __future__ import annotations

from uuid import UUID

from aws_lambda_powertools.event_handler import Response

from moonlit import wiring
from moonlit.catalog.mapping_check import MappingCheck, MappingChecker
from moonlit.ehr.budget import DatabaseBudget
from moonlit.ehr.port import Budget
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.problems import responses

router = new_router()


def checker() -> MappingChecker:
    """Return what checks the mappings."""
    begin, clock, zone = wiring.begin(), wiring.clock(), wiring.practice_zone()
    return MappingChecker(begin, clock, zone, wiring.ehr_with, _budget_of, wiring.deadline.seconds_left)


def _budget_of(account_id: UUID) -> Budget:
    return DatabaseBudget(wiring.begin(), account_id, wiring.clock())


@router.get(
    "/admin/mappings/check",
    responses=responses(401, 403, success={200: MappingCheck}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def check_mappings() -> Response[str]:
    """Hold the mappings of services, practitioners and places against what each EHR has now; an EHR may be away."""
    auth.require(wiring.begin(), router.current_event, "admin")
    return answer(checker().check())
