"""Find work that nobody does any more, and send it again: the sweeper calls this every minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.queues import Queue
from moonlit.sync.events import Events
from moonlit.sync.fan_out import FanOut
from moonlit.sync.logs import Logs
from moonlit.sync.runs import Runs

UNSENT_AFTER = timedelta(minutes=2)
STANDING_AFTER = timedelta(minutes=20)  # Longer than a message is delayed and than a function runs.


@dataclass(frozen=True, slots=True)
class SyncQueues:
    """The queues of pulls that go on, of parts of runs, and of webhook events."""

    pull: Queue
    sync: Queue
    event: Queue


def resume_stuck(begin: Begin, clock: Clock, queues: SyncQueues) -> dict[str, int]:
    """Send again what was never sent or stands still, and return how many pulls, parts of runs and events that were.

    A pull that waits for the next day's budget is among them: it asks, finds none, and stands still again.
    """
    now = clock.now()
    with begin() as connection:
        pulls = Runs(connection).take_stuck(now - STANDING_AFTER, now)
        parts = Logs(connection).stuck(now - UNSENT_AFTER, now - STANDING_AFTER)
        events = Events(connection).take_stuck(now)
    queues.pull.send([{"runId": str(run_id)} for run_id in pulls])
    queues.event.send([{"eventId": str(event_id)} for event_id in events])
    FanOut(begin, clock, queues.sync).send(parts)
    return {"pulls": len(pulls), "parts": len(parts), "events": len(events)}
