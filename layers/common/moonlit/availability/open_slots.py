"""The open slots of an EHR as they were last read: the only place that writes `ehr_open_slots`.

A reading takes seconds, and meanwhile slots are booked. So whoever takes a slot says so under the account's lock,
shared with all others who do, and a reading is stored under the same lock alone: it sees what was taken before it, and
what is taken after it finds the reading in place.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.tables import ehr_accounts
from moonlit.ehr.port import OpenSlot

_KEY = "hashtextextended('open slots of ' || cast(:account_id as text), 0)"
_LOCK_ALONE = sa.text(f"select pg_advisory_xact_lock({_KEY})")
_LOCK_SHARED = sa.text(f"select pg_advisory_xact_lock_shared({_KEY})")

# Slots that a hold of ours has frozen are in nobody's reading; the hold's owner may still want to book them.
_CLEAR = sa.text("""
    delete from ehr_open_slots s where s.account_id = :account_id and not exists (
        select from ehr_freezes f where f.account_id = s.account_id and f.slot_id = s.external_id)
""")

# Left out is what we took since the reading began: what is frozen, and what is being, or has been, booked.
_FILL = sa.text("""
    insert into ehr_open_slots (account_id, external_id, practitioner_id, department_id, reason_ids, span, read_at)
    select distinct on (r.id) :account_id, r.id, r.practitioner, r.location,
        array(select jsonb_array_elements_text(r.reasons)), tstzrange(r.first, r.last), :read_at
    from jsonb_to_recordset(cast(:rows as jsonb)) as r (
        id text, practitioner text, location text, reasons jsonb, first timestamptz, last timestamptz)
    where not exists (
        select from ehr_freezes f where f.account_id = :account_id and f.slot_id = r.id)
    and not exists (
        select from ehr_writes w where w.account_id = :account_id and w.slot_id = r.id
            and (w.state in ('waiting', 'sending', 'unknown') or w.finished_at >= :read_at))
    on conflict do nothing
""").bindparams(sa.bindparam("read_at", type_=sa.DateTime(timezone=True)))

# A visit that we moved or cancelled meanwhile may have opened a slot that the reading did not show yet, and somebody
# may have called the slots stale since: then they are read again.
_NOTE = sa.text("""
    update ehr_accounts set slots_read_at = :read_at
    where id = :account_id and (slots_read_at is not null or :last_read is null)
        and not exists (
            select from ehr_writes w where w.account_id = :account_id and w.kind in ('cancel', 'reschedule')
                and w.finished_at >= :read_at)
""").bindparams(
    sa.bindparam("read_at", type_=sa.DateTime(timezone=True)),
    sa.bindparam("last_read", type_=sa.DateTime(timezone=True)),
)

_LATEST = sa.text("""
    select greatest((select slots_read_at from ehr_accounts where id = :account_id),
        (select max(read_at) from ehr_open_slots where account_id = :account_id))
""")


class OpenSlots:
    """The open slots as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def last_read(self, account_id: UUID) -> datetime | None:
        """Return when the last reading began, None when the slots are to be read at once."""
        query = sa.select(ehr_accounts.c.slots_read_at).where(ehr_accounts.c.id == account_id)
        began: datetime | None = self._connection.execute(query).scalar_one()
        return began

    def replace(
        self,
        account_id: UUID,
        slots: Collection[OpenSlot],
        read_at: datetime,
        *,
        last_read: datetime | None = None,
    ) -> bool:
        """Put a reading of all the account's slots in place of the one before.

        Args:
            account_id: The EHR account.
            slots: Everything that it showed.
            read_at: When the reading began: what happened since may be missing from it.
            last_read: What `last_read` said then.

        Returns:
            Whether it was stored; False when one that began later is there already.
        """
        self._execute(_LOCK_ALONE, account_id)
        latest: datetime | None = self._execute(_LATEST, account_id).scalar_one()
        if latest is not None and latest > read_at:
            return False
        self._execute(_CLEAR, account_id)
        rows = json.dumps([_row(slot) for slot in slots], separators=(",", ":"))
        self._execute(_FILL, account_id, rows=rows, read_at=read_at)
        self._execute(_NOTE, account_id, read_at=read_at, last_read=last_read)
        return True

    def forget(self, account_id: UUID, slot_id: str) -> None:
        """Offer a slot no longer: it is booked, or turned out not to be open.

        Call it in the transaction that notes the booking's write: a reading under way leaves the slot out by that.
        """
        self._execute(_LOCK_SHARED, account_id)
        statement = sa.text("delete from ehr_open_slots where account_id = :account_id and external_id = :slot_id")
        self._execute(statement, account_id, slot_id=slot_id)

    def stale(self, account_id: UUID) -> None:
        """Have the slots read again at once; until then those that are known are offered."""
        self._execute(_LOCK_SHARED, account_id)
        self._execute(sa.text("update ehr_accounts set slots_read_at = null where id = :account_id"), account_id)

    def _execute(self, statement: sa.TextClause, account_id: UUID, **values: Any) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, {"account_id": account_id, **values})


def _row(slot: OpenSlot) -> dict[str, Any]:
    return {
        "id": slot.slot_id,
        "practitioner": slot.practitioner_id,
        "location": slot.location_id,
        "reasons": list(slot.reason_ids),
        "first": slot.starts_at.isoformat(),
        "last": slot.ends_at.isoformat(),
    }
