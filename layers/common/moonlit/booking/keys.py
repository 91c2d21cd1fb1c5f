"""Idempotency keys: the same key and body stand for the same visit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.booking.wanted import Key
from moonlit.db.tables import idempotency_keys


@dataclass(frozen=True, slots=True)
class Replay:
    """What an idempotency key was used for before."""

    body_hash: str
    appointment_id: UUID


class Keys:
    """The keys as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def used(self, key: str, *, besides: UUID | None = None) -> Replay | None:
        """Return what the idempotency key stands for, unless that is the visit `besides`."""
        query = sa.select(idempotency_keys.c.body_hash, idempotency_keys.c.appointment_id).where(
            idempotency_keys.c.key == key, idempotency_keys.c.appointment_id.is_distinct_from(besides)
        )
        row = self._connection.execute(query).one_or_none()
        return Replay(*row) if row else None

    def claim(self, key: Key, appointment_id: UUID, now: datetime, *, instead_of: UUID | None = None) -> bool:
        """Bind the key to the appointment; False when somebody was faster. Waits for an unfinished rival.

        Args:
            key: The caller's.
            appointment_id: What it stands for from now on.
            now: The current instant.
            instead_of: A visit that came to nothing, whose key may be taken over.
        """
        values = {"key": key.value, "body_hash": key.body_hash, "appointment_id": appointment_id, "created_at": now}
        claimed = insert(idempotency_keys).values(values)
        claimed = claimed.on_conflict_do_update(
            index_elements=["key"],
            set_={"appointment_id": appointment_id},
            where=idempotency_keys.c.appointment_id == instead_of,
        )
        return self._connection.execute(claimed.returning(idempotency_keys.c.key)).one_or_none() is not None
