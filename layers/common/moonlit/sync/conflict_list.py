"""The conflicts that wait for people: visits of ours that the EHR's calendar contradicts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.db.paging import by_instant
from moonlit.db.tables import appointments, ehr_accounts, schedule_conflicts
from moonlit.web.models import Model


class ConflictAnswer(Model):
    """A visit of ours, and the row of an EHR that lies over it."""

    conflict_id: UUID
    appointment_id: UUID
    patient_id: UUID
    system: Literal["intakeq", "athena"]
    external_id: str
    created_at: datetime
    state: Literal["open", "resolved"]


class ConflictList(Model):
    """A page of conflicts, the oldest first."""

    items: list[ConflictAnswer]
    next_cursor: str | None

    def patient_ids(self) -> list[UUID]:
        """Return the patients whose visits are shown."""
        return sorted({item.patient_id for item in self.items})


def open_page(connection: sa.Connection, zone: ZoneInfo, *, limit: int, after: str | None) -> ConflictList:
    """Return a page of the open conflicts, instants in `zone`; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    at, key = schedule_conflicts.c.created_at, schedule_conflicts.c.id
    query = (
        sa.select(schedule_conflicts, ehr_accounts.c.system, appointments.c.patient_id)
        .join(appointments, appointments.c.id == schedule_conflicts.c.appointment_id)
        .join(ehr_accounts, ehr_accounts.c.id == schedule_conflicts.c.account_id)
        .where(schedule_conflicts.c.state == "open")
    )
    found = by_instant(connection, query, at, key, limit=limit, after=after)
    return ConflictList(items=[_answer(row, zone) for row in found.rows], next_cursor=found.next_cursor)


def _answer(row: sa.RowMapping, zone: ZoneInfo) -> ConflictAnswer:
    return ConflictAnswer(
        conflict_id=row["id"],
        appointment_id=row["appointment_id"],
        patient_id=row["patient_id"],
        system=row["system"],
        external_id=row["external_id"],
        created_at=row["created_at"].astimezone(zone),
        state=row["state"],
    )
