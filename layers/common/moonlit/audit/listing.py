"""The audit log as staff read it, the newest lines first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import JsonValue, StringConstraints

from moonlit.db.days import between
from moonlit.db.paging import by_instant
from moonlit.db.tables import audit_log, partner_users, staff_users
from moonlit.web.models import Model

_ID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ActorReference = Annotated[str, StringConstraints(pattern=rf"^(system|((staff|partner|calendar):)?{_ID})$")]
"""Somebody by their id, alone or with their kind before it, such as `staff:<id>`; or `system`."""


class ActorShown(Model):
    """Who did it; `name` is that of today, null for `system` and for who is not there any more."""

    kind: Literal["staff", "partner", "calendar", "system"]
    id: UUID | None
    name: str | None
    organization_id: UUID | None


class AuditLine(Model):
    """A change, a look at patients, or a refusal."""

    id: UUID
    at: datetime
    actor: ActorShown
    action: str
    entity: str
    entity_id: str | None
    patient_ids: list[UUID]
    before: dict[str, JsonValue] | None
    after: dict[str, JsonValue] | None
    request_id: str | None


class AuditPage(Model):
    """A page of the audit log, the newest first."""

    items: list[AuditLine]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which lines, each None for any; `first` and `last` are days of the practice, `patient_id` is who was shown."""

    entity: str | None = None
    entity_id: str | None = None
    actor: str | None = None
    action: str | None = None
    first: date | None = None
    last: date | None = None
    patient_id: UUID | None = None

    def conditions(self, zone: ZoneInfo) -> list[sa.ColumnElement[bool]]:
        """Return the filter in SQL."""
        wanted = [
            (self.entity, audit_log.c.entity == self.entity),
            (self.entity_id, audit_log.c.entity_id == self.entity_id),
            (self.action, audit_log.c.action == self.action),
            (self.patient_id, audit_log.c.id == sa.any_(sa.func.array(self._looks()))),
        ]
        equal = [condition for value, condition in wanted if value is not None]
        return [*equal, *self._by(), *between(audit_log.c.at, self.first, self.last, zone)]

    def _looks(self) -> sa.ScalarSelect[Any]:
        """Return the lines that show the patient, all found first: read by their time, few among many are far apart."""
        shown = audit_log.alias()
        is_among = shown.c.patient_ids.op("@>")(sa.literal([self.patient_id], shown.c.patient_ids.type))
        return sa.select(shown.c.id).where(is_among).scalar_subquery()

    def _by(self) -> list[sa.ColumnElement[bool]]:
        if self.actor is None:
            return []
        if self.actor == "system":
            return [audit_log.c.actor_id.is_(None), audit_log.c.actor_kind == "system"]
        kind, _, actor_id = self.actor.rpartition(":")
        by = audit_log.c.actor_id == UUID(actor_id)
        return [by, audit_log.c.actor_kind == kind] if kind else [by]


def page(connection: sa.Connection, zone: ZoneInfo, wanted: AuditFilter, *, limit: int, after: str | None) -> AuditPage:
    """Return a page of lines, instants in `zone`; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list, or the last day lies before the first.
    """
    query = sa.select(audit_log).where(*wanted.conditions(zone))
    found = by_instant(connection, query, audit_log.c.at, audit_log.c.id, limit=limit, after=after, newest_first=True)
    names = _names(connection, found.rows)
    return AuditPage(items=[_shown(row, names, zone) for row in found.rows], next_cursor=found.next_cursor)


def _names(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> dict[tuple[bool, UUID], str]:
    """Return the names of those who are still there, by whether they are staff and their id."""
    ids = {row["actor_id"] for row in rows if row["actor_id"]}
    kinds = [(True, staff_users), (False, partner_users)]
    one, other = (
        sa.select(sa.literal(is_staff), table.c.id, table.c.name).where(table.c.id.in_(ids))
        for is_staff, table in kinds
    )
    return {(is_staff, user_id): name for is_staff, user_id, name in connection.execute(one.union_all(other))}


def _shown(row: sa.RowMapping, names: Mapping[tuple[bool, UUID], str], zone: ZoneInfo) -> AuditLine:
    told: dict[str, Any] = {name: row[name] for name in AuditLine.model_fields if name in row}
    actor = ActorShown(
        kind=row["actor_kind"],
        id=row["actor_id"],
        name=names.get((row["actor_kind"] == "staff", row["actor_id"])),
        organization_id=row["organization_id"],
    )
    return AuditLine(**told | {"at": row["at"].astimezone(zone), "actor": actor})
