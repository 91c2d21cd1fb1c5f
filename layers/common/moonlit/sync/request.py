"""What the schedule or a person may say to the nightly sync."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from moonlit.sync.window import Window
from moonlit.web.models import Day, Model

LONGEST_RANGE_DAYS = 366


class DateRange(Model):
    """The practice's days from one to another, both inclusive."""

    start_date: Day
    end_date: Day

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not timedelta(0) <= self.end_date - self.start_date < timedelta(days=LONGEST_RANGE_DAYS):
            raise PydanticCustomError("date_range", "Input should end on or after its start, a year later at most")
        return self

    def window(self) -> Window:
        """Return the days."""
        return Window(self.start_date, self.end_date)


class RefreshBody(Model):
    """What a refresh is asked to read; without `dateRange` the days that every sync looks at."""

    date_range: DateRange | None = None

    def window(self) -> Window | None:
        """Return the days asked for."""
        return self.date_range.window() if self.date_range else None


class SyncRequest(Model):
    """A call of `sync_cron`; everything has a default.

    Attributes:
        wait_seconds: How long the answer may wait for the run to be finished.
        confirm_brake: A person has looked at what stopped the last run: this one may cancel as much.
        repair: Read these days again, whatever changed: for when the mirror is in doubt.
    """

    sync_type: Literal["automated_daily", "manual_org"] = "automated_daily"
    wait_seconds: float = Field(default=25, ge=0, le=600)
    confirm_brake: bool = False
    repair: DateRange | None = None
