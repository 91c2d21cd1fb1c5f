"""Partner organizations and their people, as staff keep them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from moonlit import wiring
from moonlit.people import organizations, partner_users
from moonlit.people.organizations import (
    NewOrganization,
    Organization,
    OrganizationList,
    Organizations,
    OrganizationWanted,
)
from moonlit.people.partner_users import PartnerUser, PartnerUserList, PartnerUsers, PartnerUserWanted
from moonlit.web import auth
from moonlit.web.etags import IfMatch, etag
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Limit
from moonlit.web.problems import responses

router = new_router()
OrganizationId = Annotated[UUID, Path()]
UserId = Annotated[UUID, Path()]


@router.get(
    "/admin/organizations",
    responses=responses(401, 403, success={200: OrganizationList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def list_organizations(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Response[str]:
    """List the partner organizations by name, closed ones too."""
    auth.require(wiring.begin(), router.current_event, "admin")
    zone = wiring.practice_zone()
    with wiring.begin()() as connection:
        return answer(organizations.page(connection, zone, limit=limit, after=cursor))


@router.post(
    "/admin/organizations",
    responses=responses(401, 403, success={201: Organization}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def add_organization(body: Annotated[NewOrganization, Body()]) -> Response[str]:
    """Add a partner organization."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    kept = Organizations(wiring.begin(), wiring.clock(), wiring.practice_zone())
    added = kept.add(body, auth.actor(staff, router.current_event))
    return answer(added, HTTPStatus.CREATED, etag=etag(added))


@router.get(
    "/admin/organizations/<organization_id>",
    responses=responses(401, 403, 404, success={200: Organization}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def show_organization(organization_id: OrganizationId) -> Response[str]:
    """Show a partner organization."""
    auth.require(wiring.begin(), router.current_event, "admin")
    zone = wiring.practice_zone()
    with wiring.begin()() as connection:
        found = organizations.shown(connection, organization_id, zone)
    return answer(found, etag=etag(found))


@router.put(
    "/admin/organizations/<organization_id>",
    responses=responses(401, 403, 404, 412, success={200: Organization}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def change_organization(
    organization_id: OrganizationId,
    body: Annotated[OrganizationWanted, Body()],
    if_match: Annotated[IfMatch | None, Header(alias="If-Match")] = None,
) -> Response[str]:
    """Change a partner organization; the people of one that is closed may do nothing from their next request on."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    kept = Organizations(wiring.begin(), wiring.clock(), wiring.practice_zone())
    changed = kept.change(organization_id, body, if_match, auth.actor(staff, router.current_event))
    return answer(changed, etag=etag(changed))


@router.get(
    "/admin/partner-users",
    responses=responses(401, 403, success={200: PartnerUserList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def list_partner_users(
    organization_id: Annotated[UUID | None, Query(alias="organizationId")] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the people of partner organizations by name, of all or of one."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        return answer(partner_users.page(connection, organization_id, limit=limit, after=cursor))


@router.post(
    "/admin/partner-users",
    responses=responses(401, 403, 409, success={201: PartnerUser}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def add_partner_user(body: Annotated[PartnerUserWanted, Body()]) -> Response[str]:
    """Add somebody of a partner organization; with `identitySub` they may sign in."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    added = PartnerUsers(wiring.begin(), wiring.clock()).add(body, auth.actor(staff, router.current_event))
    return answer(added, HTTPStatus.CREATED, etag=etag(added))


@router.get(
    "/admin/partner-users/<user_id>",
    responses=responses(401, 403, 404, success={200: PartnerUser}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def show_partner_user(user_id: UserId) -> Response[str]:
    """Show somebody of a partner organization."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        found = partner_users.shown(connection, user_id)
    return answer(found, etag=etag(found))


@router.put(
    "/admin/partner-users/<user_id>",
    responses=responses(401, 403, 404, 409, 412, success={200: PartnerUser}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def change_partner_user(
    user_id: UserId,
    body: Annotated[PartnerUserWanted, Body()],
    if_match: Annotated[IfMatch | None, Header(alias="If-Match")] = None,
) -> Response[str]:
    """Change somebody of a partner organization; without `identitySub` they may not sign in any more."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    kept = PartnerUsers(wiring.begin(), wiring.clock())
    changed = kept.change(user_id, body, if_match, auth.actor(staff, router.current_event))
    return answer(changed, etag=etag(changed))
