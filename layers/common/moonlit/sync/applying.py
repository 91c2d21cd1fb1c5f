"""Bring the visits that events are about up to date.

Events may come twice, late, out of order or never, so the version of the visit decides and not the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once, sqlstate
from moonlit.ehr.athena_events import appointment_of
from moonlit.ehr.intakeq_events import event_of
from moonlit.ehr.port import BudgetExhausted, Ehr, EhrError, EhrRefused, EhrVisit, Lane
from moonlit.observability import logger
from moonlit.sync.activity import note_activity
from moonlit.sync.apply import applied_at_last, apply_patients
from moonlit.sync.conflicts import open_conflicts
from moonlit.sync.errors import SyncContended
from moonlit.sync.events import (
    ATHENA,
    ATHENA_DELIVERY,
    ATHENA_FEED,
    INTAKEQ,
    MIRRORED,
    UNKNOWN_KIND,
    UNREADABLE,
    Events,
    StoredEvent,
)
from moonlit.sync.linking import link_patients
from moonlit.sync.logs import Counts, Logs
from moonlit.sync.mirror import Mirror
from moonlit.sync.new_ids import follow
from moonlit.sync.pull import Meter, failure_code
from moonlit.sync.runs import Runs
from moonlit.sync.scopes import scope_today
from moonlit.sync.sightings import Sightings

VISIT_UNREADABLE, UNKNOWN_PATIENT, NOT_A_VISIT, VISIT_NOT_FOUND = (
    "visit_unreadable", "unknown_patient", "not_a_visit", "visit_not_found",
)  # fmt: skip
_SYSTEMS = {INTAKEQ: "intakeq", ATHENA: "athena", ATHENA_FEED: "athena"}


@dataclass(frozen=True, slots=True)
class News:
    """What an event says of a visit.

    Attributes:
        visit: The visit as it is; None when the mirror has it already.
        deleted: The visit is gone, whatever its status still says.
    """

    external_id: str
    client_id: str | None
    visit: EhrVisit | None
    deleted: bool = False


class _Settled(Exception):
    """There is nothing to be applied; says what becomes of the event."""

    def __init__(self, state: str, error: str | None) -> None:
        super().__init__(error)
        self.state, self.error = state, error


@dataclass(slots=True)
class _Attempt:
    """One try at an event: when it began, and how many requests it has cost so far."""

    event_id: UUID
    started_at: datetime
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies stored events.

    Attributes:
        ehr_of: Opens an account, and says what counts the requests that go through it.
        take_apart: Is told of a delivery that made no sense when it came.
    """

    begin: Begin
    clock: Clock
    ehr_of: Callable[[UUID], tuple[Ehr, Meter]]
    take_apart: Callable[[bytes], None]

    def apply(self, event_id: UUID) -> None:
        """Bring the visit that an event is about up to date. Harmless for one that is settled already.

        Raises:
            EhrError: The EHR was to be asked and did not answer; the event can be tried again.
        """
        attempt = _Attempt(event_id, self.clock.now())
        try:
            self._apply(attempt)
        except _Settled as settled:
            with self.begin() as connection:
                Events(connection).settle(event_id, settled.state, self.clock.now(), settled.error)
                self._log_requests(connection, attempt, settled.error if settled.state == "malformed" else None)
        except Exception as error:
            code = _code(error)
            with self.begin() as connection:
                Events(connection).fail(event_id, code, self.clock.now())
                self._log_requests(connection, attempt, code)
            raise

    def _apply(self, attempt: _Attempt) -> None:
        with self.begin() as connection:
            event = Events(connection).unsettled(attempt.event_id)
        if event is None:
            return
        news = self._news(event, attempt)
        contended = SyncContended(f"webhook event {event.id}")
        # In a transaction of its own: whoever applies visits locks people first and rows of the mirror after them.
        patient_id = retried_once(lambda: self._mirror(event, news), contended)
        if patient_id is None:
            raise _Settled("ignored", UNKNOWN_PATIENT)
        told = news.external_id
        applied_at_last(lambda: self._apply_patient(event, patient_id, told, attempt), contended)

    def _news(self, event: StoredEvent, attempt: _Attempt) -> News:
        """Return what the event says; outside any transaction, since the EHR may have to be asked.

        Raises:
            _Settled: Nothing that could be applied.
        """
        try:
            if event.source == INTAKEQ:
                return _told(event)
            if event.source == ATHENA_DELIVERY:
                self.take_apart(event.body)
                raise _Settled("ignored", None)
            if event.source == ATHENA_FEED and event.event_type == MIRRORED:
                return News(*appointment_of(event.body), visit=None)
        except EhrRefused as refused:
            raise _Settled("malformed", refused.code) from None
        return self._asked(event, attempt)

    def _asked(self, event: StoredEvent, attempt: _Attempt) -> News:
        """Read the visit from the EHR."""
        if event.external_id is None:
            raise _Settled("malformed", UNREADABLE)
        with self.begin() as connection:
            account = Runs(connection).account(system=_SYSTEMS[event.source])
        ehr, meter = self.ehr_of(account.id)
        try:
            visit = ehr.visit(event.external_id, Lane.WEBHOOK)
        except EhrRefused as refused:  # Asking again would not help.
            code = VISIT_UNREADABLE if refused.code == UNREADABLE else failure_code(refused)
            logger.warning("webhook_visit_not_read", event_id=str(event.id), external_id=event.external_id, code=code)
            raise _Settled("malformed", code) from None
        finally:
            attempt.requests += meter.read()
        if visit is None:
            raise _Settled("ignored", self._absence(event, account.id))
        return News(visit.external_id, visit.client_id, visit)

    def _absence(self, event: StoredEvent, account_id: UUID) -> str:
        """Say why there is nothing to apply although the EHR told us of it.

        A visit that the EHR does not show any more stays as it is: a lookup that finds nothing is no cancellation,
        and time that is taken by mistake is better than time that is sold twice. The next reading of all days tells.
        """
        with self.begin() as connection:
            is_missing = bool(Sightings(connection, account_id).standing([event.external_id or ""]))
        if is_missing:
            logger.warning("webhook_visit_not_found", event_id=str(event.id), external_id=event.external_id)
        return VISIT_NOT_FOUND if is_missing else NOT_A_VISIT

    def _mirror(self, event: StoredEvent, news: News) -> UUID | None:
        """Keep the visit if it is news, and return its patient; None when there is nobody."""
        now = self.clock.now()
        with self.begin() as connection:
            scope = scope_today(connection, _SYSTEMS[event.source], now)
            mirror = Mirror(connection, scope.account_id)
            if news.visit:
                mirror.save([news.visit], now, deleted=news.deleted)
            if news.client_id:
                link_patients(mirror, scope.first, scope.last, now, news.client_id)
            follow(connection, scope.account_id)
            open_conflicts(connection, scope.account_id, now, news.external_id)
            return mirror.patient_of(news.external_id)

    def _apply_patient(self, event: StoredEvent, patient_id: UUID, told: str, attempt: _Attempt) -> None:
        now = self.clock.now()
        reference = {"eventId": str(event.id)}
        with self.begin() as connection:
            scope = scope_today(connection, _SYSTEMS[event.source], now)
            counts = apply_patients(connection, scope, [str(patient_id)], now, told=told).counts
            note_activity(connection, counts, "webhook", reference, now)
            cost = _cost(attempt, now)
            Logs(connection).add_single(
                "webhook", counts[str(patient_id)], 1, reference, now, patient_id=patient_id, **cost
            )  # fmt: skip
            Events(connection).settle(event.id, "applied", now)
        logger.info("webhook_applied", event_id=str(event.id), patient_id=str(patient_id))

    def _log_requests(self, connection: sa.Connection, attempt: _Attempt, error: str | None) -> None:
        """Log a try that reached no patient, if it cost requests: whoever adds up the logs finds all that were sent."""
        if not attempt.requests:
            return
        now, reference = self.clock.now(), {"eventId": str(attempt.event_id)}
        outcome = {"status": "failed", "error_message": error} if error else {}
        Logs(connection).add_single("webhook", Counts(), 0, reference, now, **outcome, **_cost(attempt, now))


def _cost(attempt: _Attempt, now: datetime) -> dict[str, Any]:
    """Return the columns of a log that say what the try took."""
    return {
        "requests_used": attempt.requests,
        "started_at": attempt.started_at,
        "duration_ms": (now - attempt.started_at) // timedelta(milliseconds=1),
    }


def _told(event: StoredEvent) -> News:
    """Return what IntakeQ's event says, which is the whole visit."""
    said = event_of(event.body)
    if said.visit is None:
        raise _Settled("ignored", UNKNOWN_KIND)
    return News(said.visit.external_id, said.visit.client_id, said.visit, deleted=said.deleted)


def _code(error: Exception) -> str | None:
    match error:
        case DBAPIError():
            return sqlstate(error)
        case BudgetExhausted():
            return "budget_exhausted"
        case EhrError():
            return failure_code(error)
        case _:
            return type(error).__name__
