"""Visits and idempotency keys: the only SQL for their tables on the booking side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range, insert

from moonlit.db.tables import (
    appointment_external_ids,
    appointments,
    ehr_accounts,
    idempotency_keys,
    locations,
    patients,
    payers,
    practice_settings,
    provider_athena_settings,
    provider_intakeq_settings,
    providers,
    rooms,
    services,
    time_claims,
)

_rendering = providers.alias("rendering")
_DETAILS = (
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


ACTIVE = ("pending", "scheduled", "confirmed")


@dataclass(frozen=True, slots=True)
class EhrSeat:
    """Where in the EHR a provider's visits are written; ids are the vendor's."""

    account_id: UUID
    practitioner_id: str
    location_id: str | None


@dataclass(frozen=True, slots=True)
class Room:
    """A room and where it is."""

    id: UUID
    location_id: UUID


@dataclass(frozen=True, slots=True)
class Replay:
    """What an idempotency key was used for before."""

    body_hash: str
    appointment_id: UUID


class Visits:
    """The visits as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def details(self, appointment_id: UUID) -> Mapping[str, Any] | None:
        """Return a visit's columns and the names around it; `zone` is the one to show its times in."""
        row = self._connection.execute(_DETAILS.where(appointments.c.id == appointment_id)).one_or_none()
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

    def key_used(self, key: str) -> Replay | None:
        """Return what the idempotency key stands for."""
        query = sa.select(idempotency_keys.c.body_hash, idempotency_keys.c.appointment_id).where(
            idempotency_keys.c.key == key
        )
        row = self._connection.execute(query).one_or_none()
        return Replay(*row) if row else None

    def claim_key(self, key: str, body_hash: str, appointment_id: UUID, now: datetime) -> bool:
        """Bind the key to the appointment; False when somebody was faster. Waits for an unfinished rival."""
        claimed = self._connection.execute(
            insert(idempotency_keys)
            .values(key=key, body_hash=body_hash, appointment_id=appointment_id, created_at=now)
            .on_conflict_do_nothing()
            .returning(idempotency_keys.c.key)
        )
        return claimed.one_or_none() is not None

    def seat(self, provider_id: UUID, system: str) -> EhrSeat | None:
        """Return where a provider's visits are written, None when the provider's settings are missing."""
        if system == "intakeq":
            settings, practitioner, place = provider_intakeq_settings, "practitioner_id", "location_id"
        else:
            settings, practitioner, place = provider_athena_settings, "athena_provider_id", "department_id"
        query = (
            sa.select(ehr_accounts.c.id, settings.c[practitioner], settings.c[place])
            .join(ehr_accounts, ehr_accounts.c.system == system)
            .where(settings.c.provider_id == provider_id)
        )
        row = self._connection.execute(query).one_or_none()
        return EhrSeat(*row) if row else None

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

    def free_room(self, location_id: UUID | None, start: datetime, end: datetime) -> Room | None:
        """Return the smallest active room (of the location) that nobody has claimed within [start, end)."""
        taken = sa.select(time_claims.c.resource_id).where(
            time_claims.c.resource_kind == "room", time_claims.c.span.op("&&")(Range(start, end))
        )
        query = sa.select(rooms.c.id, rooms.c.location_id).where(rooms.c.is_active, rooms.c.id.not_in(taken))
        if location_id:
            query = query.where(rooms.c.location_id == location_id)
        row = self._connection.execute(query.order_by(rooms.c.capacity, rooms.c.id).limit(1)).one_or_none()
        return Room(*row) if row else None
