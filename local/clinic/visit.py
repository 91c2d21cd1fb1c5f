"""A visit of a clinic file."""

from __future__ import annotations

from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, model_validator

from local.clinic.row import STRICT, Row
from local.clinic.values import Ehr, Instant, Name, Text


class LocationInfo(BaseModel):
    """Where a visit takes place, as the EHR says it."""

    model_config = STRICT
    name: Text | None
    place_of_service: Text | None
    kind: Literal["telehealth", "office", "home"] | None


class Appointment(Row):
    """A visit. Its status is what the API shows: `completed` stands for a confirmed one that is over."""

    id: UUID
    patient_id: UUID
    provider_id: UUID | None
    payer_id: UUID | None = None
    service_instance_id: UUID | None = None
    start: Instant
    end: Instant
    status: Literal["pending", "scheduled", "confirmed", "completed", "cancelled", "declined", "no_show", "failed"]
    system: Ehr
    external_id: Name | None
    meeting_url: Text | None = None
    location_info: LocationInfo | None = None

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        self.ordered("start", "end", may_be_equal=False)
        return self
