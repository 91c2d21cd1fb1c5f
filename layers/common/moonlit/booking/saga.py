"""Bring an accepted booking into the EHR: calls outside every transaction, a short transaction around each.

Killed between any two lines, the ledger says what the sweeper (sweep.py) has to find out: a write that is `waiting`
was surely not sent, one that is `sending` may have been.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.store import Availability, Own
from moonlit.booking.claims import Claims, lock
from moonlit.booking.ledger import Ledger, Write
from moonlit.booking.patients import Patient, Patients
from moonlit.booking.store import Visits
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.ehr.port import (
    BudgetExhausted,
    ClientDetails,
    Ehr,
    EhrOutcomeUnknown,
    EhrRefused,
    EhrUnavailable,
    EhrVisit,
    Lane,
    NewVisit,
)
from moonlit.observability import logger

type EhrOf = Callable[[UUID], Ehr]
"""Returns the EHR behind an account's id."""

LEASE = timedelta(seconds=60)  # How long one process may prepare a write before another takes it up.
# Before a write that surely had no effect is tried again; doubled with each attempt, since each costs a request.
PAUSE, LONGEST_PAUSE = timedelta(seconds=60), timedelta(hours=1)
# A fresh IntakeQ client becomes bookable within some seconds: worth waiting for while the patient does, else later.
CLIENT_PATIENCE_SECONDS = (2.0, 4.0)
CLIENT_PAUSE = timedelta(seconds=10)
REVIEW_PAUSE = timedelta(minutes=15)  # Only staff can create a client whom the EHR would merge into another person.
CLIENT_ATTEMPTS = 5  # Five minutes: after that it is not a fresh client but one whom the EHR does not know.
FRESH = timedelta(seconds=30)  # How long the check of the slot holds; a write that is sent later checks again.
CONFLICT, TAKEN = "409", "slot_taken_in_ehr"
CLOSED = ("confirmed", "failed", "watching")


type Pause = Callable[[float], bool]
"""Waits so many seconds and returns True, or returns False at once when there is no time for it."""


