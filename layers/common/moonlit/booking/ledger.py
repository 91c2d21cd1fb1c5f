"""The ledger of writes to the EHR: every one is a row before it is sent, and is finished or read back after it.

States: `waiting` (surely not sent; may be sent when `next_look_at` has come), `sending` (sent, or about to be),
`unknown` (sent, outcome not known: read back before anything else), `watching` (released here, but a late visit may
still land in the EHR), `confirmed` and `failed` (done).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.db.tables import appointment_external_ids, appointments, ehr_writes, schedule_conflicts

OPEN = ("waiting", "sending", "unknown")


@dataclass(frozen=True, slots=True)
class Write:
    """One write as the ledger has it; identifiers with `ehr_` or of clients and practitioners are the vendor's."""

    id: UUID
    account_id: UUID
    appointment_id: UUID
    state: str
    practitioner_id: str
    client_id: str | None
    ehr_service_id: str
    ehr_location_id: str | None
    starts_at: datetime
    attempts: int
    looks: int
    created_at: datetime
    sent_at: datetime | None
    next_look_at: datetime


_COLUMNS = [ehr_writes.c[name] for name in Write.__dataclass_fields__]


class Ledger:
    """The ledger as one transaction sees it. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def open(self, values: Mapping[str, Any]) -> None:
        """Add a write, named by the columns of `ehr_writes`."""
        self._connection.execute(sa.insert(ehr_writes).values(**values))

    def of_appointment(self, appointment_id: UUID) -> Write | None:
        """Return the appointment's newest write, locked for this transaction."""
        query = (
            sa.select(*_COLUMNS)
            .where(ehr_writes.c.appointment_id == appointment_id)
            .order_by(ehr_writes.c.created_at.desc())
            .limit(1)
            .with_for_update()
        )
        row = self._connection.execute(query).one_or_none()
        return Write(**row._mapping) if row else None  # noqa: SLF001  # SQLAlchemy's public name for a row's mapping.

    def due(self, now: datetime, limit: int) -> list[UUID]:
        """Return the appointments whose writes want a look now, the longest waiting first."""
        query = (
            sa.select(ehr_writes.c.appointment_id)
            .where(ehr_writes.c.state.in_((*OPEN, "watching")), ehr_writes.c.next_look_at <= now)
            .order_by(ehr_writes.c.next_look_at, ehr_writes.c.id)
            .limit(limit)
        )
        return list(self._connection.execute(query).scalars())

    def set(self, write_id: UUID, **values: Any) -> None:
        """Change columns of a write."""
        self._connection.execute(sa.update(ehr_writes).where(ehr_writes.c.id == write_id).values(**values))

    def unfinished(self, account_id: UUID) -> list[Write]:
        """Return the bookings that were sent and not answered for: a visit that sync finds may be one of them.

        It is when practitioner, client and start agree.
        """
        query = (
            sa.select(*_COLUMNS)
            .where(
                ehr_writes.c.account_id == account_id,
                ehr_writes.c.kind == "book",
                ehr_writes.c.state.in_(("sending", "unknown")),
            )
            .order_by(ehr_writes.c.id)
        )
        return [Write(**row._mapping) for row in self._connection.execute(query)]  # noqa: SLF001

    def ids_of_others(self, write: Write, external_ids: Collection[str]) -> frozenset[str]:
        """Return those of the EHR's ids that belong to other visits which were booked here."""
        query = (
            sa.select(appointment_external_ids.c.external_id)
            .join(ehr_writes, ehr_writes.c.appointment_id == appointment_external_ids.c.appointment_id)
            .where(
                appointment_external_ids.c.account_id == write.account_id,
                appointment_external_ids.c.external_id.in_(external_ids),
                appointment_external_ids.c.appointment_id != write.appointment_id,
            )
        )
        return frozenset(self._connection.execute(query).scalars())

    def confirm(self, write: Write, external_id: str, now: datetime, **visit: Any) -> None:
        """Finish a booking: the visit is confirmed and carries the EHR's id. Harmless when done already.

        Call it under the locks of the visit's persons. When sync brought the visit in before anybody knew that it was
        ours, its row gives way to ours, which the patient holds a token for.

        Args:
            write: The booking's write.
            external_id: The visit's id in the EHR.
            now: The current instant.
            visit: Further columns of `appointments` that the EHR told.
        """
        stranger: UUID | None = self._connection.execute(
            insert(appointment_external_ids)
            .values(account_id=write.account_id, external_id=external_id, appointment_id=write.appointment_id)
            .on_conflict_do_update(
                index_elements=["account_id", "external_id"],
                # What sync has applied, it applied to the stranger: let it look at the row again.
                set_={"appointment_id": write.appointment_id, "applied_hash": None},
            )
            .returning(sa.literal_column("old.appointment_id"))
        ).scalar_one()
        if stranger not in (None, write.appointment_id):
            self._connection.execute(
                sa.delete(schedule_conflicts).where(
                    sa.or_(
                        schedule_conflicts.c.appointment_id == stranger,
                        sa.and_(
                            schedule_conflicts.c.appointment_id == write.appointment_id,
                            schedule_conflicts.c.external_id == external_id,
                        ),
                    )
                )
            )
            self._connection.execute(sa.delete(appointments).where(appointments.c.id == stranger))
        self._connection.execute(
            sa.update(appointments)
            .where(appointments.c.id == write.appointment_id)
            .values(status="confirmed", status_reason=None, updated_at=now, **visit)
        )
        self.set(write.id, state="confirmed", external_id=external_id, finished_at=now, last_error=None)
