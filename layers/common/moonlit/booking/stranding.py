"""Future visits that a change of contracts, supervision, hours or providers would leave without ground.

Who changes one of those is shown first whom it would hit. Nothing is cancelled here: that is for people to decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.booking.store import ACTIVE
from moonlit.db.tables import appointments, practice_settings
from moonlit.web.models import Model

type Reason = Literal[
    "no_contract", "provider_inactive", "not_licensed_in_state", "outside_hours", "time_off", "no_service_mapping"
]
MOST_SHOWN = 200


class StrandedVisit(Model):
    """A visit to come that was in order and would not be any more, by ids alone."""

    appointment_id: UUID
    patient_id: UUID
    provider_id: UUID
    payer_id: UUID | None
    start: datetime
    reason: Reason


class Stranded(Model):
    """The visits that a change would strand, the next ones first; `total` counts those beyond the first 200 too."""

    total: int
    items: list[StrandedVisit]

    def patient_ids(self) -> list[UUID]:
        """Return the patients who are shown."""
        return sorted({item.patient_id for item in self.items})


@dataclass(frozen=True, slots=True)
class FutureVisit:
    """An active visit that has not begun; instants are of the practice's zone."""

    id: UUID
    patient_id: UUID
    provider_id: UUID
    rendering_provider_id: UUID | None
    co_visit: bool
    payer_id: UUID | None
    location_id: UUID | None
    start: datetime
    end: datetime
    modality: str | None
    patient_state: str | None

    def stranded(self, reason: Reason) -> StrandedVisit:
        """Return it as an answer shows it."""
        return StrandedVisit(
            appointment_id=self.id,
            patient_id=self.patient_id,
            provider_id=self.provider_id,
            payer_id=self.payer_id,
            start=self.start,
            reason=reason,
        )


def future_visits(
    connection: sa.Connection,
    now: datetime,
    *,
    payer_ids: Collection[UUID] | None = None,
    provider_ids: Collection[UUID] | None = None,
) -> list[FutureVisit]:
    """Return the active visits that begin after `now`, by their start: of these payers, and of these providers.

    None stands for all. A provider's visits are those that they give, render or join; visits without a provider are
    nobody's.
    """
    columns = [appointments.c[name] for name in FutureVisit.__dataclass_fields__]
    zone = ZoneInfo(connection.execute(sa.select(practice_settings.c.timezone)).scalar_one())
    query = (
        sa.select(*columns)
        .where(appointments.c.start > now, appointments.c.status.in_(ACTIVE), appointments.c.provider_id.is_not(None))
        .order_by(appointments.c.start, appointments.c.id)
    )
    if payer_ids is not None:
        query = query.where(appointments.c.payer_id.in_(payer_ids))
    if provider_ids is not None:
        given = appointments.c.provider_id.in_(provider_ids)
        query = query.where(sa.or_(given, appointments.c.rendering_provider_id.in_(provider_ids)))
    return [
        FutureVisit(**{**row, "start": row["start"].astimezone(zone), "end": row["end"].astimezone(zone)})
        for row in connection.execute(query).mappings()
    ]


def stranded(found: Iterable[StrandedVisit]) -> Stranded:
    """Return what an answer tells of these visits, which come by their start."""
    every = list(found)
    return Stranded(total=len(every), items=every[:MOST_SHOWN])
