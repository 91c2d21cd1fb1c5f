"""Visits and idempotency keys: the only SQL for their tables on the booking side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range, insert

from moonlit.availability.store import Own
from moonlit.booking.wanted import Key, Overrule
from moonlit.db.tables import (
    appointment_external_ids,
    appointments,
    ehr_accounts,
    ehr_appointments,
    idempotency_keys,
    locations,
    patient_activity_log,
    patients,
    payer_athena_settings,
    payers,
    practice_settings,
    provider_athena_settings,
    provider_intakeq_settings,
    providers,
    rooms,
    services,
    time_claims,
)
from moonlit.ehr.port import Membership, VisitDetails
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

    def key_used(self, key: str, *, besides: UUID | None = None) -> Replay | None:
        """Return what the idempotency key stands for, unless that is the visit `besides`."""
        query = sa.select(idempotency_keys.c.body_hash, idempotency_keys.c.appointment_id).where(
            idempotency_keys.c.key == key, idempotency_keys.c.appointment_id.is_distinct_from(besides)
        )
        row = self._connection.execute(query).one_or_none()
        return Replay(*row) if row else None

    def claim_key(self, key: Key, appointment_id: UUID, now: datetime, *, instead_of: UUID | None = None) -> bool:
        """Bind the key to the appointment; False when somebody was faster. Waits for an unfinished rival.

        Args:
            key: The caller's.
            appointment_id: What it stands for from now on.
            now: The current instant.
            instead_of: A visit that came to nothing, whose key may be taken over.
        """
        values = {"key": key.value, "body_hash": key.body_hash, "appointment_id": appointment_id, "created_at": now}
        claimed = insert(idempotency_keys).values(values)
        claimed = claimed.on_conflict_do_update(
            index_elements=["key"],
            set_={"appointment_id": appointment_id},
            where=idempotency_keys.c.appointment_id == instead_of,
        )
        return self._connection.execute(claimed.returning(idempotency_keys.c.key)).one_or_none() is not None

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

    def ehr_details(self, appointment_id: UUID) -> VisitDetails | None:
        """Return what the EHR takes only after the booking, None when the visit will not be."""
        attending, package = provider_athena_settings.c, payer_athena_settings.c
        query = (
            sa.select(attending.athena_provider_id, package.insurance_package_id, appointments.c.insurance)
            .select_from(appointments)
            .outerjoin(provider_athena_settings, attending.provider_id == appointments.c.rendering_provider_id)
            .outerjoin(payer_athena_settings, package.payer_id == appointments.c.payer_id)
            .where(appointments.c.id == appointment_id, appointments.c.status.in_(ACTIVE))
        )
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return None
        attending_id, package_id, card = row
        membership = Membership(package_id, card["member_id"], card["group_number"]) if card else None
        return VisitDetails(supervising_id=attending_id, rendering_id=attending_id, membership=membership)

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

    def free_room(self, location_id: UUID | None, start: datetime, end: datetime, own: Own) -> Room | None:
        """Return the smallest active room (of the location) that nobody else has claimed within [start, end)."""
        taken = sa.select(time_claims.c.resource_id).where(
            time_claims.c.resource_kind == "room",
            time_claims.c.span.op("&&")(Range(start, end)),
            time_claims.c.hold_id.is_distinct_from(own.hold_id) if own.hold_id else sa.true(),
            time_claims.c.appointment_id.is_distinct_from(own.appointment_id) if own.appointment_id else sa.true(),
        )
        query = sa.select(rooms.c.id, rooms.c.location_id).where(rooms.c.is_active, rooms.c.id.not_in(taken))
        if location_id:
            query = query.where(rooms.c.location_id == location_id)
        row = self._connection.execute(query.order_by(rooms.c.capacity, rooms.c.id).limit(1)).one_or_none()
        return Room(*row) if row else None
