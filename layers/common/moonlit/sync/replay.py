"""Send stored events of the EHRs to the queue once more: after a mistake of ours, or when a queue was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.observability import logger
from moonlit.queues import Queue
from moonlit.sync.events import Events
from moonlit.web.models import Instant, Model


class Span(Model):
    """Which events.

    Attributes:
        first: From when on they came.
        last: Until when, exclusive.
        source: `athena_feed` are rows of the feed, `athena_delivery` the deliveries as they came; all when left out.
        states: What has become of them. One that was applied is applied again. An older version of a visit changes
            nothing then. A deletion counts whatever its version: a visit that has come back since is cancelled until
            it is changed in the EHR once more.
    """

    first: Instant = Field(alias="from")
    last: Instant = Field(alias="to")
    source: Literal["intakeq", "athena", "athena_delivery", "athena_feed"] | None = None
    states: list[Literal["received", "failed", "applied", "ignored", "malformed"]] = Field(
        default=["received", "failed", "applied", "malformed"], min_length=1
    )


class ReplayRequest(Model):
    """A direct call of `apply_event`."""

    replay: Span


@dataclass(frozen=True, slots=True)
class Replayer:
    """Makes stored events as if they were new, and queues them."""

    begin: Begin
    clock: Clock
    queue: Queue

    def replay(self, request: ReplayRequest) -> dict[str, int]:
        """Queue the events of a time again and return how many they are. Cut off, the sweeper sends the rest."""
        span = request.replay
        with self.begin() as connection:
            events = Events(connection).reopen(
                span.first, span.last, self.clock.now(), source=span.source, states=span.states
            )
        self.queue.send([{"eventId": str(event_id)} for event_id in events])
        logger.info("events_replayed", events=len(events))
        return {"events": len(events)}
