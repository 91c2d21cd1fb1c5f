"""A slot: open, booked, or a thing of the past. Its id is the appointment's id for good."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

OPEN, FUTURE, CHECKED_IN, CHECKED_OUT, CHARGED, CANCELLED = "o", "f", "2", "3", "4", "x"


@dataclass(slots=True, kw_only=True)
class Cancellation:
    """Who cancelled a visit, when, and why; `moved_to` is the visit that took its place."""

    reason_id: str
    by: str
    at: datetime
    text: str | None = None
    moved_to: str | None = None


@dataclass(slots=True, kw_only=True)
class Booking:
    """What a slot has when somebody booked it.

    Attributes:
        options: What the request said beside who and what: notes and switches, as they came.
        insurances: The policies by "primary" and "secondary".
        swallowed: The open slots that the visit needs beside its own.
    """

    patient_id: str
    type_id: str
    reason_id: str | None
    minutes: int
    by: str
    at: datetime
    rendering_id: str | None = None
    supervising_id: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    insurances: dict[str, str] = field(default_factory=dict)
    swallowed: tuple[str, ...] = ()
    cancellation: Cancellation | None = None


@dataclass(slots=True, kw_only=True)
class Slot:
    """A stretch of one provider's schedule.

    Attributes:
        start: Without a zone, by the department's wall clock.
        type_id: Of the slot; that of what was booked into it may be another.
        reason_ids: For which it is offered; none means for those whose type fits.
        swallowed_by: The visit, begun in an earlier slot, that needs this one too.
    """

    id: str
    provider_id: str
    department_id: str
    start: datetime
    minutes: int
    type_id: str
    reason_ids: tuple[str, ...] = ()
    is_schedulable: bool = True
    is_frozen: bool = False
    status: str = OPEN
    swallowed_by: str | None = None
    modified_at: datetime
    modified_by: str
    booking: Booking | None = None

    @property
    def end(self) -> datetime:
        """When the slot ends, by the same clock as `start`."""
        return self.start + timedelta(minutes=self.minutes)

    @property
    def is_open(self) -> bool:
        """Whether nobody has it; it may be frozen all the same."""
        return self.status == OPEN and self.swallowed_by is None

    @property
    def is_booked(self) -> bool:
        """Whether somebody has it, has had it or was to have it."""
        return self.booking is not None
