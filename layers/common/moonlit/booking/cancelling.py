"""Cancel a visit: its time is free at once here, and the EHR is told."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.audit.store import Actor
from moonlit.availability.open_slots import OpenSlots
from moonlit.booking.changes import check_window, locked_visit
from moonlit.booking.claims import Claims
from moonlit.booking.errors import NotActive
from moonlit.booking.ledger import Ledger
from moonlit.booking.store import ACTIVE, Kept, Visits
from moonlit.booking.trail import note_change
from moonlit.clock import Clock
from moonlit.db.engine import Begin


def cancel(
    begin: Begin,
    clock: Clock,
    appointment_id: UUID,
    reason: str | None,
    *,
    by_staff: bool,
    actor: Actor | None = None,
) -> UUID | None:
    """Cancel the visit; once more changes nothing. Return the write that is to be carried to the EHR, if any.

    A booking that the EHR has not answered yet is cancelled there when it does (see settlement.py).

    Raises:
        NotActive: The visit was declined, missed, or never came to be.
        TooLate: A patient asks, and the visit begins too soon.
        NotFound: There is no such visit.
    """
    with begin() as connection:
        now = clock.now()
        visit = locked_visit(connection, appointment_id)
        if visit["status"] == "cancelled":
            return None
        if visit["status"] not in ACTIVE:
            raise NotActive(f"the visit is {visit['status']}")
        if not by_staff:
            check_window(connection, visit, now)
        status_reason = "cancelled_by_staff" if by_staff else "cancelled_by_patient"
        changes = {"status": "cancelled", "status_reason": status_reason}
        Visits(connection).count_up(appointment_id, **changes, updated_at=now)
        note_change(connection, actor, now, "cancelled", visit.columns, changes=changes)
        Claims(connection).release(appointment_id)
        if _is_on_its_way(connection, appointment_id, now):
            return None
        return _open_write(connection, visit, reason, now)


def _is_on_its_way(connection: sa.Connection, appointment_id: UUID, now: datetime) -> bool:
    """End what was not sent yet; tell whether something else may reach the EHR: who settles that cancels it there."""
    ledger, found = Ledger(connection), False
    for write in ledger.open_writes(appointment_id):
        if write.kind == "cancel":
            continue
        if write.state == "waiting":
            ledger.set(write.id, state="failed", last_error="cancelled", finished_at=now)
            if write.slot_id:  # A reading of the open slots may have left it out, as one that is being booked.
                OpenSlots(connection).stale(write.account_id)
        elif write.kind != "details":
            found = True
    return found


def _open_write(connection: sa.Connection, visit: Kept, reason: str | None, now: datetime) -> UUID | None:
    if visit.account_id is None:
        return None  # The EHR has never heard of it.
    return Ledger(connection).open(
        visit["id"],
        "cancel",
        now,
        account_id=visit.account_id,
        client_id=visit.client_id,
        starts_at=visit["start"],
        external_id=visit.external_id,
        reason=reason,
    )
