"""The visits as staff see them, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.booking.answers import AppointmentAnswer, ContactBody, appointment
from moonlit.booking.store import DETAILS
from moonlit.db.days import between
from moonlit.db.paging import by_instant
from moonlit.db.tables import appointments, patients
from moonlit.web.models import Model, Named


class StaffAppointment(AppointmentAnswer):
    """A visit with what only staff are told: whose it is, who may be told of it, and why it is as it is."""

    patient: Named
    roi_contacts: list[ContactBody]
    status_reason: str | None


class StaffAppointments(Model):
    """A page of visits, by their start."""

    items: list[StaffAppointment]
    next_cursor: str | None

    def patient_ids(self) -> list[UUID]:
        """Return the patients who are shown."""
        return sorted({item.patient.id for item in self.items})


@dataclass(frozen=True, slots=True)
class Filter:
    """Which visits: those that start on the practice's days `first` to `last`, each None for any; and so on."""

    first: date | None = None
    last: date | None = None
    provider_id: UUID | None = None
    patient_id: UUID | None = None
    status: str | None = None

    def conditions(self, zone: ZoneInfo) -> list[sa.ColumnElement[bool]]:
        """Return the filter in SQL; either of a visit's two providers counts.

        Raises:
            RequestValidationError: The days are the wrong way round.
        """
        either = sa.or_(
            appointments.c.provider_id == self.provider_id, appointments.c.rendering_provider_id == self.provider_id
        )
        wanted = [
            (self.provider_id, either),
            (self.patient_id, appointments.c.patient_id == self.patient_id),
            (self.status, appointments.c.status == self.status),
        ]
        days = between(appointments.c.start, self.first, self.last, zone)
        return [*days, *(condition for value, condition in wanted if value is not None)]


def page(
    connection: sa.Connection, zone: ZoneInfo, now: datetime, wanted: Filter, *, limit: int, after: str | None
) -> StaffAppointments:
    """Return a page of visits; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    name = sa.func.concat_ws(" ", patients.c.first_name, patients.c.last_name).label("patient_name")
    query = DETAILS.add_columns(name).where(*wanted.conditions(zone))
    found = by_instant(connection, query, appointments.c.start, appointments.c.id, limit=limit, after=after)
    return StaffAppointments(items=[_shown(dict(row), now) for row in found.rows], next_cursor=found.next_cursor)


def _shown(row: Mapping[str, Any], now: datetime) -> StaffAppointment:
    return StaffAppointment(
        **appointment(row, now).model_dump(by_alias=False),
        patient=Named(id=row["patient_id"], name=row["patient_name"]),
        roi_contacts=[ContactBody(**contact) for contact in row["roi_contacts"]],
        status_reason=row["status_reason"],
    )
