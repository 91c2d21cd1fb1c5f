"""Service instances: which services payers have, and what those are called in the EHRs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from moonlit import wiring
from moonlit.provisioning.instances import listing
from moonlit.provisioning.instances.answers import (
    InstanceBody,
    InstanceList,
    InstanceShown,
    IntegrationBody,
    RetirementShown,
    SystemName,
)
from moonlit.provisioning.instances.listing import Filter
from moonlit.provisioning.instances.use_cases import Instances
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Limit, TrueOrFalse
from moonlit.web.problems import responses

router = new_router()
PayerId = Annotated[UUID, Path()]
InstanceId = Annotated[UUID, Path()]


def desk() -> Instances:
    """Return where instances are kept."""
    return Instances(wiring.begin(), wiring.clock(), wiring.practice_zone())


@router.get(
    "/admin/payers/<payer_id>/service-instances",
    responses=responses(401, 403, 404, success={200: InstanceList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def payer_instances(
    payer_id: PayerId,
    retired: Annotated[TrueOrFalse, Query()] = False,  # noqa: FBT002
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the services that a payer has, or with `retired` those that it had, by place and id."""
    auth.require(wiring.begin(), router.current_event, "admin")
    wanted, zone = Filter(payer_id, retired), wiring.practice_zone()
    with wiring.begin()() as connection:
        return answer(listing.page(connection, wanted, zone, limit=limit, after=cursor))


@router.post(
    "/admin/payers/<payer_id>/service-instances",
    responses=responses(401, 403, 404, 409, success={201: InstanceShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def create_instance(payer_id: PayerId, body: Annotated[InstanceBody, Body()]) -> Response[str]:
    """Give a payer a service at a place; it can be booked once it is mapped to the providers' EHR."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    made = desk().create(payer_id, body, auth.actor(staff, router.current_event))
    return answer(made, HTTPStatus.CREATED)


@router.get(
    "/admin/service-instances",
    responses=responses(401, 403, success={200: InstanceList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def instances(
    orphaned: Annotated[TrueOrFalse | None, Query()] = None,
    duplicated: Annotated[TrueOrFalse | None, Query()] = None,
    unmapped: Annotated[TrueOrFalse | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List service instances by place and id, those that have no payer, a twin, or no mapping, as asked."""
    auth.require(wiring.begin(), router.current_event, "admin")
    wanted = Filter(orphaned=orphaned, duplicated=duplicated, unmapped=unmapped)
    zone = wiring.practice_zone()
    with wiring.begin()() as connection:
        return answer(listing.page(connection, wanted, zone, limit=limit, after=cursor))


@router.delete(
    "/admin/service-instances/<instance_id>",
    responses=responses(401, 403, 404, 409, success={200: RetirementShown, 204: None}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def retire_instance(
    instance_id: InstanceId,
    dry_run: Annotated[TrueOrFalse, Query(alias="dryRun")] = False,  # noqa: FBT002
) -> Response[str]:
    """Retire an instance, once more answers the same; with `dryRun`, show which visits could not be moved any more."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    if dry_run:
        return answer(desk().retirement(instance_id, actor))
    desk().retire(instance_id, actor)
    return Response(HTTPStatus.NO_CONTENT, "text/plain", "")  # An absent body would be held against the annotation.


@router.put(
    "/admin/service-instances/<instance_id>/integrations/<system>",
    responses=responses(401, 403, 404, 409, success={200: InstanceShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def map_instance(
    instance_id: InstanceId, system: Annotated[SystemName, Path()], body: Annotated[IntegrationBody, Body()]
) -> Response[str]:
    """Say what the service is called in an EHR for this payer; `practiceq` is `intakeq`."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    return answer(desk().map(instance_id, system, body.external_id, actor))
