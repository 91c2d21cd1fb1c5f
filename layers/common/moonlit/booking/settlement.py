"""How a write to the EHR ends here: one short transaction, behind the locks of everyone whose time the visit takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.open_slots import OpenSlots
from moonlit.booking.claims import Claims, lock_visit
from moonlit.booking.ledger import CLOSED, Ledger, Write
from moonlit.booking.outbox import Outbox
from moonlit.booking.store import Visits
from moonlit.ehr.port import TRAITS, EhrVisit
from moonlit.observability import logger


@dataclass(frozen=True, slots=True)
class Settlement:
    """One transaction that ends writes. It never commits."""

    connection: sa.Connection
    now: datetime

    def current(self, write: Write) -> Write:
        """Wait for our turn on the visit's time and return the write as it is now."""
        lock_visit(self.connection, write.appointment_id, _resources(write))
        return Ledger(self.connection).get(write.id)

    def booked(self, write: Write, external_id: str, **visit: Any) -> None:
        """Finish a booking or a move: the visit is confirmed and has the EHR's id. Harmless when done already.

        A visit that was cancelled here meanwhile stays so, and is cancelled in the EHR too.

        Args:
            write: The write, as `current` returned it.
            external_id: The visit's id in the EHR.
            visit: Further columns of `appointments` that the EHR told.
        """
        ledger, visits = Ledger(self.connection), Visits(self.connection)
        ledger.own_id(write, external_id)
        self._close_slot(write)
        ledger.set(write.id, state="confirmed", external_id=external_id, finished_at=self.now, last_error=None)
        if not visits.confirm(write.appointment_id, self.now, **visit):
            self._cancel(write, write.account_id, external_id, write.client_id)
        else:
            if write.move:
                Claims(self.connection).put(write.appointment_id, write.move.claims_after)
                self._end_details(write)
            if TRAITS[write.system].has_details:
                self._open_details(write, external_id)
        if write.move and write.kind == "book":  # The visit that it takes the place of.
            self._cancel(write, write.move.account_id, write.move.external_id, write.move.client_id)

    def failed(
        self, write: Write, reason: str, *, watch: timedelta | None = None, was_waited_for: bool = False
    ) -> None:
        """End a booking or a move that will not be: the time is free again, a moved visit is where it was.

        Args:
            write: The write, as `current` returned it.
            reason: A code.
            watch: Look once more for a late visit after that time.
            was_waited_for: Who asked for it hears of it now; else they were told to wait, and have to be told.
        """
        ledger, visits, claims = Ledger(self.connection), Visits(self.connection), Claims(self.connection)
        if watch is None:
            ledger.set(write.id, state="failed", last_error=reason, finished_at=self.now)
        else:
            ledger.set(write.id, state="watching", last_error=reason, looks=1, next_look_at=self.now + watch)
        self._close_slot(write)
        was_cancelled = visits.status(write.appointment_id) == "cancelled"
        if write.move and was_cancelled:
            self._cancel(write, write.move.account_id, write.move.external_id, write.move.client_id)
        elif write.move:
            visits.count_up(
                write.appointment_id, **write.move.before, status_reason=f"not_moved_{reason}", updated_at=self.now
            )
            claims.put(write.appointment_id, write.move.claims_before)
        elif not was_cancelled:
            claims.release(write.appointment_id)
            visits.set(write.appointment_id, status="failed", status_reason=reason, updated_at=self.now)
        if not (was_cancelled or was_waited_for):
            told = "visit_not_moved" if write.move else "booking_released"
            Outbox(self.connection).add(told, write.id, self.now, appointmentId=str(write.appointment_id))
        logger.warning("booking_released", appointment_id=str(write.appointment_id), kind=write.kind, reason=reason)

    def ended(self, write: Write, *, error: str | None = None, modified_at: datetime | None = None) -> None:
        """End a cancellation, or the details; with an error staff have to look at it.

        Args:
            write: The write, as `current` returned it.
            error: A code.
            modified_at: The EHR's version of the visit that it does not have any more: older rows say nothing.
        """
        if modified_at:
            Ledger(self.connection).note_version(write, modified_at)
        if TRAITS[write.system].has_open_slots and write.kind == "cancel":  # Its slot is open again, under a new id.
            OpenSlots(self.connection).stale(write.account_id)
        state = "failed" if error else "confirmed"
        Ledger(self.connection).set(write.id, state=state, last_error=error, finished_at=self.now)
        if error:
            Outbox(self.connection).alert_staff(f"{write.kind}_{error}", write.id, write.appointment_id, self.now)

    def _close_slot(self, write: Write) -> None:
        """Offer the slot no longer, and have all slots read again: it may be open after all, or another may be."""
        if write.slot_id:
            slots = OpenSlots(self.connection)
            slots.forget(write.account_id, write.slot_id)
            slots.stale(write.account_id)

    def _end_details(self, write: Write) -> None:
        """End what was still to be set on the visit under the id that it had before."""
        ledger = Ledger(self.connection)
        for earlier in ledger.open_writes(write.appointment_id):
            if earlier.kind == "details":
                ledger.set(earlier.id, state="confirmed", last_error="superseded", finished_at=self.now)

    def _open_details(self, write: Write, external_id: str) -> None:
        Ledger(self.connection).open(
            write.appointment_id,
            "details",
            self.now,
            account_id=write.account_id,
            practitioner_id=write.practitioner_id,
            client_id=write.client_id,
            starts_at=write.starts_at,
            external_id=external_id,
        )

    def _cancel(self, write: Write, account_id: UUID, external_id: str, client_id: str | None) -> None:
        """Have a visit of the EHR cancelled there that is not wanted here any more."""
        ledger = Ledger(self.connection)
        under_way = (each for each in ledger.open_writes(write.appointment_id) if each.kind == "cancel")
        if external_id in (each.external_id for each in under_way):
            return
        ledger.open(
            write.appointment_id,
            "cancel",
            self.now,
            account_id=account_id,
            practitioner_id=write.practitioner_id,
            client_id=client_id,
            starts_at=write.starts_at,
            external_id=external_id,
            reason=write.reason,
        )


def is_settled(write: Write) -> bool:
    """Tell whether nothing is left to be decided about the write."""
    return write.state in CLOSED


def settled_visit(visit: EhrVisit) -> dict[str, Any]:
    """Return what of the EHR's visit is stored with ours."""
    return {"meeting_url": visit.meeting_url, "ehr_modified_at": visit.modified_at}


def _resources(write: Write) -> list[UUID]:
    return [claim.resource_id for claim in (*write.move.claims_before, *write.move.claims_after)] if write.move else []
