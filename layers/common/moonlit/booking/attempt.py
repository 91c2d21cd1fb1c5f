"""One try to give a visit to one provider: a transaction of its own, behind the locks of everyone whose time it takes.

The same functions that made the slot list check the slot again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.availability.store import Availability, ServiceMapping
from moonlit.availability.use_cases import Inquiry, Request, free_slots, inquire
from moonlit.booking.claims import Claim, Claims, lock
from moonlit.booking.errors import PatientOverlap, RoomTaken, SlotTaken
from moonlit.booking.ledger import Ledger
from moonlit.booking.patients import Patient, PatientForm, Patients
from moonlit.booking.rules import billing_lines
from moonlit.booking.store import Room, Visits
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.payers.rules import Basis

ROOM_QUEUE = UUID(int=0)  # Which room it will be is not known before the turn comes, so all of them share one queue.


@dataclass(frozen=True, slots=True)
class Wanted:
    """The booking that a caller asks for; without `provider_id` anyone eligible serves.

    `given` is stored with the visit as it came: `insurance`, `roi_contacts` and `consents`.
    """

    payer_id: UUID
    service_id: UUID
    start: datetime
    state: str
    patient: PatientForm
    provider_id: UUID | None = None
    modality: str | None = None
    location_id: UUID | None = None
    language: str | None = None
    interpreter: bool = False
    given: Mapping[str, object] = field(default_factory=dict)

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
        )


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key, and a hash of the body that it came with."""

    value: str
    body_hash: str


class KeyTaken(Exception):
    """A rival with the same key was faster."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to give the visit to one provider: a transaction of its own."""

    clock: Clock
    wanted: Wanted
    key: Key

    def run(self, begin: Begin) -> UUID:
        """Book the slot.

        Raises:
            SlotTaken: The provider does not have the slot (any more).
            PatientOverlap: The patient has another visit then.
            RoomTaken: The service needs a room, and none is free.
            KeyTaken: The idempotency key was claimed meanwhile.
        """
        with begin() as connection:
            store, now = Availability(connection), self.clock.now()
            inquiry = inquire(store, self.wanted.request(), now)
            provider_id, start = self.wanted.provider_id, self.wanted.start
            basis = inquiry.basis_at(provider_id, start) if provider_id else None
            if basis is None or provider_id is None:
                raise SlotTaken("not eligible")  # `accept` finds the reason.
            persons = self._persons(inquiry, provider_id, basis)
            patient = self._queue(connection, inquiry, persons, now)
            if provider_id not in free_slots(store, inquiry).get(int(start.timestamp()), ()):
                raise SlotTaken("not free")
            booking = _Booking(connection, inquiry, self.wanted, provider_id, basis, now)
            return booking.store(persons, patient, self.key)

    @staticmethod
    def _persons(inquiry: Inquiry, provider_id: UUID, basis: Basis) -> list[UUID]:
        """Return the humans whose time the visit takes; the attending too when both must be there."""
        ids = [provider_id, *([basis.attending_id] if basis.co_visit and basis.attending_id else [])]
        return [inquiry.facts.providers[one].person_id for one in ids]

    def _queue(
        self, connection: sa.Connection, inquiry: Inquiry, persons: Sequence[UUID], now: datetime
    ) -> Patient | None:
        """Wait for our turn on everyone's time, clear it of expired holds, and return the patient if known."""
        known = Patients(connection).matching(self.wanted.patient)
        rooms = [ROOM_QUEUE] if inquiry.service.room_required else []
        resources = [*persons, *rooms, self.wanted.patient.lock_id, *([known.id] if known else [])]
        lock(connection, resources)
        Claims(connection).drop_expired_holds(resources, now)
        # A rival who booked for the same new person stored them before our turn came.
        return known or Patients(connection).matching(self.wanted.patient)


@dataclass(frozen=True, slots=True)
class _Booking:
    """The rows of one booking, written behind the locks."""

    connection: sa.Connection
    inquiry: Inquiry
    wanted: Wanted
    provider_id: UUID
    basis: Basis
    now: datetime

    def store(self, persons: Sequence[UUID], known: Patient | None, key: Key) -> UUID:
        """Write the visit, its claims, the EHR write and the key; return the visit's id."""
        patients, visits = Patients(self.connection), Visits(self.connection)
        service, start = self.inquiry.service, self.wanted.start
        end = start + timedelta(minutes=service.duration_minutes)
        patient = known or patients.add(self.wanted.patient)
        if known and Claims(self.connection).overlapping("patient", known.id, start, end):
            raise PatientOverlap("the patient has another visit at that time")
        blocked_start = start - timedelta(minutes=service.buffer_before_minutes)
        blocked_end = end + timedelta(minutes=service.buffer_after_minutes)
        claims = [Claim("person", person, blocked_start, blocked_end) for person in persons]
        claims.append(Claim("patient", patient.id, start, end))  # Buffers are the provider's work, not the patient's.
        room = self._room(blocked_start, blocked_end)
        if room:
            claims.append(Claim("room", room.id, blocked_start, blocked_end))
        appointment_id = uuid4()
        visits.add(self._visit(appointment_id, patient, end, room))
        if not visits.claim_key(key.value, key.body_hash, appointment_id, self.now):
            raise KeyTaken
        Claims(self.connection).add(appointment_id, claims)
        self._open_write(appointment_id, patient)
        return appointment_id

    def _room(self, start: datetime, end: datetime) -> Room | None:
        if not self.inquiry.service.room_required:
            return None
        room = Visits(self.connection).free_room(self.wanted.location_id, start, end)
        if room is None:
            raise RoomTaken("no room is free at that time")
        return room

    def _visit(self, appointment_id: UUID, patient: Patient, end: datetime, room: Room | None) -> dict[str, object]:
        service, provider = self.inquiry.service, self.inquiry.facts.providers[self.provider_id]
        supervised = self.basis.attending_id is not None
        return {
            "id": appointment_id,
            "patient_id": patient.id,
            "provider_id": provider.id,
            "rendering_provider_id": self.basis.attending_id if supervised else None,
            "payer_id": self.inquiry.payer.id,
            "service_id": service.id,
            "service_instance_id": self._mapping.service_instance_id,
            "location_id": room.location_id if room else self.wanted.location_id,
            "room_id": room.id if room else None,
            "start": self.wanted.start,
            "end": end,
            "status": "pending",
            "modality": self.inquiry.modality,
            "system": self.inquiry.facts.systems[provider.id],
            "timezone": self.wanted.patient.zone,
            **self.wanted.given,
            "billing": billing_lines(service.codes, service.base_rate),
            "created_at": self.now,
            "updated_at": self.now,
        }

    def _open_write(self, appointment_id: UUID, patient: Patient) -> None:
        seat = Visits(self.connection).seat(self.provider_id, self.inquiry.facts.systems[self.provider_id])
        if seat is None:
            raise SlotTaken("the provider has no seat in the EHR")
        Ledger(self.connection).open(
            {
                "id": uuid4(),
                "account_id": seat.account_id,
                "appointment_id": appointment_id,
                "kind": "book",
                "state": "waiting",
                "practitioner_id": seat.practitioner_id,
                "client_id": patient.intakeq_client_id,
                "ehr_service_id": self._mapping.external_id,
                "ehr_location_id": seat.location_id,
                "starts_at": self.wanted.start,
                "created_at": self.now,
                "next_look_at": self.now,
            }
        )

    @property
    def _mapping(self) -> ServiceMapping:
        return self.inquiry.facts.mappings[self.provider_id]
