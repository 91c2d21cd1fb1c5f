"""Webhooks of the EHRs: verified, stored and queued at once, applied later, checked by the next pull anyway.

Whatever is wrong with a body, it is stored for inspection and never a mistake of ours: a sender who is told 5xx sends
it again, and again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.ehr.athena_events import Notification, delivery_of, is_signed
from moonlit.ehr.intakeq_events import Event, event_of
from moonlit.ehr.port import EhrRefused
from moonlit.observability import logger
from moonlit.queues import MessageNotSent, Queue
from moonlit.sync.errors import WebhookMalformed, WebhookRefused
from moonlit.sync.events import (
    ATHENA,
    ATHENA_DELIVERY,
    INTAKEQ,
    TOO_LARGE,
    UNKNOWN_KIND,
    UNKNOWN_PRACTICE,
    UNREADABLE,
    Events,
    NewEvent,
)

LARGEST_BODY = 256 * 1024  # Bytes; an appointment takes about two thousand.
KEPT_OF_LARGER = 64 * 1024


def is_known_secret(given: str, secrets: Collection[str]) -> bool:
    """Return whether `given` is one of the secrets, in a time that tells nothing about them."""
    fits = [hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode()) for secret in secrets]
    return any(fits)


@dataclass(frozen=True, slots=True)
class Inbox:
    """Stores events and sends those that are to be applied on their way."""

    begin: Begin
    clock: Clock
    queue: Queue

    def keep(self, events: Iterable[NewEvent]) -> None:
        """Store the events in one transaction, then queue them. What is stored already changes nothing.

        A queue that takes none is no reason to have the sender come again: the sweeper finds what waits.
        """
        now = self.clock.now()
        with self.begin() as connection:
            stored = Events(connection).add(events, now)
        # Also copies of events that wait: the message of the first one may have been lost.
        waiting = [event_id for event_id, state in stored if state == "received"]
        try:
            self.queue.send([{"eventId": str(event_id)} for event_id in waiting])
        except MessageNotSent:
            logger.warning("event_not_queued", events=len(waiting))

    def refuse(self, source: str, body: bytes, error: str) -> WebhookMalformed:
        """Store a body that makes no sense, for people to look at, and return the error to answer with."""
        self.keep([NewEvent(source, _sha256(body), body[:KEPT_OF_LARGER], "malformed", error=error)])
        return WebhookMalformed()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Takes IntakeQ's webhooks in.

    Attributes:
        secrets: The path segments that are valid now, two while one is rotated.
        practice_id: The vendor's, None to take events of whichever practice.
    """

    inbox: Inbox
    secrets: Collection[str]
    practice_id: str | None = None

    def receive(self, secret: str, body: bytes) -> None:
        """Store the event and queue it. The same bytes again change nothing.

        Raises:
            WebhookRefused: The secret is none of ours; nothing was stored.
            WebhookMalformed: Stored for inspection, not queued.
        """
        if not is_known_secret(secret, self.secrets):
            raise WebhookRefused
        if len(body) > LARGEST_BODY:
            raise self.inbox.refuse(INTAKEQ, body, TOO_LARGE)
        try:
            event = event_of(body)
        except EhrRefused:
            raise self.inbox.refuse(INTAKEQ, body, UNREADABLE) from None
        error = self._error(event)
        self.inbox.keep([
            NewEvent(
                INTAKEQ,
                _sha256(body),
                body,
                "ignored" if error else "received",
                event.event_type,
                event.visit.external_id if event.visit else None,
                error,
            )
        ])  # fmt: skip

    def _error(self, event: Event) -> str | None:
        if self.practice_id is not None and event.practice_id not in (None, self.practice_id):
            return UNKNOWN_PRACTICE
        return None if event.visit else UNKNOWN_KIND


@dataclass(frozen=True, slots=True)
class AthenaReceiver:
    """Takes deliveries of athenahealth's event subscriptions in.

    Attributes:
        secrets: What deliveries may be signed with now, two while one is rotated; none, and all are refused.
        practice_id: The vendor's.
    """

    inbox: Inbox
    secrets: Collection[str]
    practice_id: str

    def receive(self, signature: str | None, body: bytes) -> None:
        """Store the delivery, and queue its notifications. One that came before, in whichever delivery, is no news.

        Raises:
            WebhookRefused: It is not signed with a secret of ours; nothing was stored.
            WebhookMalformed: Stored for inspection; nothing in it makes sense.
        """
        if not is_signed(body, signature, self.secrets):
            raise WebhookRefused
        if len(body) > LARGEST_BODY:
            raise self.inbox.refuse(ATHENA_DELIVERY, body, TOO_LARGE)
        try:
            self.take_apart(body)
        except EhrRefused:
            raise self.inbox.refuse(ATHENA_DELIVERY, body, UNREADABLE) from None

    def take_apart(self, body: bytes) -> None:
        """Store a delivery as it came and each of its notifications; queue those that are to be applied.

        Raises:
            EhrRefused: `unreadable`: nothing was stored.
        """
        delivery = delivery_of(body)
        found = delivery.notifications
        if found and all(each.kind == UNREADABLE for each in found):
            raise EhrRefused(UNREADABLE)
        kept = NewEvent(ATHENA_DELIVERY, _sha256(body), body, "ignored", delivery.topic)
        self.inbox.keep([kept, *(self._event(each, delivery.topic) for each in found)])

    def _event(self, notification: Notification, topic: str | None) -> NewEvent:
        state, error = self._state(notification)
        return NewEvent(
            ATHENA, notification.key, notification.raw, state, topic, notification.appointment_id, error
        )  # fmt: skip

    def _state(self, notification: Notification) -> tuple[str, str | None]:
        if notification.kind == UNREADABLE:
            return "malformed", UNREADABLE
        if notification.kind == "other":
            return "ignored", UNKNOWN_KIND
        known = notification.practice_id == self.practice_id
        return ("received", None) if known else ("ignored", UNKNOWN_PRACTICE)


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
