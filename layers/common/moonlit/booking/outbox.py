"""What is to be told to people, stored in the transaction in which it happened. Sending it is another's job."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.db.tables import outbox
from moonlit.observability import logger

_OUTBOX = UUID("d1f7a9e2-52d4-4a4e-9d0b-1f6a7b0c2e55")


class Outbox:
    """The outbox as one transaction sees it. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, kind: str, about: UUID, now: datetime, **payload: Any) -> bool:
        """Have something told once: the same kind about the same thing again is left out, and False returned.

        The payload carries ids and codes; who is written to, and their names, are looked up when it is sent.
        """
        added = self._connection.execute(
            insert(outbox)
            .values(id=uuid5(_OUTBOX, f"{kind} {about}"), kind=kind, payload=payload, created_at=now)
            .on_conflict_do_nothing()
        )
        return added.rowcount > 0

    def alert_staff(self, reason: str, write_id: UUID, appointment_id: UUID, now: datetime) -> None:
        """Have staff look at a visit that the ledger cannot bring to an end by itself."""
        if self.add(f"staff_alert.{reason}", write_id, now, reason=reason, appointmentId=str(appointment_id)):
            logger.error("staff_alerted", reason=reason, appointment_id=str(appointment_id))
