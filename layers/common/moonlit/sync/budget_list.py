"""What every EHR account has used of its request budget, and what each lane has left."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.ehr.budget import DatabaseBudget, Usage
from moonlit.ehr.port import Lane
from moonlit.sync.runs import Runs
from moonlit.web.models import Model


class LaneShown(Model):
    """What a lane may still ask for; more is kept for the lanes above. Null: there is no daily cap."""

    lane: Lane
    left_this_minute: int
    left_today: int | None


class BudgetShown(Model):
    """An account. Its day is UTC's; until `blockedUntil` no lane asks for anything."""

    system: Literal["intakeq", "athena"]
    per_minute: int
    per_day: int | None
    used_this_minute: int
    used_today: int
    lanes: list[LaneShown]
    blocked_until: datetime | None


class BudgetList(Model):
    """Every account; there is no second page."""

    items: list[BudgetShown]
    next_cursor: None = None


def every_account(begin: Begin, clock: Clock, zone: ZoneInfo) -> BudgetList:
    """Return the budget of every account as of now, instants in `zone`."""
    with begin() as connection:
        accounts = Runs(connection).accounts()
    usages = [(system, DatabaseBudget(begin, account_id, clock).usage()) for account_id, system in accounts]
    return BudgetList(items=[_shown(system, usage, clock.now(), zone) for system, usage in usages])


def _shown(system: Literal["intakeq", "athena"], usage: Usage, now: datetime, zone: ZoneInfo) -> BudgetShown:
    blocked = usage.blocked_until if usage.blocked_until and usage.blocked_until > now else None
    left = {lane: usage.left(lane) for lane in Lane}
    return BudgetShown(
        system=system,
        per_minute=usage.per_minute,
        per_day=usage.per_day,
        used_this_minute=len(usage.minute_hits),
        used_today=usage.day_used,
        lanes=[LaneShown(lane=lane, left_this_minute=minute, left_today=day) for lane, (minute, day) in left.items()],
        blocked_until=blocked and blocked.astimezone(zone),
    )
