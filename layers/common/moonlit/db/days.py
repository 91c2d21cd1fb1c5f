"""Filters by the practice's days."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.web.malformed import in_query


def between(column: sa.Column[Any], first: date | None, last: date | None, zone: ZoneInfo) -> list[Any]:
    """Return what lets `column` lie within the days `first` to `last` of `zone`, both inclusive, each None for any.

    Raises:
        RequestValidationError: The parameter `to` lies before `from`.
    """
    expect_order(first, last)
    conditions = []
    if first:
        conditions.append(column >= midnight(first, zone))
    if last:
        conditions.append(column < midnight(last + timedelta(days=1), zone))
    return conditions


def expect_order(first: date | None, last: date | None) -> None:
    """Refuse days that are the wrong way round.

    Raises:
        RequestValidationError: The parameter `to` lies before `from`.
    """
    if first and last and last < first:
        raise in_query("before_from", "to")


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day begins."""
    return datetime.combine(day, time(), zone)
