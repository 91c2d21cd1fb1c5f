"""Who may still change a visit, and the visit behind its locks. Cancelling and moving begin here."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from moonlit.booking.claims import lock_visit
from moonlit.booking.errors import TooLate
from moonlit.booking.store import Kept, Visits
from moonlit.errors import NotFound


class GuestRules(BaseModel):
    """Until when a patient may change a visit, as `practice_settings.settings` holds it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    guest_window_hours: int = Field(default=24, ge=0, le=10_000)


def locked_visit(connection: sa.Connection, appointment_id: UUID) -> Kept:
    """Wait for our turn on everyone's time that the visit takes; return the visit as it is then.

    Raises:
        NotFound: There is no such visit.
    """
    lock_visit(connection, appointment_id)
    visit = Visits(connection).kept(appointment_id)
    if visit is None:
        raise NotFound("no such visit")
    return visit


def check_window(connection: sa.Connection, visit: Kept, now: datetime) -> None:
    """Let a patient change the visit while there is time.

    Raises:
        TooLate: The visit begins too soon, or has begun.
    """
    rules = GuestRules.model_validate(Visits(connection).settings())
    if visit["start"] - now < timedelta(hours=rules.guest_window_hours):
        raise TooLate(f"less than {rules.guest_window_hours} hours before the visit")
