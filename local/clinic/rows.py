"""What a clinic file may hold: one model for each kind of row, named and ordered as in the file.

The fields of a row are the columns of its table, save for appointments, whose external id is kept apart.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from local.clinic.row import Row
from local.clinic.values import (
    Count,
    Day,
    Ehr,
    Instant,
    Minutes,
    Modality,
    Money,
    Name,
    Text,
    WallClockEnd,
    WallClockStart,
    Zone,
)
from local.clinic.visit import Appointment


class Organization(Row):
    """A partner organization."""

    id: UUID
    name: Name
    active: bool


class PartnerUser(Row):
    """Somebody of a partner organization who signs in."""

    id: UUID
    organization_id: UUID
    email: Name
    name: Name
    role: Literal["partner_admin", "case_manager"]


class Payer(Row):
    """Who pays: an insurer, Medicaid, or the patients themselves."""

    id: UUID
    name: Name
    type: Literal["private", "medicaid", "self_pay"]
    status_code: Literal["approved", "pending", "suspended", "rejected"] | None
    state: Text | None
    plan_codes: list[Text]


class Provider(Row):
    """A clinician, under one of possibly several ids of the same human (`person_key`)."""

    id: UUID
    name: Name
    npi: Text | None
    license_states: list[Name]
    native_langs: list[Name]
    interpreter_ok: bool
    active: bool
    accepting_new_patients: bool
    ehr_system: Ehr
    timezone: Zone
    person_key: Name | None = None
    max_daily_appointments: Count | None = None


class StaffUser(Row):
    """Somebody of the practice who signs in."""

    id: UUID
    email: Name
    name: Name
    role: Literal["admin", "biller", "provider"]
    provider_id: UUID | None = None


class ProviderIntakeqSettings(Row):
    """A provider's identity in IntakeQ."""

    provider_id: UUID
    practitioner_id: Name
    practitioner_email: Text | None
    location_id: Text | None = None


class ProviderAthenaSettings(Row):
    """A provider's identity in athenahealth."""

    provider_id: UUID
    athena_provider_id: Name
    department_id: Name


class PayerAthenaSettings(Row):
    """What a payer is called in athenahealth: an insurance package of the practice's list."""

    payer_id: UUID
    insurance_package_id: Name


class Contract(Row):
    """A provider's standing with a payer."""

    id: UUID
    provider_id: UUID
    payer_id: UUID
    effective_date: Day | None
    end_date: Day | None
    status: Literal["credentialing_in_progress", "active", "inactive"]

    @model_validator(mode="after")
    def _dates(self) -> Self:
        self.ordered("effective_date", "end_date")
        return self


class Supervision(Row):
    """A resident who works under an attending, for one payer or for all."""

    id: UUID
    resident_id: UUID
    attending_id: UUID
    payer_id: UUID | None
    level: Literal["sign_off_only", "co_visit_required"]
    effective_date: Day
    end_date: Day | None

    @model_validator(mode="after")
    def _two_people_in_order(self) -> Self:
        self.ordered("effective_date", "end_date")
        if self.resident_id == self.attending_id:
            raise PydanticCustomError("one_person", "attending_id is the resident")
        return self


class Location(Row):
    """A place of the practice."""

    id: UUID
    name: Name
    address: Text | None
    timezone: Zone
    pos_code: Name
    athena_department_id: Text | None = None


class Room(Row):
    """A room of a location."""

    id: UUID
    location_id: UUID
    room_number: Text
    room_name: Text
    capacity: Count
    equipment: list[Text]
    is_active: bool


class ProviderHours(Row):
    """Weekly hours by the wall clock; an end before the start lies on the next day."""

    provider_id: UUID
    weekday: Annotated[int, Field(ge=0, le=6)]
    start: WallClockStart
    end: WallClockEnd
    timezone: Zone
    modality: Modality
    location_id: UUID | None = None
    valid_from: Day | None = None
    valid_to: Day | None = None

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        self.ordered("valid_from", "valid_to")
        if self.start == self.end:
            raise PydanticCustomError("empty", "end equals start")
        return self


class ProviderTimeOff(Row):
    """A stretch in which a provider does not work."""

    provider_id: UUID
    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        self.ordered("start", "end", may_be_equal=False)
        return self


class Service(Row):
    """Something that the practice offers."""

    id: UUID
    name: Name
    kind: Literal["intake", "follow_up", "injection", "assessment", "psychotherapy", "consultation"]
    duration_minutes: Annotated[int, Field(ge=5, le=1440)]
    buffer_before_minutes: Minutes
    buffer_after_minutes: Minutes
    min_notice_minutes: Minutes | None = None
    codes: list[Name]
    base_rate: Money | None = None
    modality: Modality
    room_required: bool = False
    dose_required: bool = False
    is_active: bool


class ServiceInstance(Row):
    """A service as one payer covers it; one without a payer is an orphan."""

    id: UUID
    service_id: UUID
    payer_id: UUID | None
    location: Name
    pos_code: Name
    retired_at: Instant | None = None
    retired_reason: Name | None = None

    @model_validator(mode="after")
    def _retired_with_reason(self) -> Self:
        if (self.retired_at is None) != (self.retired_reason is None):
            raise PydanticCustomError("retired", "retired_at and retired_reason need each other")
        return self


class Integration(Row):
    """What a service instance is called in an EHR."""

    id: UUID
    service_instance_id: UUID
    system: Ehr
    external_id: Name


class Patient(Row):
    """A patient."""

    id: UUID
    first_name: Text
    last_name: Text
    email: Text | None
    alternate_emails: list[Text]
    phone: Text | None
    date_of_birth: Day | None
    state: Text | None
    timezone: Zone | None
    intakeq_client_id: Name | None = None
    athena_patient_id: Name | None = None


class Affiliation(Row):
    """A patient whom an organization looks after, and whether it may see the visits."""

    id: UUID
    patient_id: UUID
    organization_id: UUID
    case_manager_id: UUID | None = None
    status: Literal["active", "ended"]
    roi_consent: Literal["active", "missing"]
    roi_expires_on: Day | None = None


# In the order in which a database takes them: what is referred to comes first.
KINDS: dict[str, type[Row]] = {
    "organizations": Organization,
    "partner_users": PartnerUser,
    "payers": Payer,
    "providers": Provider,
    "staff_users": StaffUser,
    "provider_intakeq_settings": ProviderIntakeqSettings,
    "provider_athena_settings": ProviderAthenaSettings,
    "payer_athena_settings": PayerAthenaSettings,
    "provider_payer_networks": Contract,
    "supervision_relationships": Supervision,
    "locations": Location,
    "rooms": Room,
    "provider_hours": ProviderHours,
    "provider_time_off": ProviderTimeOff,
    "services": Service,
    "service_instances": ServiceInstance,
    "service_instance_integrations": Integration,
    "patients": Patient,
    "patient_organization_affiliations": Affiliation,
    "appointments": Appointment,
}
