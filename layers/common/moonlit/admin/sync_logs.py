"""What the syncs did: their logs, as JSON or as a table, how they have been going, and how far a run is."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from moonlit import wiring
from moonlit.audit.store import Audit
from moonlit.sync import log_list, log_trends
from moonlit.sync.log_list import LogFilter, LogPage, SyncStatus, SyncType
from moonlit.sync.log_trends import GroupBy, Trends
from moonlit.sync.run_shown import RunShown, run_shown
from moonlit.web import auth, csv_text, negotiation
from moonlit.web.http_api import answer, new_router
from moonlit.web.models import Cursor, Day, Limit
from moonlit.web.problems import responses

router = new_router()
_PAGE_ITEMS = 50


@router.get(
    "/admin/sync-logs",
    responses=responses(401, 403, success={200: LogPage}, tables=(200,)),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def sync_logs(  # noqa: PLR0917  # Powertools passes them by name.
    sync_type: Annotated[SyncType | None, Query(alias="type")] = None,
    organization_id: Annotated[UUID | None, Query(alias="organizationId")] = None,
    status: Annotated[SyncStatus | None, Query()] = None,
    run_id: Annotated[UUID | None, Query(alias="runId")] = None,
    first: Annotated[Day | None, Query(alias="from")] = None,
    last: Annotated[Day | None, Query(alias="to")] = None,
    limit: Annotated[Limit | None, Query()] = None,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[str]:
    """List the syncs begun on the practice's days, the newest first; with `Accept: text/csv` all at once as a table."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    as_table = _wants_table()
    wanted = LogFilter(sync_type, status, organization_id, run_id, first, last)
    zone, now = wiring.practice_zone(), wiring.clock().now()
    most = limit or (log_list.MOST_CSV_ROWS if as_table else _PAGE_ITEMS)
    with wiring.begin()() as connection:
        found = log_list.page(connection, zone, wanted, limit=most, after=cursor)
        told = _table(found, limit) if as_table else answer(found, vary="accept")
        Audit(connection, auth.actor(staff, router.current_event), now).read("sync_log", found.patient_ids())
    return told


@router.get(
    "/admin/sync-logs/trends",
    responses=responses(401, 403, success={200: Trends}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def sync_trends(
    first: Annotated[Day | None, Query(alias="from")] = None,
    last: Annotated[Day | None, Query(alias="to")] = None,
    organization_id: Annotated[UUID | None, Query(alias="organizationId")] = None,
    group_by: Annotated[GroupBy, Query(alias="groupBy")] = "day",
) -> Response[str]:
    """Say how the syncs went on each of the practice's days, or in each week; the last thirty days unless asked."""
    auth.require(wiring.begin(), router.current_event, "admin")
    zone = wiring.practice_zone()
    asked = log_trends.days(first, last, wiring.clock().now().astimezone(zone).date())
    with wiring.begin()() as connection:
        return answer(log_trends.trends(connection, zone, asked, organization_id, group_by))


@router.get(
    "/admin/sync-runs/<run_id>",
    responses=responses(401, 403, 404, success={200: RunShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def sync_run(run_id: Annotated[UUID, Path()]) -> Response[str]:
    """Say how far a run is; what it did for whom is in its logs."""
    auth.require(wiring.begin(), router.current_event, "admin")
    zone = wiring.practice_zone()
    with wiring.begin()() as connection:
        return answer(run_shown(connection, run_id, zone))


def _wants_table() -> bool:
    accept: Any = router.current_event.headers.get("accept")
    return negotiation.preferred(accept, (csv_text.JSON, csv_text.CSV)) == csv_text.CSV


def _table(found: LogPage, limit: int | None) -> Response[str]:
    """Return logs as a table: all there are, or, where the caller said how many, these and where the next ones are."""
    if found.next_cursor is None:
        return csv_text.answer(log_list.as_csv(found.items), "sync-logs.csv", vary="accept")
    if limit is None:
        raise csv_text.too_many_rows()
    query = dict(router.current_event.query_string_parameters or {}) | {"cursor": found.next_cursor}
    link = f'<{router.current_event.raw_path}?{urlencode(query)}>; rel="next"'
    return csv_text.answer(log_list.as_csv(found.items), "sync-logs.csv", vary="accept", link=link)
