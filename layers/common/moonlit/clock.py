"""The one place that tells the time.

Everything else is handed a `Clock`. In the cloud it is the system's. On one machine the whole stack can be set to
another instant: the local host writes how far its clock is ahead into the file that `MOONLIT_CLOCK_FILE` names, and
every process reads it there, so that functions and simulators move together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tells the current instant, aware and in UTC."""

    def now(self) -> datetime:
        """Return the current instant."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock, moved ahead by the seconds that `offset_file` holds when there is one."""

    offset_file: Path | None = None

    def now(self) -> datetime:
        """Return the current instant."""
        return datetime.now(UTC) + self._offset()

    def _offset(self) -> timedelta:
        if self.offset_file is None:
            return timedelta(0)
        try:
            return timedelta(seconds=float(self.offset_file.read_text()))
        except FileNotFoundError:
            return timedelta(0)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still, for tests and for replaying a moment."""

    instant: datetime

    def now(self) -> datetime:
        """Return the instant it stands at."""
        return self.instant


def system_clock() -> Clock:
    """Return the clock of this process."""
    name = os.environ.get("MOONLIT_CLOCK_FILE")
    return SystemClock(Path(name) if name else None)
