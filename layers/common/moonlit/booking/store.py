"""Visits and idempotency keys: the only SQL for their tables on the booking side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.booking.wanted import Overrule
from moonlit.db.tables import (
    appointment_external_ids,
    appointments,
    ehr_accounts,
    ehr_appointments,
    locations,
    patient_activity_log,
    patients,
    payers,
    practice_settings,
    providers,
    rooms,
    services,
)
from moonlit.errors import NotFound

_rendering = providers.alias("rendering")
DETAILS = (
    sa.select(
        appointments,
        providers.c.name.label("provider_name"),
        _rendering.c.name.label("rendering_provider_name"),
        services.c.name.label("service_name"),
        services.c.duration_minutes,
        payers.c.name.label("payer_name"),
        rooms.c.room_name,
        locations.c.name.label("location_name"),
        appointment_external_ids.c.external_id,
        sa.func.coalesce(appointments.c.timezone, patients.c.timezone, practice_settings.c.timezone).label("zone"),
    )
    .select_from(appointments)
    .join(patients, patients.c.id == appointments.c.patient_id)
    .join(practice_settings, sa.true())
    .outerjoin(providers, providers.c.id == appointments.c.provider_id)
    .outerjoin(_rendering, _rendering.c.id == appointments.c.rendering_provider_id)
    .outerjoin(services, services.c.id == appointments.c.service_id)
    .outerjoin(payers, payers.c.id == appointments.c.payer_id)
    .outerjoin(rooms, rooms.c.id == appointments.c.room_id)
    .outerjoin(locations, locations.c.id == appointments.c.location_id)
    .outerjoin(
        appointment_external_ids,
        sa.and_(appointment_external_ids.c.appointment_id == appointments.c.id, appointment_external_ids.c.is_current),
    )
)


# Where the visit is now: while it moves to another EHR, it is shown there already.
_where = sa.func.coalesce(ehr_accounts.c.system, appointments.c.system)
_KEPT = (
    sa.select(
        *appointments.c,
        appointment_external_ids.c.account_id,
        appointment_external_ids.c.external_id,
        sa.func.coalesce(
            ehr_appointments.c.client_id,
            sa.case((_where == "athena", patients.c.athena_patient_id), else_=patients.c.intakeq_client_id),
        ).label("client_id"),
        sa.func.coalesce(appointments.c.patient_state, patients.c.state).label("state"),
    )
    .join(patients, patients.c.id == appointments.c.patient_id)
    .outerjoin(
        appointment_external_ids,
        sa.and_(appointment_external_ids.c.appointment_id == appointments.c.id, appointment_external_ids.c.is_current),
    )
    .outerjoin(ehr_accounts, ehr_accounts.c.id == appointment_external_ids.c.account_id)
    .outerjoin(
        ehr_appointments,
        sa.and_(
            ehr_appointments.c.account_id == appointment_external_ids.c.account_id,
            ehr_appointments.c.external_id == appointment_external_ids.c.external_id,
        ),
    )
)


ACTIVE = ("pending", "scheduled", "confirmed")


@dataclass(frozen=True, slots=True)
class Kept:
    """A visit that somebody wants to change, and its id in the EHR, None when it is not there.

    `columns` are those of `appointments`.
    """

    columns: Mapping[str, Any]
    account_id: UUID | None
    external_id: str | None
    client_id: str | None

    def __getitem__(self, column: str) -> Any:
        return self.columns[column]

    def where(self) -> tuple[Any, ...]:
        """Return what tells whether somebody else has changed the visit since."""
        return (self["start"], self["status"], self["provider_id"], self.account_id, self.external_id)


class Visits:
    """The visits as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def details(self, appointment_id: UUID) -> Mapping[str, Any] | None:
        """Return a visit's columns and the names around it; `zone` is the one to show its times in."""
        row = self._connection.execute(DETAILS.where(appointments.c.id == appointment_id)).one_or_none()
        return dict(row._mapping) if row else None  # noqa: SLF001  # SQLAlchemy's public name for it.

    def add(self, values: Mapping[str, Any]) -> None:
        """Store a visit, named by the columns of `appointments`."""
        self._connection.execute(sa.insert(appointments).values(**values))

    def set(self, appointment_id: UUID, **values: Any) -> None:
        """Change columns of a visit."""
        self._connection.execute(sa.update(appointments).where(appointments.c.id == appointment_id).values(**values))

    def persons(self, appointment_id: UUID) -> list[UUID]:
        """Return the humans whose time the visit takes, rendering provider included."""
        query = (
            sa.select(providers.c.person_id)
            .join(
                appointments,
                sa.or_(
                    providers.c.id == appointments.c.provider_id,
                    providers.c.id == appointments.c.rendering_provider_id,
                ),
            )
            .where(appointments.c.id == appointment_id)
        )
        return list(self._connection.execute(query).scalars())

    def confirm(self, appointment_id: UUID, now: datetime, **values: Any) -> bool:
        """Confirm a visit and change further columns; False when it was cancelled here: then it stays so."""
        confirmed = self._connection.execute(
            sa.update(appointments)
            .where(appointments.c.id == appointment_id, appointments.c.status != "cancelled")
            .values(status="confirmed", status_reason=None, updated_at=now, **values)
        )
        return confirmed.rowcount > 0

    def status(self, appointment_id: UUID) -> str:
        """Return the stored status of a visit that exists."""
        query = sa.select(appointments.c.status).where(appointments.c.id == appointment_id)
        return str(self._connection.execute(query).scalar_one())

    def end(self, appointment_id: UUID) -> datetime | None:
        """Return when the visit ends, None when there is none."""
        query = sa.select(appointments.c.end).where(appointments.c.id == appointment_id)
        end: datetime | None = self._connection.execute(query).scalar_one_or_none()
        return end

    def count_up(self, appointment_id: UUID, **values: Any) -> None:
        """Change columns of a visit in a way that calendars have to see: its sequence rises."""
        self.set(appointment_id, sequence=appointments.c.sequence + 1, **values)

    def settings(self) -> Mapping[str, Any]:
        """Return the practice's own rules."""
        return dict(self._connection.execute(sa.select(practice_settings.c.settings)).scalar_one())

    def seen(self, appointment_id: UUID) -> Kept:
        """Return a visit as it is, without waiting for who changes it.

        Raises:
            NotFound: There is no such visit.
        """
        visit = self._kept(_KEPT.where(appointments.c.id == appointment_id))
        if visit is None:
            raise NotFound("no such visit")
        return visit

    def kept(self, appointment_id: UUID) -> Kept | None:
        """Return a visit that is to be changed, locked for this transaction."""
        return self._kept(_KEPT.where(appointments.c.id == appointment_id).with_for_update(of=appointments))

    def _kept(self, query: sa.Select[Any]) -> Kept | None:
        row = self._connection.execute(query).mappings().one_or_none()
        return Kept(dict(row), row["account_id"], row["external_id"], row["client_id"]) if row else None

    def note_overrule(self, patient_id: UUID, appointment_id: UUID, overrule: Overrule, now: datetime) -> None:
        """Add to the patient's timeline who let them have two visits at once, and why."""
        details = {"appointmentId": str(appointment_id), "reason": overrule.reason}
        self._connection.execute(
            sa.insert(patient_activity_log).values(
                id=uuid4(),
                patient_id=patient_id,
                at=now,
                kind="overlap_overruled",
                actor=f"staff:{overrule.staff_id}",
                details=details,
            )
        )

    def visits_on(self, provider_ids: Collection[UUID], moment: datetime) -> dict[UUID, int]:
        """Return how many active visits each provider has on the day of `moment`, in its zone; none: left out."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        query = (
            sa.select(appointments.c.provider_id, sa.func.count().label("visits"))
            .where(
                appointments.c.provider_id.in_(provider_ids),
                appointments.c.status.in_(ACTIVE),
                appointments.c.start >= midnight,
                appointments.c.start < midnight + timedelta(days=1),
            )
            .group_by(appointments.c.provider_id)
        )
        return {row.provider_id: row.visits for row in self._connection.execute(query)}
