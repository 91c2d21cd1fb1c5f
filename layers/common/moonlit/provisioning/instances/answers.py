"""The JSON of service instances: a payer's way to a service, and what that is called in the EHRs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from moonlit.booking.stranding import Stranded
from moonlit.web.models import Line, Model, PosCode, VendorId

SystemName = Literal["intakeq", "practiceq", "athena"]
"""An EHR by either of its names: PracticeQ is IntakeQ."""


class InstanceBody(Model):
    """A service that shall be offered to a payer's members."""

    service_id: UUID
    location: Line
    pos_code: PosCode


class IntegrationBody(Model):
    """What the service is called in the EHR."""

    external_id: VendorId


class IntegrationShown(Model):
    """A mapping to an EHR."""

    system: Literal["intakeq", "athena"]
    external_id: str


class InstanceShown(Model):
    """An instance with what is odd about it; `appointments` counts the visits that refer to it, past ones too."""

    id: UUID
    service_id: UUID
    service_name: str
    payer_id: UUID | None
    payer_name: str | None
    location: str
    pos_code: str
    retired_at: datetime | None
    retired_reason: str | None
    orphaned: bool
    duplicated: bool
    unmapped: bool
    integrations: list[IntegrationShown]
    appointments: int


class InstanceList(Model):
    """A page of instances, by place and id."""

    items: list[InstanceShown]
    next_cursor: str | None


class RetirementShown(Model):
    """What retiring an instance would mean: visits to come that could not be moved to another time any more."""

    instance: InstanceShown
    stranded: Stranded
