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

from moonlit.booking.callers import Callers
from moonlit.booking.claims import Claims
from moonlit.booking.holds import thaw_due
from moonlit.booking.ledger import Ledger, Write
from moonlit.booking.outbox import Outbox
from moonlit.booking.recognition import landed, made_by
from moonlit.booking.saga import LEASE, PAUSE, REFUSED_ATTEMPTS, UNTIMELY, Saga, growing
from moonlit.ehr.port import BudgetExhausted, Ehr, EhrRefused, EhrUnavailable, EhrVisit, Lane
from moonlit.observability import logger

BATCH = 50
LOOKS_BEFORE_RELEASE = 2  # A POST that timed out may still land after the first look.
BETWEEN_LOOKS = timedelta(seconds=60)
TRAVEL = timedelta(seconds=30)  # The function that sends is stopped before that.
SHORT_PAUSE = timedelta(seconds=5)
WATCHES = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
ALERT_AHEAD = timedelta(hours=1)  # How long before a visit staff hear that the EHR does not have it yet.
ALERT_AFTER = timedelta(hours=1)  # How long a cancellation may take before staff hear of it.
SECONDS_KEPT = 10.0  # Enough for one more look; with less time left the rest waits for the next minute.
STANDING = ("scheduled", "confirmed")


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
            Callers(connection).forget(now)
            due = Ledger(connection).due(now, BATCH)
        down: set[UUID] = set()  # An EHR that hangs must not keep the other one's writes waiting.
        for write_id, account_id in due:
            if self.time_left() < SECONDS_KEPT:
                break
            if account_id in down:
                continue
            outcome = self._try(write_id)
            done[outcome] += 1
            if outcome == "unavailable":
                down.add(account_id)
        self._warn_of_late_writes()
        done["slots_thawed"] = thaw_due(self.saga, BATCH, self.time_left)
        return done

    def _try(self, write_id: UUID) -> str:
        """Look at one write. Whatever goes wrong with it is its own trouble: the others have their turn."""
        try:
            return self._look(write_id)
        except BudgetExhausted as exhausted:
            self._postpone(write_id, max(timedelta(seconds=exhausted.retry_after), SHORT_PAUSE))
            return "out_of_budget"
        except EhrUnavailable:
            self._back_off(write_id)
            return "unavailable"
        except Exception as error:  # noqa: BLE001  # Logged by its type: its text may quote a row.
            logger.error("sweep_failed", write_id=str(write_id), reason=type(error).__name__)
            self._back_off(write_id)
            return "failed"

    def _look(self, write_id: UUID) -> str:
        now = self.saga.clock.now()
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.get(write_id)
            if write.state in ("confirmed", "failed") or write.next_look_at > now:
                return "settled_meanwhile"
            if write.state != "waiting":  # A second sweeper leaves it alone meanwhile.
                ledger.set(write.id, next_look_at=now + LEASE)
        if write.state == "waiting":
            return self._send(write)
        match write.kind:
            case "book":
                return self._look_for(write)
            case "reschedule":
                return self._look_where(write)
            case "cancel":
                return self._look_whether_gone(write)
            case _:  # Repeating the details changes nothing.
                self.saga.again(write, "interrupted", timedelta(0))
                return self._send(write)

    def _send(self, write: Write) -> str:
        if write.kind in ("book", "reschedule") and write.starts_at <= self.saga.clock.now():
            self.saga.release(write, UNTIMELY)
            self._alert(write, UNTIMELY)
            return "released"
        if not self.saga.carry(write.id):
            return "unavailable"
        return self._look(write.id) if write.kind == "cancel" else "sent"  # Sent is not done: the EHR shows it or not.

    def _look_for(self, write: Write) -> str:
        found = self._find(write)
        if write.state == "watching":
            return self._watched(write, found)
        if found:
            self.saga.confirm(write, found)
            return "confirmed"
        return self._missed(write)

    def _find(self, write: Write) -> EhrVisit | None:
        """Look for the visit among the practitioner's of that day, whatever became of its client."""
        day = write.starts_at.astimezone(self.zone).date()
        practitioner_id = write.practitioner_id or ""
        visits = self._ehr(write).visits_of_practitioner(practitioner_id, day, day, Lane.BOOKING)
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            others = ledger.ids_of_others(write, [visit.external_id for visit in visits])
            rivals = [each for each in ledger.unfinished(write.account_id) if each.id != write.id]
        return made_by(write, visits, others, rivals)

    def _missed(self, write: Write) -> str:
        """Look again a minute later; the second time, release it and go on watching."""
        if waits := self._looks_again(write):
            return waits
        self.saga.release(write, "not_in_ehr", watch=WATCHES[0])
        return "released"

    def _look_where(self, write: Write) -> str:
        """Finish a move that took effect; send it again when it surely had none and nobody else touched the visit."""
        ehr, old_id = self._ehr(write), write.external_id or ""
        there = ehr.visit(write.slot_id or old_id, Lane.BOOKING)
        if there and there.client_id == write.client_id and there.starts_at == write.starts_at and _stands(there):
            self.saga.confirm(write, there)
            return "confirmed"
        if waits := self._looks_again(write):
            return waits
        old = ehr.visit(old_id, Lane.BOOKING) if write.slot_id else there
        if old is None or not _stands(old):
            self.saga.release(write, "gone_in_ehr")
            return "released"
        if write.move and old.starts_at != write.move.before["start"]:
            self.saga.release(write, "moved_in_ehr")
            return "released"
        self.saga.again(write, "not_moved_yet", timedelta(0))
        return self._send(write)

    def _look_whether_gone(self, write: Write) -> str:
        """End a cancellation that the EHR shows; else send it again, a few times."""
        visit = self._ehr(write).visit(write.external_id or "", Lane.BOOKING)
        if visit and visit.moved_to:  # Staff were faster: the visit stands under another id, and is not wanted there.
            self.saga.again(write, "moved_in_ehr", timedelta(0), external_id=visit.moved_to)
            return self._send(write)
        if visit is None or not _stands(visit):
            self.saga.end(write, visit=visit)
            return "cancelled"
        if self._is_travelling(write):
            return "travelling"
        if write.attempts >= REFUSED_ATTEMPTS:
            self.saga.end(write, error="not_taken")
            return "cancel_not_taken"
        self.saga.again(write, "still_there", growing(PAUSE, write.attempts - 1, write.starts_at - write.created_at))
        return "cancelling_again"

    def _looks_again(self, write: Write) -> str | None:
        """Have the write looked at once more, unless this was the last look: a POST may land after the first one."""
        if self._is_travelling(write):  # That is no look.
            return "travelling"
        if write.looks + 1 >= LOOKS_BEFORE_RELEASE:
            return None
        self._postpone(write.id, BETWEEN_LOOKS, looks=write.looks + 1)
        return "looked"

    def _is_travelling(self, write: Write) -> bool:
        """Tell whether the request may still be on its way; then the next look comes after it has arrived."""
        now = self.saga.clock.now()
        travels_until = (write.sent_at or now) + TRAVEL
        if write.state != "sending" or now >= travels_until:
            return False
        self._postpone(write.id, travels_until - now)
        return True

    def _watched(self, write: Write, found: EhrVisit | None) -> str:
        """Cancel a visit of ours that landed after its time was given back; else watch on for a while."""
        late = found is not None and landed(write, found)
        if not late and write.looks < len(WATCHES):
            self._postpone(write.id, WATCHES[write.looks], looks=write.looks + 1)
            return "watched"
        outcome = self._settle_late(write, found, is_ours=late) if found else "watch_ended"
        with self.saga.begin() as connection:
            external_id = found.external_id if found else None
            now = self.saga.clock.now()
            Ledger(connection).set(
                write.id, state="failed", external_id=external_id, last_error=outcome, finished_at=now
            )
        return outcome

    def _settle_late(self, write: Write, late: EhrVisit, *, is_ours: bool) -> str:
        """Cancel the late visit, unless staff have moved it, or may have made it themselves: then somebody wants it."""
        outcome = "late_visit_needs_staff"
        if is_ours and late.starts_at == write.starts_at:
            with suppress(EhrRefused):
                self._ehr(write).cancel(late.external_id, write.client_id, "Booking was not confirmed", Lane.BOOKING)
                outcome = "late_visit_cancelled"
        if outcome == "late_visit_needs_staff":
            self._alert(write, outcome)
        logger.warning(
            "late_visit", appointment_id=str(write.appointment_id), external_id=late.external_id, outcome=outcome
        )
        return outcome

    def _warn_of_late_writes(self) -> None:
        """Tell staff, once each, of visits that begin soon and that the EHR does not have yet."""
        now = self.saga.clock.now()
        with self.saga.begin() as connection:
            for write in Ledger(connection).at_risk(now - BETWEEN_LOOKS, now + ALERT_AHEAD, now - ALERT_AFTER):
                Outbox(connection).alert_staff(f"{write.kind}_not_written_yet", write.id, write.appointment_id, now)

    def _alert(self, write: Write, reason: str) -> None:
        with self.saga.begin() as connection:
            Outbox(connection).alert_staff(reason, write.id, write.appointment_id, self.saga.clock.now())

    def _ehr(self, write: Write) -> Ehr:
        return self.saga.ehr(write.account_id)

    def _back_off(self, write_id: UUID) -> None:
        """Look less and less often at what fails: each look costs requests that other bookings need."""
        now = self.saga.clock.now()
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.get(write_id)
            if write.state not in ("confirmed", "failed"):
                pause = growing(PAUSE, write.attempts, write.starts_at - now)
                ledger.set(write.id, next_look_at=now + pause, attempts=write.attempts + 1)

    def _postpone(self, write_id: UUID, pause: timedelta, **values: int) -> None:
        with self.saga.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.get(write_id)
            if write.state not in ("confirmed", "failed"):
                ledger.set(write.id, next_look_at=self.saga.clock.now() + pause, **values)


def _stands(visit: EhrVisit) -> bool:
    return visit.status in STANDING
