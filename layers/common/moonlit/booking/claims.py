"""Who has claimed which time: the locks that make writers queue, and the rows that keep two from one slot.

Everything that writes a person's time first takes `lock` for all its resources, then deletes the expired holds in
its way, then reads, then writes. The exclusion constraint alone would keep time single too, but it deadlocks under
contention and its losers wait a second each; behind the lock the order is settled before anybody collides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self
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


# Who gives a visit, and whose time it claims: the same queue as in `lock`, without asking for them first.
_LOCK_VISIT = sa.text("""
    select pg_advisory_xact_lock(k) from (
        select distinct hashtextextended(x::text, 0) k from (
            select resource_id from time_claims where appointment_id = :appointment_id
            union
            select p.person_id from appointments a join providers p on p.id in (a.provider_id, a.rendering_provider_id)
            where a.id = :appointment_id
            union
            select unnest(:resource_ids)
        ) resources (x) order by 1) s
""").bindparams(
    sa.bindparam("appointment_id", type_=PG_UUID(as_uuid=True)),
    sa.bindparam("resource_ids", type_=sa.ARRAY(PG_UUID(as_uuid=True))),
)


def lock_visit(connection: sa.Connection, appointment_id: UUID, others: Iterable[UUID] = ()) -> None:
    """Wait for this transaction's turn on everyone's time that the visit takes, and on that of `others`."""
    connection.execute(_LOCK_VISIT, {"appointment_id": appointment_id, "resource_ids": list(others)})


def lock(connection: sa.Connection, resource_ids: Iterable[UUID]) -> None:
    """Wait for this transaction's turn on all the persons, rooms and patients, in one order for everybody."""
    connection.execute(_LOCK, {"resource_ids": sorted(set(resource_ids))})


@dataclass(frozen=True, slots=True)
class Claim:
    """A resource's time, [start, end), buffers included; what is not `enforced` may overlap."""

    kind: Literal["person", "room", "patient"]
    resource_id: UUID
    start: datetime
    end: datetime
    enforced: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the claim for a JSON column."""
        return {
            "kind": self.kind,
            "resource_id": str(self.resource_id),
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "enforced": self.enforced,
        }

    @classmethod
    def of_json(cls, claim: Mapping[str, Any]) -> Self:
        """Return the claim that `as_json` stored."""
        return cls(
            claim["kind"],
            UUID(claim["resource_id"]),
            datetime.fromisoformat(claim["start"]),
            datetime.fromisoformat(claim["end"]),
            claim["enforced"],
        )


def united(claims: Iterable[Claim]) -> list[Claim]:
    """Return claims over the same time of which no two of one resource overlap or touch."""
    by_resource: defaultdict[tuple[str, UUID, bool], list[Claim]] = defaultdict(list)
    for claim in sorted(claims, key=lambda claim: claim.start):
        row = by_resource[claim.kind, claim.resource_id, claim.enforced]
        if row and claim.start <= row[-1].end:
            row[-1] = replace(row[-1], end=max(row[-1].end, claim.end))
        else:
            row.append(claim)
    return [claim for row in by_resource.values() for claim in row]


class Claims:
    """The claims that one transaction sees. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def drop_expired_holds(self, resource_ids: Collection[UUID], now: datetime) -> None:
        """Delete the holds of these resources that ran out; call it under their lock.

        A constraint cannot ask what time it is, so an expired hold blocks until somebody deletes it.
        """
        theirs = sa.select(time_claims.c.hold_id).where(time_claims.c.resource_id.in_(resource_ids))
        expired = (
            sa.select(appointment_holds.c.id)
            .where(appointment_holds.c.expires_at <= now, appointment_holds.c.id.in_(theirs))
            .order_by(appointment_holds.c.id)
            .with_for_update()
        )
        self._connection.execute(sa.delete(appointment_holds).where(appointment_holds.c.id.in_(expired)))

    def delete_expired_holds(self, now: datetime) -> int:
        """Delete every hold that ran out and return how many; their claims go with them. Waits for nobody."""
        expired = (
            sa.select(appointment_holds.c.id)
            .where(appointment_holds.c.expires_at <= now)
            .order_by(appointment_holds.c.id)
            .with_for_update(skip_locked=True)
        )
        gone = self._connection.execute(sa.delete(appointment_holds).where(appointment_holds.c.id.in_(expired)))
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

    def of(self, appointment_id: UUID) -> list[Claim]:
        """Return what a visit claims."""
        columns = (time_claims.c.resource_kind, time_claims.c.resource_id, time_claims.c.span, time_claims.c.enforced)
        rows = self._connection.execute(sa.select(*columns).where(time_claims.c.appointment_id == appointment_id))
        return [Claim(kind, resource, span.lower, span.upper, enforced) for kind, resource, span, enforced in rows]

    def add(self, appointment_id: UUID, claims: Iterable[Claim]) -> None:
        """Claim the time for an appointment that is booked here.

        Raises:
            SlotTaken: The constraint `ex_time_claims_no_overlap` refused, so two callers cannot both win. The
                transaction is lost with it.
        """
        self._insert(claims, appointment_id=appointment_id)

    def add_for_hold(self, hold_id: UUID, claims: Iterable[Claim]) -> None:
        """Claim the time for a hold; see `add`."""
        self._insert(claims, hold_id=hold_id)

    def put(self, appointment_id: UUID, claims: Sequence[Claim]) -> None:
        """Let the appointment claim this and nothing else; see `add`."""
        self.release(appointment_id)
        if claims:
            self._insert(claims, appointment_id=appointment_id)

    def release(self, appointment_id: UUID) -> None:
        """Give the appointment's time back."""
        self._connection.execute(sa.delete(time_claims).where(time_claims.c.appointment_id == appointment_id))

    def _insert(self, claims: Iterable[Claim], **owner: UUID) -> None:
        rows = [
            {
                "resource_kind": claim.kind,
                "resource_id": claim.resource_id,
                "span": Range(claim.start, claim.end),
                "enforced": claim.enforced,
                **owner,
            }
            for claim in claims
        ]
        try:
            self._connection.execute(sa.insert(time_claims).values(rows))
        except DBAPIError as error:
            if violated_constraint(error) == "ex_time_claims_no_overlap":
                raise SlotTaken("the time was claimed by another caller") from None
            raise
