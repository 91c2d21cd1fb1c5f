"""Where visits take place: seats and slots in the EHRs, and rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range

from moonlit.availability.store import Own
from moonlit.booking.store import ACTIVE
from moonlit.db.tables import (
    appointments,
    ehr_accounts,
    payer_athena_settings,
    provider_athena_settings,
    provider_intakeq_settings,
    providers,
    rooms,
    time_claims,
)
from moonlit.ehr.port import Membership, VisitDetails


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


class Places:
    """The places as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def seat(self, provider_id: UUID, system: str, humans: Mapping[UUID, UUID]) -> EhrSeat | None:
        """Return where a provider's visits are written, None when the provider's settings are missing.

        None also when somebody of `humans`, by provider, has stopped or turned out to be another since it was looked up
        whose time is to be claimed.
        """
        as_known = sa.tuple_(providers.c.id, providers.c.person_id).in_(list(humans.items()))
        still = sa.select(sa.func.count()).where(as_known, providers.c.active)
        if system == "intakeq":
            settings, practitioner, place = provider_intakeq_settings, "practitioner_id", "location_id"
        else:
            settings, practitioner, place = provider_athena_settings, "athena_provider_id", "department_id"
        query = (
            sa.select(ehr_accounts.c.id, settings.c[practitioner], settings.c[place])
            .join(ehr_accounts, ehr_accounts.c.system == system)
            .where(settings.c.provider_id == provider_id, still.scalar_subquery() == len(humans))
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
