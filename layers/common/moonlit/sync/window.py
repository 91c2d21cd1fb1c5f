"""Which days a sync looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

# The EHR shows a deletion for ten days: after a longer silence only a fresh look at the whole window is safe.
LONGEST_SILENCE = timedelta(days=9)


class SyncDays(BaseModel):
    """How far back and ahead a sync looks, as `practice_settings.settings` holds it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sync_days_back: int = Field(default=90, ge=0, le=3650)
    sync_days_ahead: int = Field(default=90, ge=0, le=3650)


@dataclass(frozen=True, slots=True)
class Window:
    """The practice's local days `first` to `last`, both inclusive."""

    first: date
    last: date

    @classmethod
    def around(
        cls, today: date, settings: Mapping[str, Any], back: int | None = None, ahead: int | None = None
    ) -> Window:
        """Return the window of a sync on the practice's day `today`, as the practice settings say.

        Args:
            today: The day.
            settings: The practice's.
            back: At least so many days back, whatever they say.
            ahead: At least so many days ahead.
        """
        days = SyncDays.model_validate(settings)
        first, last = max(days.sync_days_back, back or 0), max(days.sync_days_ahead, ahead or 0)
        return cls(today - timedelta(days=first), today + timedelta(days=last))

    def covers(self, other: Window) -> bool:
        """Return whether all days of `other` are among these."""
        return self.first <= other.first and other.last <= self.last

    def instants(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Return the window as [start, end) in UTC; its days begin at midnight in `zone`."""
        start = datetime.combine(self.first, time(), zone)
        end = datetime.combine(self.last + timedelta(days=1), time(), zone)
        return start.astimezone(UTC), end.astimezone(UTC)


def must_read_all(known: Window | None, cursor: datetime | None, wanted: Window, now: datetime) -> bool:
    """Return whether changes alone cannot bring `wanted` up to date, so that every day of it has to be read.

    Args:
        known: The days that earlier pulls have read, None before the first.
        cursor: Everything that the EHR changed before this instant is known.
        wanted: The days to be known after this pull.
        now: The current instant.
    """
    if known is None or cursor is None:
        return True
    beside = wanted.first < known.first or wanted.first > known.last + timedelta(days=1)
    return beside or now - cursor > LONGEST_SILENCE


def unread(known: Window | None, wanted: Window) -> Window | None:
    """Return the days of `wanted` that no pull has read yet, None when there are none.

    As days go by the window reaches new ones, and a visit there that was made long ago never shows up as a change.
    """
    if known is None:
        return wanted
    first = max(wanted.first, known.last + timedelta(days=1))
    return Window(first, wanted.last) if first <= wanted.last else None
