"""Providers with their hours and time off, as staff keep them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from moonlit import wiring
from moonlit.people import hours, providers, time_off
from moonlit.people.hours import HoursChanged, HoursList, HoursWanted, ProviderHours
from moonlit.people.provider_answers import NewProvider, Provider, ProviderChanged, ProviderList, ProviderWanted
from moonlit.people.provider_store import ProviderStore
from moonlit.people.providers import Providers
from moonlit.people.resync import Resync, Resynced
from moonlit.people.time_off import Days, ProviderTimeOff, TimeOffChanged, TimeOffList, TimeOffWanted
from moonlit.sync import wiring as sync
from moonlit.sync.practitioners import Practitioners
from moonlit.web import auth
from moonlit.web.etags import IfMatch, etag
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Day, Limit, Line, TrueOrFalse
from moonlit.web.problems import responses

router = new_router()
ProviderId = Annotated[UUID, Path()]


@router.get(
    "/admin/providers",
    responses=responses(401, 403, success={200: ProviderList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def list_providers(
    q: Annotated[Line | None, Query()] = None,
    active: Annotated[TrueOrFalse | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List providers by name: those with `q` in it, and only those who are active, or are not."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        return answer(providers.page(connection, q, active=active, limit=limit, after=cursor))


@router.post(
    "/admin/providers",
    responses=responses(401, 403, success={201: Provider}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def add_provider(body: Annotated[NewProvider, Body()]) -> Response[str]:
    """Add a provider; bookable with hours, contracts and a practitioner of the EHR."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    added = Providers(wiring.begin(), wiring.clock()).add(body, auth.actor(staff, router.current_event))
    return answer(added, HTTPStatus.CREATED, etag=etag(added))


@router.get(
    "/admin/providers/<provider_id>",
    responses=responses(401, 403, 404, success={200: Provider}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def show_provider(provider_id: ProviderId) -> Response[str]:
    """Show a provider, and where their calendar is."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        found = ProviderStore(connection).get(provider_id)
    return answer(found, etag=etag(found))


@router.put(
    "/admin/providers/<provider_id>",
    responses=responses(401, 403, 404, 409, 412, success={200: ProviderChanged}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def change_provider(
    provider_id: ProviderId,
    body: Annotated[ProviderWanted, Body()],
    dry_run: Annotated[TrueOrFalse, Query(alias="dryRun")] = False,  # noqa: FBT002  # Powertools passes it by name.
    if_match: Annotated[IfMatch | None, Header(alias="If-Match")] = None,
) -> Response[str]:
    """Change a provider, and tell the visits to come that are left without ground; a dry run only tells."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    change = providers.Change(provider_id, body, if_match, dry_run)
    changed, tag = Providers(wiring.begin(), wiring.clock()).change(change, auth.actor(staff, router.current_event))
    return answer(changed, etag=tag)


@router.get(
    "/admin/providers/<provider_id>/hours",
    responses=responses(401, 403, 404, success={200: HoursList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def show_hours(provider_id: ProviderId) -> Response[str]:
    """Show when a provider works, all windows at once."""
    auth.require(wiring.begin(), router.current_event, "admin")
    with wiring.begin()() as connection:
        found = hours.shown(connection, provider_id)
    return answer(found, etag=etag(found))


@router.put(
    "/admin/providers/<provider_id>/hours",
    responses=responses(401, 403, 404, 409, 412, success={200: HoursChanged}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def replace_hours(
    provider_id: ProviderId,
    body: Annotated[HoursWanted, Body()],
    dry_run: Annotated[TrueOrFalse, Query(alias="dryRun")] = False,  # noqa: FBT002  # Powertools passes it by name.
    if_match: Annotated[IfMatch | None, Header(alias="If-Match")] = None,
) -> Response[str]:
    """Let a provider have these hours and no others, and tell the visits to come that then lie outside of them."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    change = hours.Change(provider_id, body, if_match, dry_run)
    changed, tag = ProviderHours(wiring.begin(), wiring.clock()).replace(
        change, auth.actor(staff, router.current_event)
    )
    return answer(changed, etag=tag)


@router.get(
    "/admin/providers/<provider_id>/time-off",
    responses=responses(401, 403, 404, success={200: TimeOffList}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def list_time_off(
    provider_id: ProviderId,
    first: Annotated[Day | None, Query(alias="from")] = None,
    last: Annotated[Day | None, Query(alias="to")] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List a provider's time off by its start; days are the practice's, and time off that touches them counts."""
    auth.require(wiring.begin(), router.current_event, "admin")
    days = Days(first, last, wiring.practice_zone())
    with wiring.begin()() as connection:
        return answer(time_off.page(connection, provider_id, days, limit=limit, after=cursor))


@router.post(
    "/admin/providers/<provider_id>/time-off",
    responses=responses(401, 403, 404, 409, success={200: TimeOffChanged, 201: TimeOffChanged}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def add_time_off(
    provider_id: ProviderId,
    body: Annotated[TimeOffWanted, Body()],
    dry_run: Annotated[TrueOrFalse, Query(alias="dryRun")] = False,  # noqa: FBT002  # Powertools passes it by name.
) -> Response[str]:
    """Give a provider time off, and tell the visits to come on which it falls; a dry run, answered 200, only tells."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    kept = ProviderTimeOff(wiring.begin(), wiring.clock(), wiring.practice_zone())
    change = time_off.Change(provider_id, body, dry_run=dry_run)
    added = kept.change(change, auth.actor(staff, router.current_event))
    return answer(added, HTTPStatus.OK if dry_run else HTTPStatus.CREATED)


@router.put(
    "/admin/providers/<provider_id>/time-off/<time_off_id>",
    responses=responses(401, 403, 404, 409, success={200: TimeOffChanged}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def move_time_off(
    provider_id: ProviderId,
    time_off_id: Annotated[UUID, Path()],
    body: Annotated[TimeOffWanted, Body()],
    dry_run: Annotated[TrueOrFalse, Query(alias="dryRun")] = False,  # noqa: FBT002  # Powertools passes it by name.
) -> Response[str]:
    """Let time off be at another time, and tell the visits to come on which it did not fall before."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    kept = ProviderTimeOff(wiring.begin(), wiring.clock(), wiring.practice_zone())
    change = time_off.Change(provider_id, body, time_off_id, dry_run)
    return answer(kept.change(change, auth.actor(staff, router.current_event)))


@router.delete(
    "/admin/providers/<provider_id>/time-off/<time_off_id>",
    responses=responses(401, 403, 404, success={204: None}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def drop_time_off(provider_id: ProviderId, time_off_id: Annotated[UUID, Path()]) -> Response[str]:
    """Take time off back; what is gone already answers the same."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    kept = ProviderTimeOff(wiring.begin(), wiring.clock(), wiring.practice_zone())
    kept.drop(provider_id, time_off_id, auth.actor(staff, router.current_event))
    return Response(HTTPStatus.NO_CONTENT, "text/plain", "")  # An absent body would be held against the annotation.


@router.post(
    "/admin/providers/<provider_id>/resync",
    responses=responses(401, 403, 404, 409, success={202: Resynced}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def resync_provider(provider_id: ProviderId) -> Response[str]:
    """Apply what is known of a provider's calendar again, and have every day of the EHR's account read again."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    practitioners = Practitioners(wiring.begin(), wiring.clock(), wiring.deadline.seconds_left)
    resync = Resync(wiring.begin(), wiring.clock(), practitioners, lambda: sync.queue("pull_url"))
    return answer(resync.start(provider_id, auth.actor(staff, router.current_event)), HTTPStatus.ACCEPTED)
