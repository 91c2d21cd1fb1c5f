"""Ids and instants of the demo: derived from names, so that every run makes the same ones."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/Denver")
# In the evening, when the practice's day and UTC's differ: rules by the day must use the practice's.
AS_OF = datetime(2027, 2, 25, 2, 30, tzinfo=UTC)
TODAY = AS_OF.astimezone(ZONE).date()
SECOND_NIGHT = datetime(2027, 2, 25, 10, 0, tzinfo=UTC)
_SPACE = UUID("6f1c3a52-9f0b-4f0e-8a53-6f6b1d0c2e77")


def uid(*parts: object) -> str:
    """Return the UUID of what the parts name."""
    return str(uuid5(_SPACE, "/".join(map(str, parts))))


def hexed(length: int, *parts: object) -> str:
    """Return an id of `length` hex digits, the form of IntakeQ's own."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:length]


def local(day: date, at: time) -> datetime:
    """Return the UTC instant of a wall-clock time at the practice."""
    return datetime.combine(day, at, ZONE).astimezone(UTC)


def in_days(days: int) -> date:
    """Return the practice's day that many days from today."""
    return TODAY + timedelta(days=days)


def text(instant: datetime) -> str:
    """Return an instant as clinic files write it."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
