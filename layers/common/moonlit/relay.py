"""From the outbox to the bus: what was committed is told, at once if possible, else by the sweeper."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.tables import outbox
from moonlit.events import Event, EventsNotPublished, Publisher
from moonlit.observability import logger

PAYER_CREATED = "payer.created"
EVENTS: Collection[str] = (PAYER_CREATED,)
"""The kinds of rows in the outbox that are told to the bundle; the others are told to people."""
_MOST = 100


def relay_events(begin: Begin, clock: Clock, publisher: Publisher) -> dict[str, int]:
    """Publish the events that nobody has published yet, and say how many.

    An event may be published twice: by two at once, or by one who is killed before it is noted. Subscribers have to
    take that anyway.

    Raises:
        EventsNotPublished: The bus did not take them; the next sweep tries again.
    """
    with begin() as connection:
        waiting = _waiting(connection)
    if not waiting:
        return {}
    publisher.publish(waiting)
    with begin() as connection:
        published = sa.update(outbox).where(outbox.c.id.in_([event.id for event in waiting]))
        connection.execute(published.values(sent_at=clock.now()))
    return {"events_relayed": len(waiting)}


def relay_at_once(begin: Begin, clock: Clock, publisher: Publisher) -> None:
    """Publish what waits, for a caller who has committed it: a bus that is away is the sweeper's business."""
    try:
        relay_events(begin, clock, publisher)
    except EventsNotPublished as error:
        logger.warning("events_left_to_the_sweeper", error=type(error).__name__)


def _waiting(connection: sa.Connection) -> Sequence[Event]:
    query = (
        sa.select(outbox.c.id, outbox.c.kind, outbox.c.payload)
        .where(outbox.c.sent_at.is_(None), outbox.c.kind.in_(EVENTS))
        .order_by(outbox.c.created_at, outbox.c.id)
        .limit(_MOST)
    )
    return [Event(*row) for row in connection.execute(query)]
