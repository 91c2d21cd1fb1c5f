"""How much one address may do on the public forms, so that nobody fills the calendar from one place.

An address is kept as a keyed hash, and forgotten within a day.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.dialects.postgresql import insert

from moonlit.booking.errors import TooMany
from moonlit.db.tables import public_uses

KEPT = timedelta(days=1)


class PublicLimits(BaseModel):
    """What one address may do, as `practice_settings.settings` holds it; a clinic's own address may do a lot."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    live_holds_per_address: int = Field(default=40, ge=0, le=1_000_000)
    holds_per_address_hour: int = Field(default=480, ge=0, le=1_000_000)
    bookings_per_address_hour: int = Field(default=240, ge=0, le=1_000_000)
    leads_per_address_hour: int = Field(default=30, ge=0, le=1_000_000)


def caller_of(address: str, key: str) -> str:
    """Return what an address is known by here."""
    return hmac.new(key.encode(), address.encode(), hashlib.sha256).hexdigest()


class Callers:
    """The callers as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def use(self, kind: str, caller: str, limit: int, now: datetime) -> None:
        """Count one thing that the caller does. Do it last: callers of one address queue here until the commit.

        Raises:
            TooMany: The caller has done as much as the limit says within the hour; the transaction must not commit.
        """
        row = insert(public_uses).values(kind=kind, caller=caller, hour=_hour(now), uses=1)
        counted = row.on_conflict_do_update(
            index_elements=["kind", "caller", "hour"], set_={"uses": public_uses.c.uses + 1}
        )
        if self._connection.execute(counted.returning(public_uses.c.uses)).scalar_one() > limit:
            seconds = int((_hour(now) + timedelta(hours=1) - now).total_seconds()) + 1
            raise TooMany(f"at most {limit} an hour", retryAfterSeconds=seconds)

    def forget(self, now: datetime) -> None:
        """Forget what was done more than a day ago."""
        self._connection.execute(sa.delete(public_uses).where(public_uses.c.hour < now - KEPT))


def _hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)
