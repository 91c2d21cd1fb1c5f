"""Holds, and the open slots that the EHR keeps frozen for them: the only SQL for their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.db.tables import appointment_holds, ehr_freezes


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold that may still be good: it is until `expires_at`."""

    id: UUID
    provider_id: UUID
    start: datetime
    end: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Freeze:
    """An open slot that the EHR keeps, or may keep, for a hold; `slot_id` is the vendor's."""

    account_id: UUID
    slot_id: str
    hold_id: UUID
    attempts: int


_HOLD = [appointment_holds.c[name] for name in Hold.__dataclass_fields__]
_FREEZE = [ehr_freezes.c[name] for name in Freeze.__dataclass_fields__]


class Holds:
    """The holds as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, hold: Hold, service_id: UUID, payer_id: UUID, caller: str, now: datetime) -> None:
        """Store a hold that `caller` asked for."""
        values = {name: getattr(hold, name) for name in Hold.__dataclass_fields__}
        self._connection.execute(
            sa.insert(appointment_holds).values(
                **values, service_id=service_id, payer_id=payer_id, caller=caller, created_at=now
            )
        )

    def get(self, hold_id: UUID) -> Hold | None:
        """Return the hold, None when it is gone."""
        row = self._connection.execute(sa.select(*_HOLD).where(appointment_holds.c.id == hold_id)).one_or_none()
        return Hold(*row) if row else None

    def live(self, caller: str, now: datetime) -> int:
        """Return how many holds the caller has that are good at `now`."""
        query = sa.select(sa.func.count()).where(
            appointment_holds.c.caller == caller, appointment_holds.c.expires_at > now
        )
        return int(self._connection.execute(query).scalar_one())

    def drop(self, hold_id: UUID) -> None:
        """Delete the hold; the time it claims is free again."""
        self._connection.execute(sa.delete(appointment_holds).where(appointment_holds.c.id == hold_id))

    def freeze(self, account_id: UUID, slot_id: str, hold_id: UUID, thaw_at: datetime) -> None:
        """Note that the slot is about to be frozen for the hold, before the EHR is asked."""
        values = {"account_id": account_id, "slot_id": slot_id, "hold_id": hold_id, "thaw_at": thaw_at, "attempts": 0}
        frozen = insert(ehr_freezes).values(**values)
        self._connection.execute(
            frozen.on_conflict_do_update(
                index_elements=["account_id", "slot_id"],
                set_={"hold_id": hold_id, "thaw_at": thaw_at, "attempts": 0},
            )
        )

    def is_frozen(self, account_id: UUID, slot_id: str) -> bool:
        """Tell whether the EHR may keep the slot for a hold of ours."""
        query = sa.select(sa.exists().where(*_is(account_id, slot_id)))
        return bool(self._connection.execute(query).scalar_one())

    def frozen_for(self, hold_id: UUID) -> Sequence[Freeze]:
        """Return what is frozen for the hold."""
        query = sa.select(*_FREEZE).where(ehr_freezes.c.hold_id == hold_id)
        return [Freeze(*row) for row in self._connection.execute(query)]

    def thaw_at(self, hold_id: UUID, at: datetime) -> None:
        """Have what is frozen for the hold thawed from `at` on."""
        self._connection.execute(sa.update(ehr_freezes).where(ehr_freezes.c.hold_id == hold_id).values(thaw_at=at))

    def to_thaw(self, now: datetime, limit: int) -> Sequence[Freeze]:
        """Return freezes that are to end, the longest due first."""
        query = sa.select(*_FREEZE).where(ehr_freezes.c.thaw_at <= now).order_by(ehr_freezes.c.thaw_at).limit(limit)
        return [Freeze(*row) for row in self._connection.execute(query)]

    def postpone_thaw(self, freeze: Freeze, at: datetime) -> None:
        """Try again to thaw at `at`."""
        self._connection.execute(
            sa.update(ehr_freezes)
            .where(*_is(freeze.account_id, freeze.slot_id), ehr_freezes.c.hold_id == freeze.hold_id)
            .values(thaw_at=at, attempts=freeze.attempts + 1)
        )

    def ended(self, freeze: Freeze) -> None:
        """Forget the freeze, unless the slot has been frozen for another hold meanwhile."""
        own = ehr_freezes.c.hold_id == freeze.hold_id
        self._connection.execute(sa.delete(ehr_freezes).where(*_is(freeze.account_id, freeze.slot_id), own))

    def thawed(self, account_id: UUID, slot_id: str) -> None:
        """Forget the freeze: the EHR keeps the slot no longer."""
        self._connection.execute(sa.delete(ehr_freezes).where(*_is(account_id, slot_id)))


def _is(account_id: UUID, slot_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return ehr_freezes.c.account_id == account_id, ehr_freezes.c.slot_id == slot_id
