"""When providers work and when they do not: the only SQL by which staff change hours and time off."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.paging import Paged, by_instant
from moonlit.db.tables import locations, provider_hours, provider_time_off
from moonlit.errors import NotFound

_ORDER = ("weekday", "start", "end", "timezone", "modality", "location_id", "valid_from", "valid_to")


class Work:
    """Hours and time off as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def hours(self, provider_id: UUID) -> Sequence[sa.RowMapping]:
        """Return a provider's windows, Monday's first."""
        columns = [provider_hours.c[name] for name in _ORDER]
        query = sa.select(*columns).where(provider_hours.c.provider_id == provider_id).order_by(*columns)
        return self._connection.execute(query).mappings().all()

    def replace_hours(self, provider_id: UUID, windows: Sequence[Mapping[str, Any]]) -> None:
        """Let the provider have these windows and no others."""
        self._connection.execute(sa.delete(provider_hours).where(provider_hours.c.provider_id == provider_id))
        if windows:
            rows = [{"provider_id": provider_id, **window} for window in windows]
            self._connection.execute(sa.insert(provider_hours), rows)

    def known_locations(self, location_ids: Collection[UUID]) -> set[UUID]:
        """Return which of the locations there are."""
        query = sa.select(locations.c.id).where(locations.c.id.in_(location_ids))
        return set(self._connection.execute(query).scalars())

    def time_off(
        self, provider_id: UUID, first: datetime | None, last: datetime | None, *, limit: int, after: str | None
    ) -> Paged:
        """Return a page of a provider's time off that lies in [first, last) in part, by its start."""
        off = provider_time_off.c
        query = sa.select(off.id, off.start, off.end).where(off.provider_id == provider_id)
        if first:
            query = query.where(off.end > first)
        if last:
            query = query.where(off.start < last)
        return by_instant(self._connection, query, off.start, off.id, limit=limit, after=after)

    def time_off_within(
        self, provider_ids: Collection[UUID], start: datetime, end: datetime
    ) -> list[tuple[UUID, datetime, datetime]]:
        """Return all time off of the providers that shares time with [start, end): id, start and end."""
        off = provider_time_off.c
        query = sa.select(off.id, off.start, off.end).where(
            off.provider_id.in_(provider_ids), off.end > start, off.start < end
        )
        return [(row[0], row[1], row[2]) for row in self._connection.execute(query.order_by(off.start, off.id))]

    def add_time_off(self, time_off_id: UUID, provider_id: UUID, start: datetime, end: datetime) -> None:
        """Store time off."""
        values = {"id": time_off_id, "provider_id": provider_id, "start": start, "end": end}
        self._connection.execute(sa.insert(provider_time_off).values(values))

    def time_off_of(self, provider_id: UUID, time_off_id: UUID) -> tuple[datetime, datetime]:
        """Return when a provider's time off is, which nobody else changes before this transaction ends.

        Raises:
            NotFound: The provider has no such time off.
        """
        off = provider_time_off.c
        query = sa.select(off.start, off.end).where(off.id == time_off_id, off.provider_id == provider_id)
        row = self._connection.execute(query.with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"time off {time_off_id}")
        return row.start, row.end

    def move_time_off(self, time_off_id: UUID, start: datetime, end: datetime) -> None:
        """Let time off be at another time."""
        off = provider_time_off
        self._connection.execute(sa.update(off).where(off.c.id == time_off_id).values(start=start, end=end))

    def drop_time_off(self, provider_id: UUID, time_off_id: UUID) -> tuple[datetime, datetime] | None:
        """Delete a provider's time off and return when it was, None when there is none (any more)."""
        off = provider_time_off.c
        gone = sa.delete(provider_time_off).where(off.id == time_off_id, off.provider_id == provider_id)
        row = self._connection.execute(gone.returning(off.start, off.end)).one_or_none()
        return None if row is None else (row.start, row.end)
