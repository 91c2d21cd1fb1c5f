"""What callers ask for, in the words of the use cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from moonlit.audit.store import Actor
from moonlit.availability.store import Own
from moonlit.availability.use_cases import Request
from moonlit.booking.patients import PatientForm


@dataclass(frozen=True, slots=True)
class SlotWish:
    """A slot that somebody asks for; without `provider_id` anyone eligible serves.

    Attributes:
        state: Where the patient will be; None where nobody said.
        hold_id: The caller's own hold, whose time does not count against them.
        appointment_id: The same for the caller's own visit, when it is to be moved.
        by_staff: Staff need not give notice.
        returning: The patient is the provider's already.
    """

    payer_id: UUID
    service_id: UUID
    start: datetime
    state: str | None
    provider_id: UUID | None = None
    modality: str | None = None
    location_id: UUID | None = None
    language: str | None = None
    interpreter: bool = False
    hold_id: UUID | None = None
    appointment_id: UUID | None = None
    by_staff: bool = False
    returning: bool = False

    def request(self) -> Request:
        """Return the question "what is free on the day of that start?"; it is the same in every zone's days."""
        day = self.start.astimezone(UTC).date()
        return Request(
            payer_id=self.payer_id,
            service_id=self.service_id,
            state=self.state,
            first=day,
            last=day,
            zone="UTC",
            provider_ids=(self.provider_id,) if self.provider_id else (),
            language=self.language,
            interpreter=self.interpreter,
            modality=self.modality,
            location_id=self.location_id,
            own=Own(self.hold_id, self.appointment_id),
            notice_free=self.by_staff,
            returning=self.returning,
        )


@dataclass(frozen=True, slots=True)
class Overrule:
    """A member of staff who lets a patient have two visits at once, and why."""

    staff_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted(SlotWish):
    """A booking.

    Attributes:
        patient: Who is to be seen.
        given: Stored with the visit as it came: `insurance`, `roi_contacts` and `consents`.
        overrule: Set when the patient's other visits do not matter.
        caller: Whose public bookings are counted, see callers.py; None for staff.
        actor: Who of the staff books, for the audit log; None for patients.
    """

    patient: PatientForm = field(kw_only=True)
    given: Mapping[str, object] = field(default_factory=dict, kw_only=True)
    overrule: Overrule | None = field(default=None, kw_only=True)
    caller: str | None = field(default=None, kw_only=True)
    actor: Actor | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key, and a hash of the body that it came with."""

    value: str
    body_hash: str
