"""Bring the visits that events are about up to date.

Events may come twice, late, out of order or never, so the version of the visit decides and not the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

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
from moonlit.sync.logs import Logs
from moonlit.sync.mirror import Mirror
from moonlit.sync.pull import failure_code
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


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies stored events; `take_apart` is told of a delivery that made no sense when it came."""

    begin: Begin
    clock: Clock
    ehr_of: Callable[[UUID], Ehr]
    take_apart: Callable[[bytes], None]

    def apply(self, event_id: UUID) -> None:
        """Bring the visit that an event is about up to date. Harmless for one that is settled already.

        Raises:
            EhrError: The EHR was to be asked and did not answer; the event can be tried again.
        """
        try:
            self._apply(event_id)
        except _Settled as settled:
            with self.begin() as connection:
                Events(connection).settle(event_id, settled.state, self.clock.now(), settled.error)
        except Exception as error:
            with self.begin() as connection:
                Events(connection).fail(event_id, _code(error), self.clock.now())
            raise

    def _apply(self, event_id: UUID) -> None:
        with self.begin() as connection:
            event = Events(connection).unsettled(event_id)
        if event is None:
            return
        news = self._news(event)
        contended = SyncContended(f"webhook event {event_id}")
        # In a transaction of its own: whoever applies visits locks people first and rows of the mirror after them.
        patient_id = retried_once(lambda: self._mirror(event, news), contended)
        if patient_id is None:
            raise _Settled("ignored", UNKNOWN_PATIENT)
        applied_at_last(lambda: self._apply_patient(event, patient_id), contended)

    def _news(self, event: StoredEvent) -> News:
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
        return self._asked(event)

    def _asked(self, event: StoredEvent) -> News:
        """Read the visit from the EHR."""
        if event.external_id is None:
            raise _Settled("malformed", UNREADABLE)
        with self.begin() as connection:
            account = Runs(connection).account(system=_SYSTEMS[event.source])
        try:
            visit = self.ehr_of(account.id).visit(event.external_id, Lane.WEBHOOK)
        except EhrRefused as refused:  # Asking again would not help.
            code = VISIT_UNREADABLE if refused.code == UNREADABLE else failure_code(refused)
            logger.warning("webhook_visit_not_read", event_id=str(event.id), external_id=event.external_id, code=code)
            raise _Settled("malformed", code) from None
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
            open_conflicts(connection, scope.account_id, now, news.external_id)
            return mirror.patient_of(news.external_id)

    def _apply_patient(self, event: StoredEvent, patient_id: UUID) -> None:
        now = self.clock.now()
        reference = {"eventId": str(event.id)}
        with self.begin() as connection:
            scope = scope_today(connection, _SYSTEMS[event.source], now)
            counts = apply_patients(connection, scope, [str(patient_id)], now).counts
            note_activity(connection, counts, "webhook", reference, now)
            Logs(connection).add_single(
                "webhook", counts[str(patient_id)], 1, reference, now, patient_id=patient_id
            )  # fmt: skip
            Events(connection).settle(event.id, "applied", now)
        logger.info("webhook_applied", event_id=str(event.id), patient_id=str(patient_id))


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
