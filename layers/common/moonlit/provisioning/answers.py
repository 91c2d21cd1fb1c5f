"""The runs of provisioning as the API and `backfill` tell them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import Field, TypeAdapter

from moonlit.provisioning.rules import Action, Strategy
from moonlit.provisioning.runs import ProvisioningRuns
from moonlit.web import cursors
from moonlit.web.models import Model

MOST_ACTIONS = 5_000  # About two megabytes; Lambda answers with six at most.
LONGEST_RUN = timedelta(minutes=15)  # No function lives longer.

type State = Literal["running", "interrupted", "planned", "applied", "partial", "undone"]


class ActionShown(Model):
    """One thing that a run plans or has done; `error` says why it was not done."""

    action: Action
    payer_id: UUID | None
    payer_name: str | None
    service_id: UUID
    service_instance_id: UUID
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    state: Literal["planned", "done", "failed", "undone"]
    error: str | None


class ForReview(Model):
    """A payer of whom a person has to say what becomes of it."""

    payer_id: UUID
    payer_name: str
    reason: str


class KeptOrphan(Model):
    """An instance without a payer that stays, because visits refer to it."""

    service_instance_id: UUID
    service_id: UUID
    references: int


class RunCounts(Model):
    """How many payers there are, and how many were and are (or would be) service-ready."""

    payers_total: int
    service_ready_before: int
    service_ready_after: int


class RunSummary(Model):
    """A run without its actions. `payersLeft` counts those that it had no time for: the next run does them."""

    run_id: UUID
    mode: Literal["dryRun", "apply"]
    strategy: Strategy
    state: State
    requested_by: str
    started_at: datetime
    finished_at: datetime | None
    undone_at: datetime | None
    undone_by: str | None
    counts: RunCounts
    actions_total: int
    actions_failed: int
    payers_left: int


class RunShown(RunSummary):
    """A run with its actions in their order, up to 5,000 of them; `nextCursor` leads to the others.

    `payerIds` are those that it was for, null for all. `forReview` and `orphansKept` come with the first actions.
    """

    payer_ids: list[UUID] | None
    actions: list[ActionShown]
    for_review: list[ForReview]
    orphans_kept: list[KeptOrphan]
    next_cursor: str | None


class RunList(Model):
    """A page of runs, the newest first."""

    items: list[RunSummary]
    next_cursor: str | None


def shown(
    connection: sa.Connection, run_id: UUID, zone: ZoneInfo, now: datetime, *, cursor: str | None = None
) -> RunShown:
    """Return a run with a page of its actions.

    Raises:
        NotFound: There is no such run.
        RequestValidationError: `cursor` is none of this list.
    """
    runs = ProvisioningRuns(connection)
    run = runs.run(run_id)
    actions = runs.actions(run_id, limit=MOST_ACTIONS + 1, after=_position(cursor))
    told: Mapping[str, Any] = {"for_review": [], "kept_orphans": []} if cursor else dict(run)
    names = runs.names([UUID(row["payerId"]) for row in told["for_review"]])
    page = actions[:MOST_ACTIONS]
    return RunShown(
        **_summary(run, zone, now),
        payer_ids=run["payer_ids"],
        actions=[ActionShown(**{name: row[name] for name in _ACTION}) for row in page],
        for_review=[ForReview(**row, payer_name=names[UUID(row["payerId"])]) for row in told["for_review"]],
        orphans_kept=[KeptOrphan(**row) for row in told["kept_orphans"]],
        next_cursor=str(page[-1]["position"]) if len(actions) > MOST_ACTIONS else None,
    )


def listed(connection: sa.Connection, zone: ZoneInfo, now: datetime, *, limit: int, after: str | None) -> RunList:
    """Return a page of runs.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    page = ProvisioningRuns(connection).page(limit=limit, after=after)
    items = [RunSummary(**_summary(row, zone, now)) for row in page.rows]
    return RunList(items=items, next_cursor=page.next_cursor)


_POSITION: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, lt=2**31)])
_KEPT = ("mode", "strategy", "actions_failed", "requested_by", "undone_by", "payers_left")
_ACTION = tuple(ActionShown.model_fields)


def _summary(run: sa.RowMapping, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    # Nobody notes that a process was killed: a run that is older than any process can be is not under way.
    interrupted = run["state"] == "running" and now - run["started_at"] > LONGEST_RUN
    return {
        "run_id": run["id"],
        "state": "interrupted" if interrupted else run["state"],
        "counts": RunCounts(
            payers_total=run["payers_total"],
            service_ready_before=run["ready_before"],
            service_ready_after=run["ready_after"],
        ),
        "actions_total": run["actions"],
        **{name: run[name] for name in _KEPT},
        **{name: run[name] and run[name].astimezone(zone) for name in ("started_at", "finished_at", "undone_at")},
    }


def _position(cursor: str | None) -> int:
    if cursor is None:
        return -1
    try:
        return _POSITION.validate_strings(cursor)
    except ValueError:
        raise cursors.refused() from None
