"""Who has claimed which time: the locks that make writers queue, and the rows that keep two from one slot.

Everything that writes a person's time first takes `lock` for all its resources, then deletes the expired holds in
its way, then reads, then writes. The exclusion constraint alone would keep time single too, but it deadlocks under
contention and its losers wait a second each; behind the lock the order is settled before anybody collides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import DBAPIError

from moonlit.booking.errors import SlotTaken
from moonlit.db.engine import violated_constraint
from moonlit.db.tables import appointment_holds, time_claims

_LOCK = sa.text(
    "select pg_advisory_xact_lock(k) from"
    " (select hashtextextended(x::text, 0) k from unnest(:resource_ids) x order by 1) s"
).bindparams(sa.bindparam("resource_ids", type_=sa.ARRAY(PG_UUID(as_uuid=True))))


def lock(connection: sa.Connection, resource_ids: Iterable[UUID]) -> None:
    """Wait for this transaction's turn on all the persons, rooms and patients, in one order for everybody."""
    connection.execute(_LOCK, {"resource_ids": sorted(set(resource_ids))})


@dataclass(frozen=True, slots=True)
class Claim:
    """A resource's time, [start, end), buffers included."""

    kind: Literal["person", "room", "patient"]
    resource_id: UUID
    start: datetime
    end: datetime


class Claims:
    """The claims that one transaction sees. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def drop_expired_holds(self, resource_ids: Collection[UUID], now: datetime) -> None:
        """Delete the holds of these resources that ran out; call it under their lock.

        A constraint cannot ask what time it is, so an expired hold blocks until somebody deletes it.
        """
        expired = (
            sa.select(time_claims.c.hold_id)
            .join(appointment_holds, appointment_holds.c.id == time_claims.c.hold_id)
            .where(time_claims.c.resource_id.in_(resource_ids), appointment_holds.c.expires_at <= now)
        )
        self._connection.execute(sa.delete(appointment_holds).where(appointment_holds.c.id.in_(expired)))

    def delete_expired_holds(self, now: datetime) -> int:
        """Delete every hold that ran out and return how many; their claims go with them."""
        gone = self._connection.execute(sa.delete(appointment_holds).where(appointment_holds.c.expires_at <= now))
        return gone.rowcount

    def overlapping(self, kind: str, resource_id: UUID, start: datetime, end: datetime) -> set[UUID]:
        """Return the owners (appointments or holds) of claims on this resource within [start, end)."""
        rows = self._connection.execute(
            sa.select(sa.func.coalesce(time_claims.c.appointment_id, time_claims.c.hold_id)).where(
                time_claims.c.resource_kind == kind,
                time_claims.c.resource_id == resource_id,
                time_claims.c.span.op("&&")(Range(start, end)),
            )
        )
        return set(rows.scalars())

    def add(self, appointment_id: UUID, claims: Iterable[Claim]) -> None:
        """Claim the time for an appointment that is booked here.

        Raises:
            SlotTaken: The constraint `ex_time_claims_no_overlap` refused, so two callers cannot both win.
        """
        rows = [
            {
                "resource_kind": claim.kind,
                "resource_id": claim.resource_id,
                "span": Range(claim.start, claim.end),
                "appointment_id": appointment_id,
            }
            for claim in claims
        ]
        try:
            with self._connection.begin_nested():  # A savepoint, so that a refusal leaves the transaction usable.
                self._connection.execute(sa.insert(time_claims), rows)
        except DBAPIError as error:
            if violated_constraint(error) == "ex_time_claims_no_overlap":
                raise SlotTaken("the time was claimed by another caller") from None
            raise

    def blocked(self, appointment_id: UUID) -> tuple[datetime, datetime]:
        """Return the time that a visit which was booked here takes of its persons, buffers included."""
        span = sa.select(time_claims.c.span).where(
            time_claims.c.appointment_id == appointment_id, time_claims.c.resource_kind == "person"
        )
        blocked = self._connection.execute(span.limit(1)).scalar_one()
        return blocked.lower, blocked.upper

    def release(self, appointment_id: UUID) -> None:
        """Give the appointment's time back."""
        self._connection.execute(sa.delete(time_claims).where(time_claims.c.appointment_id == appointment_id))
