"""What a sync works on: the practice, its EHR accounts, and one run over an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from moonlit.sync.window import Window


@dataclass(frozen=True, slots=True)
class Account:
    """An EHR account and how far it is known.

    Attributes:
        known: The days that pulls have read, None before the first.
        cursor: Everything that the EHR changed before this instant has been pulled.
    """

    id: UUID
    system: str
    known: Window | None
    cursor: datetime | None


@dataclass(frozen=True, slots=True)
class Practice:
    """The practice's own zone and settings."""

    zone: ZoneInfo
    settings: Mapping[str, Any] = field(default_factory=dict)
    widest: tuple[int | None, int | None] = (None, None)
    """How many days back and ahead some active organization wants, None where none says."""

    def window(self, now: datetime) -> Window:
        """Return the days that a sync looks at: as the practice says, or further where an organization wants more."""
        return Window.around(now.astimezone(self.zone).date(), self.settings, *self.widest)


@dataclass(frozen=True, slots=True)
class Run:
    """One run over an account.

    Attributes:
        phase: What page `page` is of: `changed`, `window`, `deleted`; `pulled` when there is nothing left to ask.
        changed_since: The day from which on changes are asked for; None when the whole window is read.
        window: The days that are known once the pull is complete.
        round: How often the run has begun to read, itself included.
        brake_confirmed: A person said that the run may cancel however much.
        night_id: What it has in common with the other accounts' runs of the same call, None for a run of its own.
        reads: `changes`, all that is new in the account; `days`, those of the window again, which leaves the cursor
            where it is; `nothing`, because another run has just read the changes.
        for_everybody: When the pull is complete all patients are brought up to date, else those of the logs that are
            there already.
    """

    id: UUID
    account_id: UUID
    sync_type: str
    state: str
    phase: str
    page: int
    changed_since: date | None
    window: Window
    requests_used: int
    error: str | None
    started_at: datetime
    touched_at: datetime
    round_started_at: datetime
    round: int = 1
    brake_confirmed: bool = False
    night_id: UUID | None = None
    reads: str = "changes"
    for_everybody: bool = True
    requested_by: str | None = None

    @property
    def reads_all(self) -> bool:
        """Whether every day of the window is read, not only what changed."""
        return self.changed_since is None and self.reads != "nothing"

    @property
    def first_phase(self) -> str:
        """The phase that each round begins with."""
        return "window" if self.reads_all else "changed"
