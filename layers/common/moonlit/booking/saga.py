"""Bring what was decided here into the EHR: calls outside every transaction, a short transaction around each.

Killed between any two lines, the ledger says what the sweeper (sweep.py) has to find out: a write that is `waiting`
was surely not sent, one that is `sending` may have been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.store import Availability, Own
from moonlit.booking.claims import Claims
from moonlit.booking.ledger import OPEN, Ledger, Write
from moonlit.booking.outbox import Outbox
from moonlit.booking.patients import Patients
from moonlit.booking.sending import ClientUnknown, Sender, TakenOver
from moonlit.booking.settlement import Settlement, is_settled, settled_visit
from moonlit.booking.store import Visits
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.ehr.port import (
    BudgetExhausted,
    Ehr,
    EhrOutcomeUnknown,
    EhrRefused,
    EhrUnavailable,
    EhrVisit,
)
from moonlit.errors import MoonlitError
from moonlit.observability import logger

type EhrOf = Callable[[UUID], Ehr]
"""Returns the EHR behind an account's id."""
type Pause = Callable[[float], bool]
"""Waits so many seconds and returns True, or returns False at once when there is no time for it."""

LEASE = timedelta(seconds=60)  # How long one process may prepare a write before another takes it up.
# Before a write that surely had no effect is tried again; doubled with each attempt, since each costs a request.
PAUSE, LONGEST_PAUSE = timedelta(seconds=60), timedelta(hours=1)
CLIENT_PAUSE = timedelta(seconds=10)
REVIEW_PAUSE = timedelta(minutes=15)  # Only staff can create a client whom the EHR would merge into another person.
CLIENT_ATTEMPTS = 5  # Five minutes: after that it is not a fresh client but one whom the EHR does not know.
REFUSED_ATTEMPTS = 5  # A cancellation that is refused may be so for a reason that passes.
FRESH = timedelta(seconds=30)  # How long the check of the slot holds; a write that is sent later checks again.
CONFLICT, TAKEN, UNTIMELY, CANCELLED = "409", "slot_taken_in_ehr", "not_written_in_time", "cancelled"


class SettlementContended(MoonlitError):
    """The locks that the end of a write needs were not to be had."""


