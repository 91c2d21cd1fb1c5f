"""Read the feeds of EHRs that hand out each change once: every minute, by the sweeper, one reader at a time.

What was handed out exists nowhere else until it is committed here. A page's raw rows and the mirror's commit together,
before anything acts on them; the messages come after, and the sweeper sends those again that got lost in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.db.tables import ehr_accounts
from moonlit.ehr.port import (
    TRAITS,
    BudgetExhausted,
    ChangedRow,
    Changes,
    ChangesFeed,
    Ehr,
    EhrError,
    EhrOutcomeUnknown,
    EhrRefused,
    Lane,
)
from moonlit.observability import logger
from moonlit.queues import Queue
from moonlit.sync.errors import SyncContended
from moonlit.sync.events import ATHENA_FEED, MIRRORED, Events, NewEvent
from moonlit.sync.mirror import Mirror
from moonlit.sync.pull import failure_code
from moonlit.sync.sightings import Sightings

LEASE = timedelta(minutes=2)  # Longer than the sweeper may run: whoever holds one that has ended is dead.
REFUSED_PAUSE = timedelta(hours=1)
SECONDS_KEPT = 25.0  # Time for one more page, and to write it down.


@dataclass(frozen=True, slots=True)
class FeedReader:
    """What reading takes; `ehr_of` opens an account, `time_left` says the seconds until this process is stopped."""

    begin: Begin
    clock: Clock
    ehr_of: Callable[[UUID], Ehr]
    queue: Queue
    time_left: Callable[[], float]

    def read_all(self) -> dict[str, int]:
        """Read every feed to its end, as far as time and budget reach, and return how many rows came, if any.

        One account's trouble does not stop the next one.
        """
        rows = 0
        with self.begin() as connection:
            accounts = Feeds(connection).accounts()
        for account_id in accounts:
            try:
                rows += self._read(account_id)
            except Exception as error:  # noqa: BLE001  # The sweeper has other work, and comes again in a minute.
                logger.error("feed_failed", account_id=str(account_id), error=type(error).__name__)
        return {"feed_rows": rows} if rows else {}

    def _read(self, account_id: UUID) -> int:
        if self.time_left() < SECONDS_KEPT:
            return 0
        now = self.clock.now()
        with self.begin() as connection:
            lease = Feeds(connection).lease(account_id, now, now + LEASE)
        if lease is None:
            return 0
        rows, free_from = 0, None  # Free at once, unless something speaks against it.
        try:
            feed = self._feed(account_id)
            if not lease.is_subscribed:
                feed.ensure_subscribed(Lane.WEBHOOK)
                with self.begin() as connection:
                    Feeds(connection).subscribed(account_id, self.clock.now())
            while self.time_left() >= SECONDS_KEPT:
                changes = feed.take_changes(Lane.WEBHOOK)
                self._keep(account_id, changes)
                rows += len(changes.rows)
                if changes.is_last:
                    break
        except EhrError as error:
            free_from = self._told(account_id, error)
        finally:
            with self.begin() as connection:
                Feeds(connection).release(account_id, lease.until, free_from)
        return rows

    def _feed(self, account_id: UUID) -> ChangesFeed:
        ehr = self.ehr_of(account_id)
        if not isinstance(ehr, ChangesFeed):
            raise TypeError("the EHR's adapter reads no feed")
        return ehr

    def _told(self, account_id: UUID, error: EhrError) -> datetime | None:
        """Log what went wrong and return until when to leave the feed alone."""
        if isinstance(error, EhrOutcomeUnknown):
            logger.error("feed_page_lost", account_id=str(account_id))
            return None
        code = "budget_exhausted" if isinstance(error, BudgetExhausted) else failure_code(error)
        logger.warning("feed_not_read", account_id=str(account_id), code=code)
        if not isinstance(error, EhrRefused):
            return None
        with self.begin() as connection:  # Whatever was subscribed to may have been taken back.
            Feeds(connection).subscribed(account_id, None)
        return self.clock.now() + REFUSED_PAUSE

    def _keep(self, account_id: UUID, changes: Changes) -> None:
        contended, rows = SyncContended(f"feed of account {account_id}"), changes.rows
        try:
            waiting = retried_once(lambda: self._stored(account_id, rows), contended)
        except (DBAPIError, SyncContended) as error:
            # They will not be handed out again: keep them as they came, without the mirror, and read each by its id.
            logger.warning("feed_rows_unread", rows=len(rows), error=type(error).__name__)
            plain = [row if row.visit is None else replace(row, kind="unread", visit=None) for row in rows]
            waiting = retried_once(lambda: self._stored(account_id, plain), contended)
        self.queue.send([{"eventId": str(event_id)} for event_id in waiting])

    def _stored(self, account_id: UUID, rows: Collection[ChangedRow]) -> list[UUID]:
        """Store every row as it came, and those that make sense in the mirror; return the events to be applied."""
        now = self.clock.now()
        with self.begin() as connection:
            slots = [row.external_id for row in rows if row.kind == "slot" and row.external_id]
            standing = Sightings(connection, account_id).standing(slots)
            stored = Events(connection).add((_event(row, standing) for row in rows), now, again=True)
            Mirror(connection, account_id).save([row.visit for row in rows if row.visit], now)
            Feeds(connection).was_read(account_id, now)
        for row in rows:
            if row.kind == "unreadable":
                logger.warning("feed_row_unreadable", account_id=str(account_id), external_id=row.external_id)
        return list(dict.fromkeys(event_id for event_id, state in stored if state == "received"))


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to read a feed until an instant."""

    until: datetime
    is_subscribed: bool