@dataclass(frozen=True, slots=True)
class Saga:
    """Carries bookings to the EHR; `ehr_of` opens the account, `pause` is how it waits for it."""

    begin: Begin
    clock: Clock
    ehr_of: EhrOf
    pause: Pause

    def write(self, appointment_id: UUID) -> None:
        """Write the visit into the EHR if that is due and nobody else is at it; what happens is in the ledger."""
        taken = self._take(appointment_id)
        if taken is None:
            return
        write, patient = taken
        try:
            ehr = self._account(write)
            client_id = write.client_id or self._client(ehr, write, patient)
            if client_id is None or not self._announce(write, client_id):
                return
            visit = self._booked(ehr, write, client_id)
        except EhrOutcomeUnknown:
            self._set(write, "unknown", "outcome_unknown", timedelta(0))
        except BudgetExhausted as exhausted:
            self._set(write, "waiting", "BudgetExhausted", timedelta(seconds=exhausted.retry_after))
        except EhrUnavailable:
            self._set(write, "waiting", "ehr_unavailable", PAUSE)
        except EhrRefused as refused:
            self._refused(write, refused.code)
        else:
            self.confirm(appointment_id, visit)

    def confirm(self, appointment_id: UUID, visit: EhrVisit) -> None:
        """Finish the booking with the visit that the EHR shows; harmless when sync was faster."""
        with self.begin() as connection:
            visits, ledger = Visits(connection), Ledger(connection)
            lock(connection, visits.persons(appointment_id))
            write = ledger.of_appointment(appointment_id)
            if write is None or write.state in CLOSED:
                return  # Known already, or given up: then the watch cancels what landed late.
            ledger.confirm(
                write,
                visit.external_id,
                self.clock.now(),
                meeting_url=visit.meeting_url,
                ehr_modified_at=visit.modified_at,
            )
        logger.info("booking_confirmed", appointment_id=str(appointment_id), external_id=visit.external_id)

    def release(self, write: Write, reason: str, *, watch: timedelta | None = None) -> None:
        """Give the time back: the visit will not be. With `watch`, look once more for a late one after that time.

        Does nothing when the write has moved on since it was read.
        """
        with self.begin() as connection:
            lock(connection, Visits(connection).persons(write.appointment_id))
            current = Ledger(connection).of_appointment(write.appointment_id)
            if current and (current.state, current.sent_at) == (write.state, write.sent_at):
                self._release(connection, current, reason, watch)

    def _release(self, connection: sa.Connection, write: Write, reason: str, watch: timedelta | None = None) -> None:
        now, ledger = self.clock.now(), Ledger(connection)
        Claims(connection).release(write.appointment_id)
        Visits(connection).set(write.appointment_id, status="failed", status_reason=reason, updated_at=now)
        if watch is None:
            ledger.set(write.id, state="failed", last_error=reason, finished_at=now)
        else:
            ledger.set(write.id, state="watching", last_error=reason, looks=1, next_look_at=now + watch)
        logger.warning("booking_released", appointment_id=str(write.appointment_id), reason=reason)

    def _take(self, appointment_id: UUID) -> tuple[Write, Patient] | None:
        """Return the write if it is due, marked so that no other process takes it up meanwhile."""
        now = self.clock.now()
        with self.begin() as connection:
            ledger, persons = Ledger(connection), Visits(connection).persons(appointment_id)
            lock(connection, persons)
            write = ledger.of_appointment(appointment_id)
            if write is None or write.state != "waiting" or write.next_look_at > now:
                return None
            if now - write.created_at > FRESH and self._is_taken(connection, write, persons):
                self._release(connection, write, TAKEN)
                return None
            ledger.set(write.id, attempts=write.attempts + 1, next_look_at=now + LEASE)
            write = replace(write, attempts=write.attempts + 1)
            if write.client_id:
                self._set_sending(ledger, write, write.client_id)
                write = replace(write, state="sending", sent_at=now)
            return write, Patients(connection).of_appointment(appointment_id)

    def _is_taken(self, connection: sa.Connection, write: Write, persons: Collection[UUID]) -> bool:
        """Tell whether the EHR has put somebody else into the time since it was claimed."""
        start, end = (int(at.timestamp()) for at in Claims(connection).blocked(write.appointment_id))
        own = Own(appointment_id=write.appointment_id)
        return any(Availability(connection).busy(persons, (start, end), self.clock.now(), own).values())

    def _set_sending(self, ledger: Ledger, write: Write, client_id: str) -> None:
        now = self.clock.now()
        ledger.set(write.id, state="sending", client_id=client_id, sent_at=now, next_look_at=now, looks=0)

    def _account(self, write: Write) -> Ehr:
        try:
            return self.ehr_of(write.account_id)
        except Exception as error:  # noqa: BLE001  # A secret or setting that cannot be read: nothing was sent.
            raise EhrUnavailable(type(error).__name__) from None

    def _client(self, ehr: Ehr, write: Write, patient: Patient) -> str | None:
        """Return the EHR's id of the patient, found or created; None when the write has to wait for it."""
        details = ClientDetails(
            reference=str(patient.id),
            first_name=patient.first_name,
            last_name=patient.last_name,
            email=patient.email,
            phone=patient.phone,
            birth_date=patient.date_of_birth,
        )
        try:
            return ehr.client_for(details, Lane.BOOKING)
        except EhrOutcomeUnknown:  # If the client was created, the next look finds it.
            self._set(write, "waiting", "client_outcome_unknown", PAUSE)
            return None

    def _booked(self, ehr: Ehr, write: Write, client_id: str) -> EhrVisit:
        """Book the visit, with some patience for a client who was created a moment ago."""
        visit = NewVisit(
            practitioner_id=write.practitioner_id,
            client_id=client_id,
            ehr_service_id=write.ehr_service_id,
            location_id=write.ehr_location_id,
            starts_at=write.starts_at,
        )
        for seconds in CLIENT_PATIENCE_SECONDS:
            try:
                return ehr.book(visit, Lane.BOOKING)
            except EhrRefused as refused:
                if refused.code != "client_not_ready" or not self.pause(seconds):
                    raise
        return ehr.book(visit, Lane.BOOKING)

    def _announce(self, write: Write, client_id: str) -> bool:
        """Record that the visit is about to be sent for this client; False when somebody else took the write over."""
        if write.client_id:
            return True
        with self.begin() as connection:
            ledger = Ledger(connection)
            current = ledger.of_appointment(write.appointment_id)
            if current is None or current.state != "waiting" or current.client_id:
                return False
            Patients(connection).learn_client_id(current.appointment_id, client_id)
            self._set_sending(ledger, current, client_id)
        return True

    def _refused(self, write: Write, code: str) -> None:
        if code == "client_not_ready":
            if write.attempts >= CLIENT_ATTEMPTS:
                self._forget_client(write)
            self._set(write, "waiting", code, CLIENT_PAUSE)
        elif code == "client_merged":
            self._set(write, "waiting", code, REVIEW_PAUSE)
        else:
            self._give_up(write.appointment_id, TAKEN if code == CONFLICT else f"ehr_refused_{code}")

    def _give_up(self, appointment_id: UUID, reason: str) -> None:
        with self.begin() as connection:
            lock(connection, Visits(connection).persons(appointment_id))
            current = Ledger(connection).of_appointment(appointment_id)
            if current and current.state not in CLOSED:
                self._release(connection, current, reason)

    def _forget_client(self, write: Write) -> None:
        """Search anew next time: the EHR no longer knows the client whom we took the patient for."""
        with self.begin() as connection:
            Patients(connection).forget_client_id(write.appointment_id)
            Ledger(connection).set(write.id, client_id=None)

    def _set(self, write: Write, state: str, error: str, pause: timedelta) -> None:
        now = self.clock.now()
        with self.begin() as connection:
            ledger = Ledger(connection)
            current = ledger.of_appointment(write.appointment_id)
            if current is None or current.state not in ("waiting", "sending"):
                return  # Sync or the sweeper knows better by now.
            if state == "waiting" and error != "BudgetExhausted":
                pause = growing(pause, current.attempts - 1, current.starts_at - now)
            ledger.set(write.id, state=state, last_error=error, next_look_at=now + pause)
        logger.warning("booking_not_written", appointment_id=str(write.appointment_id), state=state, reason=error)


def growing(pause: timedelta, attempts: int, until_start: timedelta) -> timedelta:
    """Return how long to wait after so many earlier attempts: longer each time, but not past the visit's start."""
    longest = max(min(LONGEST_PAUSE, until_start / 4), PAUSE)
    return min(pause * (1 << min(max(attempts, 0), 10)), longest)
