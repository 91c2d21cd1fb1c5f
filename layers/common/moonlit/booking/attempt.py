"""One try to give a visit to one provider: a transaction of its own, behind the locks of everyone whose time it takes.

The same functions that made the slot list check the slot again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.booking.callers import Callers, PublicLimits
from moonlit.booking.claims import Claims
from moonlit.booking.errors import PatientOverlap
from moonlit.booking.holds_store import Holds
from moonlit.booking.keys import Keys
from moonlit.booking.ledger import Ledger
from moonlit.booking.offer import Counter, Offer
from moonlit.booking.patients import Patient, Patients
from moonlit.booking.rules import billing_lines
from moonlit.booking.store import Visits
from moonlit.booking.trail import note_change
from moonlit.booking.wanted import Key, Wanted
from moonlit.clock import Clock
from moonlit.db.engine import Begin


class KeyTaken(Exception):
    """The idempotency key was used before, or a rival with the same key was faster."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A booking that stands here; `write_id` is of its write for the EHR, None when it stood before."""

    appointment_id: UUID
    write_id: UUID | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to give the visit to one provider: a transaction of its own.

    Attributes:
        instead_of: A visit that the EHR turned down and that had the same key: this one takes its place.
    """

    clock: Clock
    wanted: Wanted
    key: Key
    instead_of: UUID | None = None

    def run(self, begin: Begin) -> Accepted:
        """Book the slot.

        Raises:
            SlotTaken: The provider does not have the slot (any more).
            PatientOverlap: The patient has another visit then.
            RoomTaken: The service needs a room, and none is free.
            KeyTaken: The idempotency key stands for another visit.
            TooMany: The caller has booked a lot within the hour.
        """
        with begin() as connection:
            if Keys(connection).used(self.key.value, besides=self.instead_of):
                raise KeyTaken
            counter = Counter(connection, self.clock.now())
            ground = counter.ground(self.wanted)
            patients, form = Patients(connection), self.wanted.patient
            known = patients.matching(form)
            counter.queue(ground, [form.lock_id, *([known.id] if known else [])])
            # A rival who booked for the same new person stored them before our turn came.
            known = known or patients.matching(form)
            offer = counter.take(ground, self.wanted)
            return self._store(connection, offer, known, counter.now)

    def _store(self, connection: sa.Connection, offer: Offer, known: Patient | None, now: datetime) -> Accepted:
        """Write the visit, its claims, the EHR write and the key."""
        claims, overruled = Claims(connection), self.wanted.overrule is not None
        if known and not overruled and claims.overlapping("patient", known.id, offer.start, offer.end):
            raise PatientOverlap("the patient has another visit at that time")
        patient = known or Patients(connection).add(self.wanted.patient)
        if self.wanted.hold_id:
            Holds(connection).drop(self.wanted.hold_id)
        visits, appointment_id = Visits(connection), uuid4()
        visit = self._visit(appointment_id, offer, patient, now)
        visits.add(visit)
        if not Keys(connection).claim(self.key, appointment_id, now, instead_of=self.instead_of):
            raise KeyTaken
        claims.add(appointment_id, offer.claims(patient.id, patient_enforced=not overruled))
        write_id = Ledger(connection).open(
            appointment_id, "book", now, client_id=patient.client_id(offer.system), **offer.write()
        )
        if self.wanted.overrule:
            visits.note_overrule(patient.id, appointment_id, self.wanted.overrule, now)
        if self.wanted.caller and self.instead_of is None:  # A second try is the same booking.
            limit = PublicLimits.model_validate(offer.inquiry.facts.settings).bookings_per_address_hour
            Callers(connection).use("booking", self.wanted.caller, limit, now)
        note_change(connection, self.wanted.actor, now, "booked", visit, changes={}, overruled=overruled)
        return Accepted(appointment_id, write_id)

    def _visit(self, appointment_id: UUID, offer: Offer, patient: Patient, now: datetime) -> dict[str, object]:
        service = offer.inquiry.service
        return {
            "id": appointment_id,
            "patient_id": patient.id,
            "status": "pending",
            # Without a wish the practice's: a known patient's own zone would tell that they are known.
            "timezone": self.wanted.patient.zone or offer.inquiry.facts.zone,
            "patient_state": self.wanted.state,
            "billing": billing_lines(service.codes, service.base_rate),
            "created_at": now,
            "updated_at": now,
            **offer.columns(),
            **self.wanted.given,
        }
