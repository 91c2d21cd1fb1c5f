"""Finish what was left open: the sweeper, every minute.

It reads back what nobody knows the outcome of, writes what had to wait, watches for visits that land late, and
deletes holds that ran out. It may be killed at any point and run beside itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from moonlit.booking.claims import Claims
from moonlit.booking.ledger import Ledger, Write
from moonlit.booking.saga import PAUSE, Saga
from moonlit.ehr.port import BudgetExhausted, EhrError, EhrVisit, Lane
from moonlit.observability import logger

BATCH = 50
LOOKS_BEFORE_RELEASE = 2  # A POST that timed out may still land after the first look.
BETWEEN_LOOKS = timedelta(seconds=60)
WATCHES = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
SECONDS_KEPT = 10.0  # Enough for one more look; with less time left the rest waits for the next minute.


@dataclass(frozen=True, slots=True)
class Sweeper:
    """One sweep's parts; `zone` is the practice's, `time_left` the seconds until this process is stopped."""

    saga: Saga
    zone: ZoneInfo
    time_left: Callable[[], float]

    def sweep(self) -> Counter[str]:
        """Do all that is due, as far as time reaches; return how much of each kind."""
        done: Counter[str] = Counter()
        now = self.saga.clock.now()
        with self.saga.begin() as connection:
            done["holds_expired"] = Claims(connection).delete_expired_holds(now)
            due = Ledger(connection).due(now, BATCH)
        for appointment_id in due:
            if self.time_left() < SECONDS_KEPT:
                break
            try:
                done[self._look(appointment_id)] += 1
            except BudgetExhausted:
                done["out_of_budget"] += 1
                break
            except EhrError as error:
                logger.warning("sweep_failed", appointment_id=str(appointment_id), reason=type(error).__name__)
                self._postpone(appointment_id, PAUSE)
                done["failed"] += 1
        return done

    def _look(self, appointment_id: UUID) -> str:
        with self.saga.begin() as connection:
            write = Ledger(connection).of_appointment(appointment_id)
        if write is None or write.state in ("confirmed", "failed"):
            return "finished_meanwhile"
        if write.state == "waiting":
            return self._send(write)
        found = self._find(write)
        if write.state == "watching":
            return self._watched(write, found)
        if found:
            self.saga.confirm(appointment_id, found)
            return "confirmed"
        return self._missed(write)

    def _send(self, write: Write) -> str:
        if write.starts_at <= self.saga.clock.now():
            self.saga.release(write.appointment_id, "not_written_in_time")
            return "released"
        self.saga.write(write.appointment_id)
        return "sent"

    def _find(self, write: Write) -> EhrVisit | None:
        """Look for the visit in the EHR's calendar of its day, which names it whatever became of its client."""
        ehr, day = self.saga.ehr_of(write.account_id), write.starts_at.astimezone(self.zone).date()
        page = 1
        while True:
            found = ehr.window(day, day, page, Lane.BOOKING)
            for visit in found.visits:
                if _is(visit, write):
                    return visit
            if found.is_last:
                return None
            page += 1

    def _missed(self, write: Write) -> str:
        """Look again a minute later; the second time, release it and go on watching."""
        if write.looks + 1 >= LOOKS_BEFORE_RELEASE:
            self.saga.release(write.appointment_id, "not_in_ehr", watch=WATCHES[0])
            return "released"
        self._postpone(write.appointment_id, BETWEEN_LOOKS, looks=write.looks + 1)
        return "looked"

    def _watched(self, write: Write, found: EhrVisit | None) -> str:
        """Cancel a visit that landed after its time was given back; else watch on for a while."""
        now = self.saga.clock.now()
        if found:
            self.saga.ehr_of(write.account_id).cancel(found.external_id, "Booking was not confirmed", Lane.BOOKING)
        elif write.looks < len(WATCHES):
            self._postpone(write.appointment_id, WATCHES[write.looks], looks=write.looks + 1)
            return "watched"
        with self.saga.begin() as connection:
            external_id = found.external_id if found else None
            error = "late_visit_cancelled" if found else "not_in_ehr"
            Ledger(connection).set(write.id, state="failed", external_id=external_id, last_error=error, finished_at=now)
        if found:
            logger.warning("late_visit_cancelled", appointment_id=str(write.appointment_id))
        return "late_visit_cancelled" if found else "watch_ended"

    def _postpone(self, appointment_id: UUID, pause: timedelta, **values: int) -> None:
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.of_appointment(appointment_id)
            if write and write.state not in ("confirmed", "failed"):
                ledger.set(write.id, next_look_at=self.saga.clock.now() + pause, **values)


def _is(visit: EhrVisit, write: Write) -> bool:
    return (
        visit.practitioner_id == write.practitioner_id
        and visit.client_id == write.client_id
        and visit.starts_at == write.starts_at
        and visit.status in ("scheduled", "confirmed")
    )
