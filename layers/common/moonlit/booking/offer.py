"""Take one slot from the list: the check behind the locks that booking, holding and moving share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.store import Availability, Own, ServiceMapping
from moonlit.availability.use_cases import Inquiry, free_slots, inquire
from moonlit.booking.claims import Claim, Claims, lock
from moonlit.booking.errors import RoomTaken, SlotTaken
from moonlit.booking.places import EhrSeat, Places, Room
from moonlit.booking.wanted import SlotWish
from moonlit.ehr.port import TRAITS
from moonlit.payers.rules import Basis

ROOM_QUEUE = UUID(int=0)  # Which room it will be is not known before the turn comes, so all of them share one queue.


@dataclass(frozen=True, slots=True)
class Ground:
    """Who shall see the patient, and what lets them."""

    inquiry: Inquiry
    provider_id: UUID
    basis: Basis

    @property
    def humans(self) -> dict[UUID, UUID]:
        """Return by provider the humans whose time the visit takes; the attending too when both must be there."""
        attending = self.basis.attending_id if self.basis.co_visit else None
        return {one: self.inquiry.facts.providers[one].person_id for one in (self.provider_id, attending) if one}

    @property
    def persons(self) -> list[UUID]:
        """Return the humans whose time the visit takes."""
        return list(self.humans.values())


@dataclass(frozen=True, slots=True)
class Offer:
    """A slot that nobody else can take before this transaction ends.

    Attributes:
        room: A room that is free then, None when the service needs none.
        slot_id: The EHR's open slot behind it, None where any free time will do.
    """

    ground: Ground
    start: datetime
    seat: EhrSeat
    room: Room | None
    slot_id: str | None

    @property
    def inquiry(self) -> Inquiry:
        """Return the question that the slot answers."""
        return self.ground.inquiry

    @property
    def system(self) -> str:
        """Return the EHR that the visit goes to."""
        return self.inquiry.facts.systems[self.ground.provider_id]

    @property
    def mapping(self) -> ServiceMapping:
        """Return what the EHR calls the service for this payer."""
        return self.inquiry.facts.mappings[self.ground.provider_id]

    @property
    def end(self) -> datetime:
        """Return the end of the visit, buffers left out."""
        return self.start + timedelta(minutes=self.inquiry.service.duration_minutes)

    def claims(self, patient_id: UUID | None = None, *, patient_enforced: bool = True) -> list[Claim]:
        """Return the time that the visit takes: of persons and room with buffers, of the patient without."""
        first, last = _blocked(self.inquiry, self.start)
        claims = [Claim("person", person, first, last) for person in self.ground.persons]
        if self.room:
            claims.append(Claim("room", self.room.id, first, last))
        if patient_id:  # Buffers are the provider's work, not the patient's.
            claims.append(Claim("patient", patient_id, self.start, self.end, enforced=patient_enforced))
        return claims

    def columns(self) -> dict[str, object]:
        """Return what of an appointment this slot decides, named by its columns."""
        service = self.inquiry.service
        return {
            "provider_id": self.ground.provider_id,
            "rendering_provider_id": self.ground.basis.attending_id,
            "co_visit": self.ground.basis.co_visit,
            "payer_id": self.inquiry.payer.id,
            "service_id": service.id,
            "service_instance_id": self.mapping.service_instance_id,
            "location_id": self.room.location_id if self.room else self.inquiry.request.location_id,
            "room_id": self.room.id if self.room else None,
            "start": self.start,
            "end": self.end,
            "modality": self.inquiry.modality,
            "system": self.system,
        }

    def write(self) -> dict[str, object]:
        """Return what of an EHR write this slot decides, named by its columns."""
        return {
            "account_id": self.seat.account_id,
            "practitioner_id": self.seat.practitioner_id,
            "ehr_service_id": self.mapping.external_id,
            "ehr_location_id": self.seat.location_id,
            "slot_id": self.slot_id,
            "starts_at": self.start,
        }


@dataclass(frozen=True, slots=True)
class Counter:
    """Where slots are taken: one transaction, at one instant."""

    connection: sa.Connection
    now: datetime

    def ground(self, wish: SlotWish) -> Ground:
        """Return on what ground the wished provider may be booked.

        Raises:
            SlotTaken: The provider may not be booked, or none was named; the caller finds the reason.
            NotFound: No such payer, service or provider.
        """
        inquiry = inquire(Availability(self.connection), wish.request(), self.now)
        basis = inquiry.basis_at(wish.provider_id, wish.start) if wish.provider_id else None
        if basis is None or wish.provider_id is None:
            raise SlotTaken("not eligible")
        return Ground(inquiry, wish.provider_id, basis)

    def queue(self, ground: Ground, others: Collection[UUID]) -> None:
        """Wait for our turn on the persons, the rooms and `others`, and clear it of expired holds."""
        claims, resources = Claims(self.connection), [*ground.persons, *others]
        if ground.inquiry.service.room_required:
            lock(self.connection, [ROOM_QUEUE, *resources])
            claims.delete_expired_holds(self.now)  # Of any room: which one it will be is not known yet.
        else:
            lock(self.connection, resources)
            claims.drop_expired_holds(resources, self.now)

    def take(self, ground: Ground, wish: SlotWish) -> Offer:
        """Return the slot if it is free; call it when it is our turn.

        Raises:
            SlotTaken: The provider does not have the slot (any more).
            RoomTaken: The service needs a room, and none is free.
        """
        store, inquiry, provider_id = Availability(self.connection), ground.inquiry, ground.provider_id
        if provider_id not in free_slots(store, inquiry).get(int(wish.start.timestamp()), ()):
            raise SlotTaken("not free")
        system = inquiry.facts.systems[provider_id]
        seat = Places(self.connection).seat(provider_id, system, ground.humans)
        slot_id = None
        if TRAITS[system].has_open_slots:
            length = timedelta(minutes=inquiry.service.duration_minutes)
            reason_id = inquiry.facts.mappings[provider_id].external_id
            slot_id = store.open_slot_at(provider_id, wish.start, reason_id, length)
        if seat is None or (slot_id is None and TRAITS[system].has_open_slots):
            raise SlotTaken("the provider has no seat in the EHR, or is not who they were")
        return Offer(ground, wish.start, seat, self._room(inquiry, wish), slot_id)

    def _room(self, inquiry: Inquiry, wish: SlotWish) -> Room | None:
        if not inquiry.service.room_required:
            return None
        own = Own(wish.hold_id, wish.appointment_id)
        room = Places(self.connection).free_room(wish.location_id, *_blocked(inquiry, wish.start), own)
        if room is None:
            raise RoomTaken("no room is free at that time")
        return room


def _blocked(inquiry: Inquiry, start: datetime) -> tuple[datetime, datetime]:
    service = inquiry.service
    return (
        start - timedelta(minutes=service.buffer_before_minutes),
        start + timedelta(minutes=service.duration_minutes + service.buffer_after_minutes),
    )
