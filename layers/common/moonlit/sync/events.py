"""What EHRs told us, as it came, byte by byte, and what became of each."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.tables import webhook_events

INTAKEQ = "intakeq"
ATHENA = "athena"  # One notification of a delivery.
ATHENA_DELIVERY = "athena_delivery"  # The delivery itself, kept once however many notifications are in it.
ATHENA_FEED = "athena_feed"  # One row of the feed of changes.

UNTAKEN_AFTER = timedelta(minutes=5)
# After a failure the queue tries four times more, within twelve minutes; only then it is the sweeper's turn. The pause
# doubles with each turn: 32 minutes after the first failure, then 52, 92 and so on, for about a day.
_TRIES_OF_A_TURN = 6
_MOST_TRIES = 6 * _TRIES_OF_A_TURN
_PAUSE = f"interval '20 minutes' * power(2, attempts / {_TRIES_OF_A_TURN})"
_MOST_AT_ONCE = 500  # Of a sweep; the next one has the next.

# What another try cannot help: the body was cut off, or is about somebody else's practice.
TOO_LARGE, UNKNOWN_PRACTICE = "too_large", "unknown_practice"
UNKNOWN_KIND, UNREADABLE = "unknown_kind", "unreadable"

# The event type of a row of the feed that was in the mirror before anybody heard of it; the others have to be read.
MIRRORED = "visit"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to store.

    Attributes:
        key: The same key of the same source is the same event.
        error: Why it goes no further, where it does not.
    """

    source: str
    key: str
    body: bytes
    state: str = "received"
    event_type: str | None = None
    external_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event: `received` waits to be applied, `failed` may be tried again, anything else is settled."""

    id: UUID
    source: str
    body: bytes
    state: str
    event_type: str | None
    external_id: str | None
    received_at: datetime


class Events:
    """The events as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, events: Iterable[NewEvent], now: datetime, *, again: bool = False) -> list[tuple[UUID, str]]:
        """Store events, except for those that are there; return the id and the state of each, in the given order.

        Args:
            events: The events, any number; two that are the same are one.
            now: The current instant.
            again: What is there already happened once more: it is as if it were new.
        """
        keys: list[tuple[str, str]] = []
        new: dict[tuple[str, str], NewEvent] = {}
        for event in events:
            keys.append((event.source, event.key))
            new.setdefault(keys[-1], event)
        if not new:
            return []
        values = {
            "rows": json.dumps([_stored(event) for event in new.values()], separators=(",", ":")),
            "now": now,
            "next_try_at": now + UNTAKEN_AFTER,
        }
        rows = self._connection.execute(_ADD_AGAIN if again else _ADD, values)
        kept = {(source, key): (event_id, state) for source, key, event_id, state in rows}
        return [kept[key] for key in keys]

    def unsettled(self, event_id: UUID) -> StoredEvent | None:
        """Return the event if it is still to be applied."""
        columns = (webhook_events.c[name] for name in StoredEvent.__dataclass_fields__)
        query = sa.select(*columns).where(webhook_events.c.id == event_id, _UNSETTLED)
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

    def fail(self, event_id: UUID, error: str | None, now: datetime) -> None:
        """Note that the event could not be applied, unless another worker has settled it meanwhile."""
        self._connection.execute(_FAIL, {"id": event_id, "error": error, "now": now})

    def take_stuck(self, now: datetime) -> list[UUID]:
        """Return the events whose next try is due, the oldest first, as tried now: they are about to be sent again."""
        rows = self._connection.execute(_TAKE_STUCK, {"now": now}).all()
        return [row.id for row in sorted(rows, key=lambda row: (row.received_at, row.id))]

    def reopen(
        self, first: datetime, last: datetime, now: datetime, *, source: str | None, states: Collection[str]
    ) -> Sequence[UUID]:
        """Make the events that came in [first, last) as if they were new, and return them, the oldest first."""
        chosen = [
            webhook_events.c.received_at >= first,
            webhook_events.c.received_at < last,
            webhook_events.c.state.in_(states),
            webhook_events.c.error.is_distinct_from(TOO_LARGE),
            webhook_events.c.error.is_distinct_from(UNKNOWN_PRACTICE),
            *([webhook_events.c.source == source] if source else []),
        ]
        reopened = self._connection.execute(
            sa.update(webhook_events)
            .where(*chosen)
            .values(state="received", error=None, attempts=0, next_try_at=now + UNTAKEN_AFTER)
            .returning(webhook_events.c.id, webhook_events.c.received_at)
        ).all()
        return [row.id for row in sorted(reopened, key=lambda row: (row.received_at, row.id))]


def _stored(event: NewEvent) -> dict[str, str | None]:
    return {
        "source": event.source,
        "content_hash": event.key,
        "body": base64.b64encode(event.body).decode(),
        "event_type": event.event_type,
        "external_id": event.external_id,
        "state": event.state,
        "error": event.error,
    }


_INSERT = """
    insert into webhook_events as e (
        id, source, content_hash, body, event_type, external_id, state, error, received_at, next_try_at)
    select gen_random_uuid(), source, content_hash, decode(body, 'base64'), event_type, external_id, state, error, :now,
        case when state = 'received' then cast(:next_try_at as timestamptz) end
    from jsonb_to_recordset(cast(:rows as jsonb)) as r (
        source text, content_hash text, body text, event_type text, external_id text, state text, error text)
    order by source, content_hash
    on conflict (source, content_hash) do update set {changes}
    returning e.source, e.content_hash, e.id, e.state
"""
# The source changes nothing, but lets the row that is there be returned.
_ADD = sa.text(_INSERT.format(changes="source = excluded.source"))
_ADD_AGAIN = sa.text(
    _INSERT.format(
        changes="state = excluded.state, error = excluded.error, attempts = 0, next_try_at = excluded.next_try_at"
    )
)

_UNSETTLED = webhook_events.c.state.in_(("received", "failed"))

_FAIL = sa.text(f"""
    update webhook_events set state = 'failed', error = :error, attempts = attempts + 1,
        next_try_at = cast(:now as timestamptz) + {_PAUSE}
    where id = :id and state in ('received', 'failed')
""")

_TAKE_STUCK = sa.text(f"""
    update webhook_events set attempts = attempts + 1, next_try_at = cast(:now as timestamptz) + {_PAUSE}
    where id in (
        select id from webhook_events
        where state in ('received', 'failed') and next_try_at <= :now and attempts < {_MOST_TRIES}
        order by received_at limit {_MOST_AT_ONCE} for update skip locked)
    returning id, received_at
""")
