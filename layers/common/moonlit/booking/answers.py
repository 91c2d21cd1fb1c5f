"""The JSON of bookings: what a patient sends, and a visit as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, StringConstraints

from moonlit.booking.holds_store import Hold
from moonlit.booking.leads import Lead
from moonlit.booking.patients import PatientForm
from moonlit.booking.statuses import shown_status
from moonlit.booking.wanted import Overrule, SlotWish, Wanted
from moonlit.web.models import (
    Day,
    Email,
    Flag,
    Instant,
    Language,
    Line,
    Modality,
    Model,
    Named,
    Phone,
    Place,
    State,
    ZoneName,
)

IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]


class PatientBody(Model):
    """The person who is to be seen."""

    first_name: Line
    last_name: Line
    date_of_birth: Day
    email: Email
    phone: Phone
    timezone: ZoneName | None = None


class InsuranceBody(Model):
    """The patient's membership with the payer."""

    member_id: Line
    group_number: Line | None = None


class ContactBody(Model):
    """Somebody whom the patient allows to be told (release of information)."""

    name: Line
    email: Email | None = None
    phone: Phone | None = None


class ConsentsBody(Model):
    """Which ways of being written to the patient agrees to."""

    email: Flag
    sms: Flag


class SlotBody(Model):
    """A slot; without `providerId` anyone eligible serves."""

    payer_id: UUID
    service_id: UUID
    provider_id: UUID | None = None
    start: Instant
    state: State
    modality: Modality | None = None
    location_id: UUID | None = None
    language: Language | None = None
    interpreter: Flag = False

    def wish(self) -> dict[str, Any]:
        """Return the slot in the words of `SlotWish`."""
        return {name: getattr(self, name) for name in SlotBody.model_fields}


class HoldBody(SlotBody):
    """A slot that is to be held for ten minutes."""

    def wanted(self) -> SlotWish:
        """Return the slot in the words of the use case."""
        return SlotWish(**self.wish())


class BookingBody(SlotBody):
    """A booking."""

    hold_id: UUID | None = None
    patient: PatientBody
    insurance: InsuranceBody | None = None
    roi_contacts: Annotated[list[ContactBody], Field(max_length=20, default_factory=list)]
    consents: ConsentsBody

    def wanted(self, **by: Any) -> Wanted:
        """Return the booking in the words of the use case; `by` says who asks, named by `Wanted`."""
        return Wanted(
            **self.wish(),
            hold_id=self.hold_id,
            patient=PatientForm(
                first_name=self.patient.first_name,
                last_name=self.patient.last_name,
                date_of_birth=self.patient.date_of_birth,
                email=self.patient.email,
                phone=self.patient.phone,
                state=self.state,
                zone=self.patient.timezone,
            ),
            given={
                "insurance": self.insurance and self.insurance.model_dump(by_alias=False),
                "roi_contacts": [contact.model_dump(by_alias=False) for contact in self.roi_contacts],
                "consents": self.consents.model_dump(),
            },
            **by,
        )


class OverruleBody(Model):
    """Staff let the patient have two visits at once, and say why."""

    patient_overlap: Literal[True]
    reason: Line

    def overrule(self, staff_id: UUID) -> Overrule:
        """Return it in the words of the use case."""
        return Overrule(staff_id, self.reason)


class StaffBookingBody(BookingBody):
    """A booking by staff."""

    overrule: OverruleBody | None = None


class CancelBody(Model):
    """Why a visit is cancelled."""

    reason: Line | None = None


class MoveBody(Model):
    """Where a visit is to go; without `providerId` the same provider gives it."""

    start: Instant
    provider_id: UUID | None = None


class StaffMoveBody(MoveBody):
    """A move by staff."""

    overrule: OverruleBody | None = None


class LeadBody(Model):
    """Somebody whose payer is not taken yet."""

    payer_id: UUID | None = None
    payer_name: Line
    email: Email
    first_name: Line | None = None
    last_name: Line | None = None
    phone: Phone | None = None
    state: State | None = None
    effective_date: Day | None = None

    def lead(self) -> Lead:
        """Return it in the words of the use case."""
        return Lead(**self.model_dump(by_alias=False))


class LeadAnswer(Model):
    """The lead that was kept."""

    lead_id: UUID


class HoldAnswer(Model):
    """A slot that nobody else can take before it expires."""

    hold_id: UUID
    provider_id: UUID
    start: AwareDatetime
    end: AwareDatetime
    expires_at: AwareDatetime


def hold_answer(hold: Hold, zone: ZoneInfo) -> HoldAnswer:
    """Return a hold with its times in `zone`."""
    return HoldAnswer(
        hold_id=hold.id,
        provider_id=hold.provider_id,
        start=hold.start.astimezone(zone),
        end=hold.end.astimezone(zone),
        expires_at=hold.expires_at.astimezone(zone),
    )


class BookedService(Named):
    """The service of a visit."""

    duration_minutes: int


class EhrReference(Model):
    """The EHR's id of the visit; null until the EHR has it."""

    system: Literal["intakeq", "athena"]
    external_id: str | None


class BillingLine(Model):
    """A code with its rate; money is text with two decimals."""

    code: str
    units: int
    rate: str
    total: str


class AppointmentAnswer(Model):
    """A visit. Provider, service, payer and modality are null where the EHR knows more than we do."""

    appointment_id: UUID
    status: Literal["pending", "scheduled", "confirmed", "completed", "cancelled", "declined", "no_show", "failed"]
    start: AwareDatetime
    end: AwareDatetime
    timezone: str
    provider: Named | None
    rendering_provider: Named | None
    service: BookedService | None
    payer: Named | None
    modality: Modality | None
    location: Place | None
    meeting_url: str | None
    room: Named | None
    ehr: EhrReference
    billing: list[BillingLine]
    sequence: int
    manage_token: str | None = None


def appointment(details: Mapping[str, Any], now: datetime, manage_token: str | None = None) -> AppointmentAnswer:
    """Return a visit (see `Visits.details`) as it is shown at `now`."""
    zone = ZoneInfo(details["zone"])
    service = _named(details, "service")
    return AppointmentAnswer(
        appointment_id=details["id"],
        status=shown_status(details["status"], details["end"], now),
        start=details["start"].astimezone(zone),
        end=details["end"].astimezone(zone),
        timezone=details["zone"],
        provider=_named(details, "provider"),
        rendering_provider=_named(details, "rendering_provider"),
        service=BookedService(**service.model_dump(), duration_minutes=details["duration_minutes"])
        if service
        else None,
        payer=_named(details, "payer"),
        modality=details["modality"],
        location=_place(details),
        meeting_url=details["meeting_url"],
        room=_named(details, "room"),
        ehr=EhrReference(system=details["system"], external_id=details["external_id"]),
        billing=details["billing"],
        sequence=details["sequence"],
        manage_token=manage_token,
    )


def _named(details: Mapping[str, Any], what: str) -> Named | None:
    known = details[f"{what}_id"]
    return Named(id=known, name=details[f"{what}_name"].strip()) if known else None


def _place(details: Mapping[str, Any]) -> Place | None:
    told = details["location_info"]
    if told:
        return Place(name=told["name"], kind=told["kind"])
    return Place(name=details["location_name"], kind="office") if details["location_id"] else None
