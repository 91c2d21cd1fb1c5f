"""Webhook events as they came, byte by byte, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.db.tables import webhook_events


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event: `received` waits to be applied, `failed` may be tried again, anything else is settled."""

    id: UUID
    source: str
    body: bytes
    state: str
    received_at: datetime


class Events:
    """The events as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self, source: str, content_hash: str, body: bytes, now: datetime, *, state: str = "received",
        event_type: str | None = None, external_id: str | None = None,
    ) -> tuple[UUID, str]:  # fmt: skip
        """Store an event, unless the same bytes are there already; return its id and the state it is in."""
        row = self._connection.execute(
            insert(webhook_events)
            .values(
                id=uuid4(),
                source=source,
                content_hash=content_hash,
                body=body,
                event_type=event_type,
                external_id=external_id,
                state=state,
                received_at=now,
            )
            .on_conflict_do_update(
                index_elements=["source", "content_hash"],
                set_={"source": source},  # Changes nothing, but lets the row that is there be returned.
            )
            .returning(webhook_events.c.id, webhook_events.c.state)
        ).one()
        return row.id, row.state

    def unsettled(self, event_id: UUID) -> StoredEvent | None:
        """Return the event if it is still to be applied."""
        columns = (webhook_events.c[name] for name in StoredEvent.__dataclass_fields__)
        query = sa.select(*columns).where(
            webhook_events.c.id == event_id, webhook_events.c.state.in_(("received", "failed"))
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None else StoredEvent(**row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for a row's mapping.

    def settle(self, event_id: UUID, state: str, now: datetime, error: str | None = None) -> None:
        """Note what became of the event."""
        applied_at = now if state == "applied" else None
        self._connection.execute(
            sa.update(webhook_events)
            .where(webhook_events.c.id == event_id)
            .values(state=state, error=error, applied_at=applied_at)
        )

    def stuck(self, received_from: datetime, received_before: datetime) -> list[UUID]:
        """Return the events of that time which nobody has looked at, the oldest first."""
        query = sa.select(webhook_events.c.id).where(
            webhook_events.c.state == "received",
            webhook_events.c.received_at >= received_from,
            webhook_events.c.received_at < received_before,
        )
        return list(self._connection.execute(query.order_by(webhook_events.c.received_at)).scalars())