@dataclass(frozen=True, slots=True)
class Saga:
    """Carries writes to the EHR; `ehr_of` opens the account, `pause` is how it waits for it."""

    begin: Begin
    clock: Clock
    ehr_of: EhrOf
    pause: Pause

    def write(self, appointment_id: UUID) -> None:
        """Carry to the EHR what was decided last about where the visit is."""
        with self.begin() as connection:
            write = Ledger(connection).of_appointment(appointment_id)
        if write:
            self.carry(write.id)

    def carry(self, write_id: UUID, *, is_new: bool = False) -> bool:
        """Bring the write into the EHR if that is due and nobody else is at it; what happens is in the ledger.

        Returns False when the EHR was not to be reached at all.

        Args:
            write_id: Of the write.
            is_new: It was opened just now, so that its time need not be checked again.
        """
        write = self._take(write_id, is_new=is_new)
        if write is None:
            return True
        try:
            visit = self._sender(write).send(write)
        except ClientUnknown:  # If the client was created, the next look finds it.
            self._set(write, "waiting", "client_outcome_unknown", PAUSE)
        except TakenOver:
            return True
        except EhrOutcomeUnknown:
            self._lost_sight(write)
        except BudgetExhausted as exhausted:
            self._set(write, "waiting", "BudgetExhausted", timedelta(seconds=exhausted.retry_after))
        except EhrUnavailable:
            self._set(write, "waiting", "ehr_unavailable", PAUSE)
            return False
        except EhrRefused as refused:
            self._refused(write, refused.code, is_new=is_new)
        else:
            self._sent(write, visit)
        return True

    def confirm(self, write: Write, visit: EhrVisit) -> None:
        """Finish a booking or a move with the visit that the EHR shows; harmless when sync was faster.

        When it was given up meanwhile it stays so: then the watch cancels what landed late.
        """
        if self._settle(write, lambda end, current: end.booked(current, visit.external_id, **settled_visit(visit))):
            logger.info("booking_confirmed", appointment_id=str(write.appointment_id), external_id=visit.external_id)

    def release(self, write: Write, reason: str, *, watch: timedelta | None = None) -> None:
        """Give the time back: the visit will not be there. With `watch`, look once more for a late one after that time.

        Does nothing when the write has moved on since it was read.
        """
        self._settle(write, lambda end, current: end.failed(current, reason, watch=watch), as_read=True)

    def end(self, write: Write, *, error: str | None = None, visit: EhrVisit | None = None) -> None:
        """End a cancellation, or the details; with an error staff have to look at it.

        Args:
            write: The write.
            error: A code.
            visit: What the EHR shows now.
        """
        modified_at = visit.modified_at if visit else None
        self._settle(write, lambda end, current: end.ended(current, error=error, modified_at=modified_at))

    def ehr(self, account_id: UUID) -> Ehr:
        """Return the EHR account.

        Raises:
            EhrUnavailable: A secret or a setting cannot be read, so that nothing can be sent.
        """
        try:
            return self.ehr_of(account_id)
        except Exception as error:  # noqa: BLE001  # Its text may quote a secret.
            raise EhrUnavailable(type(error).__name__) from None

    def _settle(self, write: Write, decide: Callable[[Settlement, Write], None], *, as_read: bool = False) -> bool:
        """End the write in one transaction behind the locks, and tell whether it was ended here.

        Where the locks are not to be had, the write stays as it is: the sweeper finds out what it did.

        Args:
            write: The write as it was read.
            decide: Ends it.
            as_read: Only if it has not moved on since.
        """

        def once() -> bool:
            with self.begin() as connection:
                settlement = Settlement(connection, self.clock.now())
                current = settlement.current(write)
                has_moved_on = as_read and (current.state, current.sent_at) != (write.state, write.sent_at)
                if is_settled(current) or has_moved_on:
                    return False
                decide(settlement, current)
                return True

        try:
            return retried_once(once, SettlementContended())
        except SettlementContended:
            logger.warning("settlement_postponed", appointment_id=str(write.appointment_id), kind=write.kind)
            return False

    def again(self, write: Write, error: str, pause: timedelta, **values: Any) -> None:
        """Send a write again after a while, with changed columns: it was read back, and surely had no effect."""
        with self.begin() as connection:
            ledger = Ledger(connection)
            current = ledger.get(write.id)
            if (current.state, current.sent_at) == (write.state, write.sent_at) and current.state in OPEN:
                at = self.clock.now() + pause
                ledger.set(write.id, state="waiting", last_error=error, next_look_at=at, looks=0, **values)

    def _take(self, write_id: UUID, *, is_new: bool) -> Write | None:
        """Return the write if it is due, marked so that no other process takes it up meanwhile."""
        now = self.clock.now()
        with self.begin() as connection:
            ledger = Ledger(connection)
            write = ledger.get(write_id) if is_new else self._turn(connection, ledger.look(write_id), now)
            if write.state != "waiting" or write.next_look_at > now:
                return None
            write = replace(write, attempts=write.attempts + 1)
            if write.kind == "book" and write.client_id is None:
                ledger.set(write.id, attempts=write.attempts, next_look_at=now + LEASE)
                return write
            ledger.set_sending(write.id, write.client_id, now, attempts=write.attempts)
            return replace(write, state="sending", sent_at=now)

    def _turn(self, connection: sa.Connection, write: Write, now: datetime) -> Write:
        """Return the write, locked; ended when its visit is not wanted any more, or the EHR has put somebody there."""
        is_fresh = write.attempts == 0 and now - write.created_at <= FRESH
        if write.kind not in ("book", "reschedule") or is_fresh:
            return Ledger(connection).get(write.id)
        settlement = Settlement(connection, now)
        current = settlement.current(write)
        is_due = current.state == "waiting" and current.next_look_at <= now
        if is_due and (reason := self._obstacle(connection, current)):
            settlement.failed(current, reason)
            return Ledger(connection).get(write.id)
        return current

    def _obstacle(self, connection: sa.Connection, write: Write) -> str | None:
        """Return why the write must not be sent any more: it may have been on its way when the visit was cancelled."""
        if Visits(connection).status(write.appointment_id) == "cancelled":
            return CANCELLED
        return TAKEN if self._is_taken(connection, write) else None

    def _is_taken(self, connection: sa.Connection, write: Write) -> bool:
        """Tell whether the EHR has put somebody else into the time since it was claimed."""
        claims = write.move.claims_after if write.move else Claims(connection).of(write.appointment_id)
        theirs = [claim for claim in claims if claim.kind == "person"]
        span = int(min(claim.start for claim in theirs).timestamp()), int(max(each.end for each in theirs).timestamp())
        persons, own = {claim.resource_id for claim in theirs}, Own(appointment_id=write.appointment_id)
        return any(Availability(connection).busy(persons, span, self.clock.now(), own).values())

    def _sender(self, write: Write) -> Sender:
        return Sender(self.begin, self.clock, self.ehr(write.account_id), self.pause)

    def _lost_sight(self, write: Write) -> None:
        """Have the write read back; details are sent again instead, since repeating them changes nothing."""
        if write.kind == "details":
            self._set(write, "waiting", "outcome_unknown", PAUSE)
        else:
            self._set(write, "unknown", "outcome_unknown", timedelta(0))

    def _sent(self, write: Write, visit: EhrVisit | None) -> None:
        if visit and visit.starts_at != write.starts_at:  # Not what was asked for: whatever it is, it is read back.
            self._lost_sight(write)
        elif visit:
            self.confirm(write, visit)
        elif write.kind == "cancel":  # The EHR said yes; whether it did so is read back.
            self._set(write, "unknown", None, timedelta(0))
        else:
            self.end(write)

    def _refused(self, write: Write, code: str, *, is_new: bool) -> None:
        match write.kind, code:
            case "book", "client_not_ready":
                self._set(write, "waiting", code, CLIENT_PAUSE, forget_client=write.attempts >= CLIENT_ATTEMPTS)
            case "book", "client_merged":
                self._set(write, "waiting", code, REVIEW_PAUSE)
                self._alert(write, code)
            case "book" | "reschedule", _:
                reason = TAKEN if code == CONFLICT else f"ehr_refused_{code}"
                self._settle(write, lambda end, current: end.failed(current, reason, was_waited_for=is_new))
            case "cancel", _ if write.attempts < REFUSED_ATTEMPTS:
                self._set(write, "waiting", f"ehr_refused_{code}", PAUSE)
            case _:
                self.end(write, error=f"ehr_refused_{code}")

    def _alert(self, write: Write, reason: str) -> None:
        with self.begin() as connection:
            Outbox(connection).alert_staff(reason, write.id, write.appointment_id, self.clock.now())

    def _set(
        self, write: Write, state: str, error: str | None, pause: timedelta, *, forget_client: bool = False
    ) -> None:
        """Note what became of the write.

        With `forget_client` the patient is searched anew next time: the EHR does not know whom we took for them.
        """
        now = self.clock.now()
        with self.begin() as connection:
            ledger = Ledger(connection)
            current = ledger.get(write.id)
            if current.state not in ("waiting", "sending"):
                return  # Sync or the sweeper knows better by now.
            if state == "waiting" and error != "BudgetExhausted":
                pause = growing(pause, current.attempts - 1, current.starts_at - now)
            ledger.set(write.id, state=state, last_error=error, next_look_at=now + pause)
            if forget_client:
                ledger.set(write.id, client_id=None)
                Patients(connection).forget_client_id(write.appointment_id, write.system)
        if error:
            logger.warning(
                "booking_not_written",
                appointment_id=str(write.appointment_id),
                kind=write.kind,
                state=state,
                reason=error,
            )


def growing(pause: timedelta, attempts: int, until_start: timedelta) -> timedelta:
    """Return how long to wait after so many earlier attempts: longer each time, but not past the visit's start."""
    until_start = until_start if until_start > timedelta(0) else 4 * LONGEST_PAUSE  # It is over, so nothing presses.
    longest = max(min(LONGEST_PAUSE, until_start / 4), PAUSE)
    return min(pause * (1 << min(max(attempts, 0), 10)), longest)
