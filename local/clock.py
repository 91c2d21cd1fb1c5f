"""The stack's clock: it runs with the machine's, ahead by what its file says, and is only ever moved forward."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from moonlit.clock import SystemClock


class ClockWouldGoBack(ValueError):
    """The clock was asked for an instant that has passed."""


@dataclass(frozen=True, slots=True)
class StackClock:
    """The clock that everything of one stack reads from `file` (moonlit.clock)."""

    file: Path

    def now(self) -> datetime:
        """Return the current instant, aware and in UTC."""
        return SystemClock(self.file).now()

    @property
    def seconds_ahead(self) -> float:
        """How far it is ahead of the machine's clock."""
        return float(self.file.read_text()) if self.file.exists() else 0.0

    def start_at(self, instant: datetime) -> None:
        """Set the clock to `instant`, aware, earlier or later than now."""
        self._write((instant - datetime.now(UTC)).total_seconds())

    def move_to(self, instant: datetime) -> None:
        """Move the clock forward to `instant`, aware.

        Raises:
            ClockWouldGoBack: That has passed already.
        """
        now = self.now()
        if instant < now:
            raise ClockWouldGoBack(f"{instant.isoformat()} is before {now.isoformat()}")
        self.start_at(instant)

    def _write(self, seconds: float) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(repr(seconds))
        fresh.replace(self.file)  # At once, because others read it at any moment.
