"""Callers that spend a budget, in a module that a spawned process imports quickly."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from moonlit.clock import FixedClock
from moonlit.db.engine import beginner, connect
from moonlit.ehr.budget import DatabaseBudget
from moonlit.ehr.port import BudgetExhausted, Lane

_ONE_MOMENT = FixedClock(datetime(2027, 3, 10, 19, 0, tzinfo=UTC))


def taken(budget: DatabaseBudget, lane: Lane, attempts: int) -> int:
    """Try to take `attempts` requests; return how many were let through."""
    passed = 0
    for _ in range(attempts):
        try:
            budget.take(lane)
        except BudgetExhausted:
            continue
        passed += 1
    return passed


def taken_elsewhere(url: str, account_id: UUID, attempts: int) -> int:
    """Do the same over a connection of one's own."""
    engine = connect(url)
    try:
        return taken(DatabaseBudget(beginner(engine), account_id, _ONE_MOMENT), Lane.BOOKING, attempts)
    finally:
        engine.dispose()
