"""Webhooks of the EHR: stored and queued at once, applied later, checked by the next pull anyway.

They may come twice, late, out of order or never, so the version of the visit decides and not the order of arrival.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once, sqlstate
from moonlit.ehr.intakeq_events import Event, event_of
from moonlit.ehr.port import EhrRefused, EhrVisit
from moonlit.observability import logger
from moonlit.queues import Queue
from moonlit.sync.apply import Moved, apply_patients
from moonlit.sync.conflicts import open_conflicts
from moonlit.sync.errors import SyncContended, WebhookMalformed, WebhookRefused, WebhookTooLarge
from moonlit.sync.events import Events
from moonlit.sync.linking import link_patients
from moonlit.sync.logs import Logs
from moonlit.sync.mirror import Mirror
from moonlit.sync.runs import Runs
from moonlit.sync.schedule import Schedule, Scope
from moonlit.sync.window import Window

SOURCE = "intakeq"
LARGEST_BODY = 256 * 1024  # Bytes; an appointment takes about two thousand.


def is_known_secret(given: str, secrets: Collection[str]) -> bool:
    """Return whether `given` is one of the secrets, in a time that tells nothing about them."""
    fits = [hmac.compare_digest(given.encode(), secret.encode()) for secret in secrets]
    return any(fits)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Takes webhooks in; `secrets` are the path segments that are valid now, two while one is rotated."""

    begin: Begin
    clock: Clock
    queue: Queue
    secrets: Collection[str]

    def receive(self, secret: str, body: bytes) -> None:
        """Store the event and queue it. The same bytes again change nothing.

        Raises:
            WebhookRefused: The secret is none of ours; nothing was stored.
            WebhookTooLarge: Nothing was stored.
            WebhookMalformed: Stored for inspection, not queued.
        """
        if not is_known_secret(secret, self.secrets):
            raise WebhookRefused
        if len(body) > LARGEST_BODY:
            raise WebhookTooLarge
        try:
            event = event_of(body)
        except EhrRefused:
            self._store(body, Event(None), "malformed")
            raise WebhookMalformed from None
        event_id, state = self._store(body, event, "received" if event.visit else "ignored")
        if state == "received":  # Also for a copy: the first one's message may have been lost.
            self.queue.send([{"eventId": str(event_id)}])

    def _store(self, body: bytes, event: Event, state: str) -> tuple[UUID, str]:
        with self.begin() as connection:
            return Events(connection).add(
                SOURCE,
                hashlib.sha256(body).hexdigest(),
                body,
                self.clock.now(),
                state=state,
                event_type=event.event_type,
                external_id=event.visit.external_id if event.visit else None,
            )


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies stored events."""

    begin: Begin
    clock: Clock

    def apply(self, event_id: UUID) -> None:
        """Bring the visit that an event is about up to date. Harmless for one that is settled already."""
        try:
            self._apply(event_id)
        except Exception as error:
            code = sqlstate(error) if isinstance(error, DBAPIError) else type(error).__name__
            with self.begin() as connection:
                Events(connection).settle(event_id, "failed", self.clock.now(), code)
            raise

    def _apply(self, event_id: UUID) -> None:
        contended = SyncContended(f"webhook event {event_id}")
        # In a transaction of its own: whoever applies visits locks people first and rows of the mirror after them.
        patient_id = retried_once(lambda: self._mirror(event_id), contended)
        if patient_id is None:
            return
        try:
            retried_once(lambda: self._apply_patient(event_id, patient_id), contended)
        except Moved:
            retried_once(lambda: self._apply_patient(event_id, patient_id), contended)

    def _mirror(self, event_id: UUID) -> UUID | None:
        """Keep the event's row if it is news, and return its patient; None, and settled, when there is nobody."""
        now = self.clock.now()
        with self.begin() as connection:
            events = Events(connection)
            stored = events.unsettled(event_id)
            if stored is None:
                return None
            event = event_of(stored.body)
            patient_id = self._keep(connection, event.visit, deleted=event.deleted) if event.visit else None
            if patient_id is None:
                events.settle(event_id, "ignored", now)
            return patient_id

    def _keep(self, connection: sa.Connection, visit: EhrVisit, *, deleted: bool) -> UUID | None:
        now = self.clock.now()
        scope = self._scope(connection)
        mirror = Mirror(connection, scope.account_id)
        mirror.save([visit], now, deleted=deleted)
        if visit.client_id:
            link_patients(mirror, scope.first, scope.last, now, visit.client_id)
        open_conflicts(connection, scope.account_id, now, visit.external_id)
        return mirror.patient_of(visit.external_id)

    def _apply_patient(self, event_id: UUID, patient_id: UUID) -> None:
        now = self.clock.now()
        reference = {"eventId": str(event_id)}
        with self.begin() as connection:
            schedule = Schedule(connection, scope := self._scope(connection))
            counts = apply_patients(connection, scope, schedule.directory(), [str(patient_id)], now)
            schedule.note_activity(counts, "webhook", reference, now)
            Logs(connection).add_single("webhook", counts[str(patient_id)], 1, reference, now)
            Events(connection).settle(event_id, "applied", now)
        logger.info("webhook_applied", event_id=str(event_id), patient_id=str(patient_id))

    def _scope(self, connection: sa.Connection) -> Scope:
        runs = Runs(connection)
        practice = runs.practice()
        window = Window.around(self.clock.now().astimezone(practice.zone).date(), practice.settings)
        first, last = window.instants(practice.zone)
        account = runs.account(system=SOURCE)
        return Scope(account.id, account.system, first, last)
