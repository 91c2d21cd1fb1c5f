"""The ledger of writes to the EHR: every one is a row before it is sent, and is finished or read back after it.

Kinds: `book` a visit (with a `move` when it takes the place of one elsewhere), `reschedule` it, `cancel` it, and set
the `details` that a booking cannot carry.

States: `waiting` (surely not sent; may be sent when `next_look_at` has come), `sending` (sent, or about to be),
`unknown` (sent, outcome not known: read back before anything else), `watching` (released here, but a late visit may
still land in the EHR), `confirmed` and `failed` (done).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.booking.moves import Record
from moonlit.db.tables import appointment_external_ids, appointments, ehr_accounts, ehr_writes, schedule_conflicts

OPEN = ("waiting", "sending", "unknown")
CLOSED = ("confirmed", "failed", "watching")


@dataclass(frozen=True, slots=True)
class Write:
    """One write as the ledger has it; identifiers with `ehr_` or of clients, practitioners and slots are the vendor's.

    Attributes:
        system: Which EHR the account is of.
        starts_at: Of the visit as the write wants it.
        external_id: What a booking made; the others are about it.
        move: Where a visit was before that is moved.
        reason: Of a cancellation.
        last_error: A code.
    """

    id: UUID
    account_id: UUID
    appointment_id: UUID
    kind: str
    state: str
    practitioner_id: str | None
    client_id: str | None
    ehr_service_id: str | None
    ehr_location_id: str | None
    slot_id: str | None
    starts_at: datetime
    external_id: str | None
    move: Record | None
    reason: str | None
    last_error: str | None
    attempts: int
    looks: int
    created_at: datetime
    sent_at: datetime | None
    next_look_at: datetime
    system: str


_COLUMNS = [*(ehr_writes.c[name] for name in Write.__dataclass_fields__ if name != "system"), ehr_accounts.c.system]
_WRITES = sa.select(*_COLUMNS).join(ehr_accounts, ehr_accounts.c.id == ehr_writes.c.account_id)


class Ledger:
    """The ledger as one transaction sees it. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def open(self, appointment_id: UUID, kind: str, now: datetime, **values: Any) -> UUID:
        """Add a write that is due at once, named by the columns of `ehr_writes`, and return its id."""
        write_id = uuid4()
        if values.get("move"):
            values["move"] = values["move"].as_json()
        self._connection.execute(
            sa.insert(ehr_writes).values(
                **{"next_look_at": now, "state": "waiting"} | values,
                id=write_id,
                appointment_id=appointment_id,
                kind=kind,
                created_at=now,
            )
        )
        return write_id

    def get(self, write_id: UUID) -> Write:
        """Return a write, locked for this transaction."""
        query = _WRITES.where(ehr_writes.c.id == write_id).with_for_update(of=ehr_writes)
        return _write(self._connection.execute(query).one())

    def look(self, write_id: UUID) -> Write:
        """Return a write without waiting for who has it locked."""
        return _write(self._connection.execute(_WRITES.where(ehr_writes.c.id == write_id)).one())

    def of_appointment(self, appointment_id: UUID) -> Write | None:
        """Return the newest write that decides where the visit is."""
        query = (
            _WRITES.where(ehr_writes.c.appointment_id == appointment_id, ehr_writes.c.kind != "details")
            .order_by(ehr_writes.c.created_at.desc(), ehr_writes.c.id)
            .limit(1)
        )
        row = self._connection.execute(query).one_or_none()
        return _write(row) if row else None

    def open_writes(self, appointment_id: UUID) -> list[Write]:
        """Return what is not finished of a visit, the oldest first, locked for this transaction."""
        query = (
            _WRITES.where(ehr_writes.c.appointment_id == appointment_id, ehr_writes.c.state.in_(OPEN))
            .order_by(ehr_writes.c.created_at, ehr_writes.c.id)
            .with_for_update(of=ehr_writes)
        )
        return [_write(row) for row in self._connection.execute(query)]

    def is_changing(self, appointment_id: UUID) -> bool:
        """Tell whether the EHR has not answered yet to a change of where the visit is; without waiting for anybody."""
        changing = sa.exists().where(
            ehr_writes.c.appointment_id == appointment_id,
            ehr_writes.c.state.in_(OPEN),
            ehr_writes.c.kind != "details",
        )
        return bool(self._connection.execute(sa.select(changing)).scalar_one())

    def due(self, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
        """Return the writes that want a look now with their EHR accounts, the longest waiting first."""
        query = (
            sa.select(ehr_writes.c.id, ehr_writes.c.account_id)
            .where(ehr_writes.c.state.in_((*OPEN, "watching")), ehr_writes.c.next_look_at <= now)
            .order_by(ehr_writes.c.next_look_at, ehr_writes.c.id)
            .limit(limit)
        )
        return [(write_id, account_id) for write_id, account_id in self._connection.execute(query)]

    def at_risk(self, since: datetime, before: datetime, long_since: datetime) -> Sequence[Write]:
        """Return what staff should know of, because the EHR does not have it.

        Args:
            since: Bookings and moves that have not been written since then,
            before: although the visit starts before this instant, or before their next turn.
            long_since: Cancellations and details that have not been written since then.
        """
        soon = sa.or_(ehr_writes.c.starts_at < before, ehr_writes.c.next_look_at >= ehr_writes.c.starts_at)
        takes_time = ehr_writes.c.kind.in_(("book", "reschedule"))
        query = _WRITES.where(
            ehr_writes.c.state.in_(OPEN),
            sa.or_(
                sa.and_(takes_time, ehr_writes.c.created_at <= since, soon),
                sa.and_(~takes_time, ehr_writes.c.created_at <= long_since),
            ),
        )
        return [_write(row) for row in self._connection.execute(query.order_by(ehr_writes.c.id))]

    def set(self, write_id: UUID, **values: Any) -> None:
        """Change columns of a write."""
        self._connection.execute(sa.update(ehr_writes).where(ehr_writes.c.id == write_id).values(**values))

    def set_sending(self, write_id: UUID, client_id: str | None, now: datetime, **values: Any) -> None:
        """Note that the write is about to be sent, and change further columns."""
        self.set(write_id, state="sending", client_id=client_id, sent_at=now, next_look_at=now, looks=0, **values)

    def unfinished(self, account_id: UUID) -> list[Write]:
        """Return the bookings that were sent and not answered for: a visit that sync finds may be one of them.

        It is when practitioner, client and start agree.
        """
        query = _WRITES.where(
            ehr_writes.c.account_id == account_id,
            ehr_writes.c.kind == "book",
            ehr_writes.c.state.in_(("sending", "unknown")),
        )
        return [_write(row) for row in self._connection.execute(query.order_by(ehr_writes.c.id))]

    def ids_of_others(self, write: Write, external_ids: Collection[str]) -> frozenset[str]:
        """Return those of the EHR's ids that are known as visits which were booked here, its own earlier ones too."""
        query = (
            sa.select(appointment_external_ids.c.external_id)
            .join(ehr_writes, ehr_writes.c.appointment_id == appointment_external_ids.c.appointment_id)
            .where(
                appointment_external_ids.c.account_id == write.account_id,
                appointment_external_ids.c.external_id.in_(external_ids),
            )
        )
        return frozenset(self._connection.execute(query).scalars())

    def own_id(self, write: Write, external_id: str) -> None:
        """Let the visit have this id in the EHR from now on; ids that it had before stay known as its own.

        When sync brought the visit in before anybody knew that it was ours, its row gives way to ours, which the
        patient holds a token for. Call it under the locks of the visit's persons.
        """
        ids = appointment_external_ids.c
        self._connection.execute(
            sa.update(appointment_external_ids)
            .where(ids.appointment_id == write.appointment_id, ids.is_current, ids.external_id != external_id)
            .values(is_current=False)
        )
        stranger: UUID | None = self._connection.execute(
            insert(appointment_external_ids)
            .values(account_id=write.account_id, external_id=external_id, appointment_id=write.appointment_id)
            .on_conflict_do_update(
                index_elements=["account_id", "external_id"],
                # What sync has applied, it applied to the stranger: let it look at the row again.
                set_={"appointment_id": write.appointment_id, "applied_hash": None, "is_current": True},
            )
            .returning(sa.literal_column("old.appointment_id"))
        ).scalar_one()
        if stranger not in (None, write.appointment_id):
            self._forget_stranger(write, external_id, stranger)

    def note_version(self, write: Write, modified_at: datetime) -> None:
        """Note how new the visit is in the EHR, unless it has another id there by now: of that this says nothing."""
        ids = appointment_external_ids.c
        current = sa.exists().where(
            ids.appointment_id == appointments.c.id,
            ids.account_id == write.account_id,
            ids.external_id == write.external_id,
            ids.is_current,
        )
        self._connection.execute(
            sa.update(appointments)
            .where(appointments.c.id == write.appointment_id, current)
            .values(ehr_modified_at=modified_at)
        )

    def _forget_stranger(self, write: Write, external_id: str, stranger: UUID | None) -> None:
        conflicts = schedule_conflicts.c
        about_it = sa.and_(conflicts.appointment_id == write.appointment_id, conflicts.external_id == external_id)
        self._connection.execute(
            sa.delete(schedule_conflicts).where(sa.or_(conflicts.appointment_id == stranger, about_it))
        )
        self._connection.execute(sa.delete(appointments).where(appointments.c.id == stranger))


def _write(row: Sequence[Any]) -> Write:
    write = Write(*row)
    stored: Any = write.move
    return replace(write, move=Record.of_json(stored)) if stored else write
