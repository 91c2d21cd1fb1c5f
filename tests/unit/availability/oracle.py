"""Free starts, the slow and obvious way: look at every minute. Imports nothing of the package that it judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Window:
    weekday: int
    start: int  # Minutes after midnight.
    end: int
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True)
class Case:
    zone: str  # The provider's.
    asked_zone: str  # Whose days `first` and `last` are.
    windows: list[Window]
    busy: list[tuple[datetime, datetime]]
    length: int
    before: int
    after: int
    grid: int
    now: datetime
    notice: int
    horizon_end: datetime
    first: date
    last: date
    full_days: list[date] = field(default_factory=list)


def works_at(case: Case, instant: datetime) -> bool:
    """Tell whether the wall clock shows a time of a window, which may have begun the day before."""
    wall = instant.astimezone(ZoneInfo(case.zone))
    minute = wall.hour * 60 + wall.minute
    for window in case.windows:
        over_midnight = window.end <= window.start
        for day, at in ((wall.date(), minute), (wall.date() - timedelta(days=1), minute + 1440)):
            if day.weekday() != window.weekday:
                continue
            if (window.valid_from and day < window.valid_from) or (window.valid_to and day > window.valid_to):
                continue
            if window.start <= at < window.end + (1440 if over_midnight else 0):
                return True
    return False


def is_free(case: Case, start: datetime) -> bool:
    wall = start.astimezone(ZoneInfo(case.zone))
    if not case.first <= start.astimezone(ZoneInfo(case.asked_zone)).date() <= case.last:
        return False
    if (wall.hour * 60 + wall.minute) % case.grid or wall.second:
        return False
    if start < case.now + case.notice * MINUTE or start >= case.horizon_end or wall.date() in case.full_days:
        return False
    if not all(works_at(case, start + n * MINUTE) for n in range(case.length)):
        return False
    blocked_start, blocked_end = start - case.before * MINUTE, start + (case.length + case.after) * MINUTE
    return not any(busy_start < blocked_end and blocked_start < busy_end for busy_start, busy_end in case.busy)


def free_starts(case: Case) -> list[datetime]:
    at = datetime.combine(case.first, datetime.min.time(), UTC) - timedelta(days=1)
    end = datetime.combine(case.last, datetime.min.time(), UTC) + timedelta(days=2)
    found = []
    while at < end:
        if is_free(case, at):
            found.append(at)
        at += MINUTE
    return found