class Feeds:
    """How far the accounts' feeds are read, as one transaction sees it. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def accounts(self) -> list[UUID]:
        """Return the accounts that have a feed."""
        systems = [system for system, traits in TRAITS.items() if traits.has_feed]
        query = sa.select(ehr_accounts.c.id).where(ehr_accounts.c.system.in_(systems))
        return list(self._connection.execute(query.order_by(ehr_accounts.c.system)).scalars())

    def lease(self, account_id: UUID, now: datetime, until: datetime) -> Lease | None:
        """Take the feed for oneself; None while somebody else has it, or it is to be left alone."""
        held_until = ehr_accounts.c.feed_lease_until
        row = self._connection.execute(
            sa.update(ehr_accounts)
            .where(ehr_accounts.c.id == account_id, sa.or_(held_until.is_(None), held_until <= now))
            .values(feed_lease_until=until)
            .returning(ehr_accounts.c.feed_subscribed_at)
        ).one_or_none()
        return None if row is None else Lease(until, row.feed_subscribed_at is not None)

    def release(self, account_id: UUID, held_until: datetime, free_from: datetime | None) -> None:
        """Give the feed back, from now on or later, unless somebody else has taken it over."""
        self._connection.execute(
            sa.update(ehr_accounts)
            .where(ehr_accounts.c.id == account_id, ehr_accounts.c.feed_lease_until == held_until)
            .values(feed_lease_until=free_from)
        )

    def subscribed(self, account_id: UUID, at: datetime | None) -> None:
        """Note since when the EHR keeps changes for us; None when it is to be asked again."""
        self._set(account_id, feed_subscribed_at=at)

    def was_read(self, account_id: UUID, at: datetime) -> None:
        """Note when the feed was last read."""
        self._set(account_id, feed_read_at=at)

    def _set(self, account_id: UUID, **values: datetime | None) -> None:
        self._connection.execute(sa.update(ehr_accounts).where(ehr_accounts.c.id == account_id).values(**values))


def _event(row: ChangedRow, standing: Collection[str]) -> NewEvent:
    """Return what is stored of a row. A slot is nobody's visit, unless we know one by its id: then it is looked up."""
    body = json.dumps(row.raw, separators=(",", ":")).encode()
    state, error = "received", None
    if row.kind == "unreadable" or (row.kind == "unread" and row.external_id is None):
        state, error = "malformed", "unreadable"
    elif row.kind == "slot" and row.external_id not in standing:
        state, error = "ignored", "slot"
    kind = MIRRORED if row.kind == "visit" else row.kind
    return NewEvent(ATHENA_FEED, hashlib.sha256(body).hexdigest(), body, state, kind, row.external_id, error)
