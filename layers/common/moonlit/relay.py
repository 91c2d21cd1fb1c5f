"""From the outbox to the bus: what was committed is told, at once if possible, else by the sweeper."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.tables import outbox
from moonlit.events import Event, EventsNotPublished, Publisher
from moonlit.observability import logger

PAYER_CREATED = "payer.created"
EVENTS: Collection[str] = (PAYER_CREATED,)
"""The kinds of rows in the outbox that are told to the bundle; the others are told to people."""
_MOST = 100
_MOST_AT_ONCE = 10  # What one call of the bus takes: somebody waits for an answer.


def relay_events(begin: Begin, clock: Clock, publisher: Publisher, most: int = _MOST) -> dict[str, int]:
    """Publish the events that nobody has published yet, and say how many.

    An event may be published twice: by two at once, or by one who is killed before it is noted. Subscribers have to
    take that anyway.

    Raises:
        EventsNotPublished: The bus did not take them; the next sweep tries again.
    """
    with begin() as connection:
        waiting = _waiting(connection, most)
    if not waiting:
        return {}
    publisher.publish(waiting)
    with begin() as connection:
        published = sa.update(outbox).where(outbox.c.id.in_([event.id for event in waiting]))
        connection.execute(published.values(sent_at=clock.now()))
    return {"events_relayed": len(waiting)}


def relay_at_once(begin: Begin, clock: Clock, publisher: Publisher) -> None:
    """Publish what waits, for a caller who has committed it: what goes wrong now is the sweeper's business."""
    try:
        relay_events(begin, clock, publisher, _MOST_AT_ONCE)
    except (EventsNotPublished, DBAPIError) as error:
        logger.warning("events_left_to_the_sweeper", error=type(error).__name__)


def _waiting(connection: sa.Connection, most: int) -> Sequence[Event]:
    query = (
        sa.select(outbox.c.id, outbox.c.kind, outbox.c.payload)
        .where(outbox.c.sent_at.is_(None), outbox.c.kind.in_(EVENTS))
        .order_by(outbox.c.created_at, outbox.c.id)
        .limit(most)
    )
    return [Event(*row) for row in connection.execute(query)]
