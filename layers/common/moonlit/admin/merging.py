"""Services that are there twice, and how one of them becomes the other."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from moonlit import wiring
from moonlit.catalog import duplicates
from moonlit.catalog.duplicates import DuplicateList
from moonlit.catalog.merging import MergeAnswer, MergeWanted, Merging
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import TrueOrFalse
from moonlit.web.problems import responses

router = new_router()


@router.get(
    "/admin/services/duplicates",
    responses=responses(401, 403, success={200: DuplicateList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def service_duplicates() -> Response[str]:
    """List the services that have one name, with what depends on each and which should stay."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        return answer(duplicates.duplicates(connection))


@router.post(
    "/admin/services/<service_id>/merge",
    responses=responses(401, 403, 404, 409, success={200: MergeAnswer}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def merge_service(
    service_id: Annotated[UUID, Path()],
    body: Annotated[MergeWanted, Body()],
    dry_run: Annotated[TrueOrFalse, Query(alias="dryRun")] = False,  # noqa: FBT002  # Powertools passes it by name.
) -> Response[str]:
    """Move everything of a service to another one and let it be out of use; a dry run says what would move."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    merged = Merging(wiring.begin(), wiring.clock()).merge(service_id, body.into, actor, dry_run=dry_run)
    return answer(merged.told(dry_run=dry_run))
