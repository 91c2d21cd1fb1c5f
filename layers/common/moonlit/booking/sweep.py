"""Finish what was left open: the sweeper, every minute.

It reads back what nobody knows the outcome of, writes what had to wait, watches for visits that land late, and
deletes holds that ran out. It may be killed at any point and run beside itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from moonlit.booking.claims import Claims
from moonlit.booking.ledger import Ledger, Write
from moonlit.booking.recognition import landed, made_by
from moonlit.booking.saga import LEASE, PAUSE, Saga, growing
from moonlit.ehr.port import BudgetExhausted, EhrRefused, EhrVisit, Lane
from moonlit.observability import logger

BATCH = 50
LOOKS_BEFORE_RELEASE = 2  # A POST that timed out may still land after the first look.
BETWEEN_LOOKS = timedelta(seconds=60)
TRAVEL = timedelta(seconds=30)  # The function that sends is stopped before that.
SHORT_PAUSE = timedelta(seconds=5)
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
            done[self._try(appointment_id)] += 1
        return done

    def _try(self, appointment_id: UUID) -> str:
        """Look at one write. Whatever goes wrong with it is its own trouble: the others have their turn."""
        try:
            return self._look(appointment_id)
        except BudgetExhausted as exhausted:
            self._postpone(appointment_id, max(timedelta(seconds=exhausted.retry_after), SHORT_PAUSE))
            return "out_of_budget"
        except Exception as error:  # noqa: BLE001  # Logged by its type: its text may quote a row.
            logger.error("sweep_failed", appointment_id=str(appointment_id), reason=type(error).__name__)
            self._back_off(appointment_id)
            return "failed"

    def _look(self, appointment_id: UUID) -> str:
        now = self.saga.clock.now()
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.of_appointment(appointment_id)
            if write is None or write.state in ("confirmed", "failed") or write.next_look_at > now:
                return "settled_meanwhile"
            if write.state != "waiting":  # A second sweeper leaves it alone meanwhile.
                ledger.set(write.id, next_look_at=now + LEASE)
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
            self.saga.release(write, "not_written_in_time")
            return "released"
        self.saga.write(write.appointment_id)
        return "sent"

    def _find(self, write: Write) -> EhrVisit | None:
        """Look for the visit among the practitioner's of that day, whatever became of its client."""
        day = write.starts_at.astimezone(self.zone).date()
        visits = self.saga.ehr_of(write.account_id).visits_of_practitioner(
            write.practitioner_id, day, day, Lane.BOOKING
        )
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            others = ledger.ids_of_others(write, [visit.external_id for visit in visits])
            rivals = [each for each in ledger.unfinished(write.account_id) if each.id != write.id]
        return made_by(write, visits, others, rivals)

    def _missed(self, write: Write) -> str:
        """Look again a minute later; the second time, release it and go on watching."""
        now = self.saga.clock.now()
        travels_until = (write.sent_at or now) + TRAVEL
        if write.state == "sending" and now < travels_until:
            self._postpone(write.appointment_id, travels_until - now)  # It may still be on its way: that is no look.
            return "travelling"
        if write.looks + 1 >= LOOKS_BEFORE_RELEASE:
            self.saga.release(write, "not_in_ehr", watch=WATCHES[0])
            return "released"
        self._postpone(write.appointment_id, BETWEEN_LOOKS, looks=write.looks + 1)
        return "looked"

    def _watched(self, write: Write, found: EhrVisit | None) -> str:
        """Cancel a visit of ours that landed after its time was given back; else watch on for a while."""
        late = found is not None and landed(write, found)
        if not late and write.looks < len(WATCHES):
            self._postpone(write.appointment_id, WATCHES[write.looks], looks=write.looks + 1)
            return "watched"
        outcome = self._settle_late(write, found) if found and late else "watch_ended"
        with self.saga.begin() as connection:
            external_id = found.external_id if found and late else None
            now = self.saga.clock.now()
            Ledger(connection).set(
                write.id, state="failed", external_id=external_id, last_error=outcome, finished_at=now
            )
        return outcome

    def _settle_late(self, write: Write, late: EhrVisit) -> str:
        """Cancel the late visit, unless staff have moved it: then somebody wants it."""
        outcome = "late_visit_needs_staff"
        if late.starts_at == write.starts_at:
            with suppress(EhrRefused):
                self.saga.ehr_of(write.account_id).cancel(late.external_id, "Booking was not confirmed", Lane.BOOKING)
                outcome = "late_visit_cancelled"
        logger.warning(
            "late_visit", appointment_id=str(write.appointment_id), external_id=late.external_id, outcome=outcome
        )
        return outcome

    def _back_off(self, appointment_id: UUID) -> None:
        """Look less and less often at what fails: each look costs requests that other bookings need."""
        now = self.saga.clock.now()
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.of_appointment(appointment_id)
            if write and write.state not in ("confirmed", "failed"):
                pause = growing(PAUSE, write.attempts, write.starts_at - now)
                ledger.set(write.id, next_look_at=now + pause, attempts=write.attempts + 1)

    def _postpone(self, appointment_id: UUID, pause: timedelta, **values: int) -> None:
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.of_appointment(appointment_id)
            if write and write.state not in ("confirmed", "failed"):
                ledger.set(write.id, next_look_at=self.saga.clock.now() + pause, **values)
