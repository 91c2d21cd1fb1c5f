"""The ledger of writes to the EHRs as staff see it: ids and codes, and nothing that anybody wrote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.db.days import between
from moonlit.db.paging import by_instant
from moonlit.db.tables import appointments, ehr_accounts, ehr_writes
from moonlit.web.models import Model

WriteKind = Literal["book", "cancel", "reschedule", "details"]
WriteState = Literal["waiting", "sending", "unknown", "confirmed", "failed", "watching"]


class WriteShown(Model):
    """A write as booking/ledger.py has it; `nextLookAt` is null when nobody looks at it again."""

    write_id: UUID
    appointment_id: UUID
    patient_id: UUID
    system: Literal["intakeq", "athena"]
    kind: WriteKind
    state: WriteState
    attempts: int
    looks: int
    last_error: str | None
    external_id: str | None
    created_at: datetime
    sent_at: datetime | None
    finished_at: datetime | None
    next_look_at: datetime | None


class WritePage(Model):
    """A page of writes, the newest first."""

    items: list[WriteShown]
    next_cursor: str | None

    def patient_ids(self) -> list[UUID]:
        """Return the patients who are shown."""
        return sorted({item.patient_id for item in self.items})


@dataclass(frozen=True, slots=True)
class WriteFilter:
    """Which writes: of a state, of a kind, and made on the practice's days `first` to `last`, each None for any."""

    state: str | None = None
    kind: str | None = None
    first: date | None = None
    last: date | None = None


_DONE = ("confirmed", "failed")
_TIMES = ("created_at", "sent_at", "finished_at", "next_look_at")
_COLUMNS = ("id", "appointment_id", "kind", "state", "attempts", "looks", "last_error", "external_id", *_TIMES)
_WRITES = (
    sa.select(*(ehr_writes.c[name] for name in _COLUMNS), appointments.c.patient_id, ehr_accounts.c.system)
    .join(appointments, appointments.c.id == ehr_writes.c.appointment_id)
    .join(ehr_accounts, ehr_accounts.c.id == ehr_writes.c.account_id)
)


def page(connection: sa.Connection, zone: ZoneInfo, wanted: WriteFilter, *, limit: int, after: str | None) -> WritePage:
    """Return a page of writes, instants in `zone`; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list, or the last day lies before the first.
    """
    made_at = ehr_writes.c.created_at
    query = _WRITES.where(*between(made_at, wanted.first, wanted.last, zone))
    if wanted.state:
        query = query.where(ehr_writes.c.state == wanted.state)
    if wanted.kind:
        query = query.where(ehr_writes.c.kind == wanted.kind)
    found = by_instant(connection, query, made_at, ehr_writes.c.id, limit=limit, after=after, newest_first=True)
    return WritePage(items=[_shown(row, zone) for row in found.rows], next_cursor=found.next_cursor)


def _shown(row: sa.RowMapping, zone: ZoneInfo) -> WriteShown:
    told: dict[str, Any] = {name: value for name, value in row.items() if name != "id"}
    told |= {name: told[name] and told[name].astimezone(zone) for name in _TIMES}
    if row["state"] in _DONE:
        told["next_look_at"] = None
    return WriteShown(write_id=row["id"], **told)
