"""Move a visit: one change with one identity, even where the EHR gives a new id or another EHR takes the visit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.audit.store import Actor
from moonlit.booking.changes import check_window
from moonlit.booking.claims import Claims, united
from moonlit.booking.errors import ChangePending, NotActive, NotBookedHere, PatientOverlap
from moonlit.booking.ledger import Ledger
from moonlit.booking.moves import COLUMNS, Record
from moonlit.booking.offer import Counter, Offer
from moonlit.booking.patients import Patients
from moonlit.booking.store import ACTIVE, Kept, Visits
from moonlit.booking.trail import note_change
from moonlit.booking.wanted import Overrule, SlotWish
from moonlit.clock import Clock
from moonlit.db.engine import Begin


@dataclass(frozen=True, slots=True)
class Change:
    """Where a visit is to go; without `provider_id` the same provider gives it.

    Attributes:
        actor: Who of the staff moves it, for the audit log; None for patients.
    """

    appointment_id: UUID
    start: datetime
    provider_id: UUID | None = None
    by_staff: bool = False
    overrule: Overrule | None = None
    actor: Actor | None = None


def wish_of(visit: Kept, change: Change) -> SlotWish:
    """Return the slot that the change asks for.

    Raises:
        NotBookedHere: Nobody knows the visit's payer, service or provider.
    """
    provider_id = change.provider_id or visit["provider_id"]
    if not (provider_id and visit["payer_id"] and visit["service_id"]):
        raise NotBookedHere("payer, service or provider are not known")
    return SlotWish(
        payer_id=visit["payer_id"],
        service_id=visit["service_id"],
        start=change.start,
        state=visit["state"],
        provider_id=provider_id,
        modality=visit["modality"],
        location_id=visit["location_id"],
        appointment_id=change.appointment_id,
        by_staff=change.by_staff,
        returning=provider_id == visit["provider_id"],
    )


@dataclass(frozen=True, slots=True)
class Moving:
    """One try to move a visit: a transaction of its own, behind the locks of everyone whose time it takes."""

    clock: Clock
    change: Change

    def run(self, begin: Begin) -> UUID | None:
        """Claim the new time beside the old one, show the visit there, and return the write for the EHR.

        A visit that is there already, or on its way there, stays as it is.

        Raises:
            SlotTaken: The provider does not have the slot (any more).
            BookingRefused: One of its other kinds.
            NotFound: There is no such visit or provider.
        """
        with begin() as connection:
            counter = Counter(connection, self.clock.now())
            seen = Visits(connection).seen(self.change.appointment_id)
            wish = wish_of(seen, self.change)
            if (seen["start"], seen["provider_id"]) == (wish.start, wish.provider_id) and seen["status"] in ACTIVE:
                return None
            self._check(connection, seen, counter.now)
            ground = counter.ground(wish)
            resources = [claim.resource_id for claim in Claims(connection).of(seen["id"])]
            counter.queue(ground, [*resources, seen["patient_id"], *Visits(connection).persons(seen["id"])])
            visit = Visits(connection).kept(seen["id"])
            if visit is None or visit.where() != seen.where():
                raise ChangePending("somebody else was changing the visit")
            offer = counter.take(ground, wish)
            return self._store(connection, visit, offer, counter.now)

    def _check(self, connection: sa.Connection, visit: Kept, now: datetime) -> None:
        if visit["status"] not in ACTIVE or visit["end"] <= now:
            raise NotActive("the visit is over or does not stand")
        # A cancellation counts too: of the place that it was moved from.
        if visit["status"] == "pending" or Ledger(connection).is_changing(visit["id"]):
            raise ChangePending("the EHR has not answered yet")
        if not self.change.by_staff:
            check_window(connection, visit, now)

    def _store(self, connection: sa.Connection, visit: Kept, offer: Offer, now: datetime) -> UUID:
        claims, patient_id = Claims(connection), visit["patient_id"]
        if self.change.overrule is None:
            others = claims.overlapping("patient", patient_id, offer.start, offer.end)
            if others - {visit["id"]}:
                raise PatientOverlap("the patient has another visit at that time")
        else:
            Visits(connection).note_overrule(patient_id, visit["id"], self.change.overrule, now)
        before = claims.of(visit["id"])
        after = offer.claims(patient_id, patient_enforced=self.change.overrule is None)
        if visit.account_id is None or visit.external_id is None:
            raise ChangePending("the EHR does not have the visit yet")
        record = Record(
            {name: visit[name] for name in COLUMNS},
            before,
            after,
            visit.account_id,
            visit.external_id,
            visit.client_id,
        )
        claims.put(visit["id"], united([*before, *after]))
        columns = {name: value for name, value in offer.columns().items() if name in COLUMNS}
        changes = {**columns, "status": "pending", "status_reason": None, "meeting_url": None}
        Visits(connection).count_up(visit["id"], **changes, updated_at=now)
        overruled = self.change.overrule is not None
        note_change(connection, self.change.actor, now, "moved", visit.columns, changes=changes, overruled=overruled)
        return self._open_write(connection, visit, offer, record, now)

    def _open_write(self, connection: sa.Connection, visit: Kept, offer: Offer, record: Record, now: datetime) -> UUID:
        """Have the visit moved in the EHR, or, under another provider, booked there and then cancelled where it was."""
        stays = visit["provider_id"] == offer.ground.provider_id and offer.seat.account_id == visit.account_id
        patient = Patients(connection).of_appointment(visit["id"])
        return Ledger(connection).open(
            visit["id"],
            "reschedule" if stays else "book",
            now,
            **offer.write(),
            client_id=visit.client_id if stays else patient.client_id(offer.system),
            external_id=visit.external_id if stays else None,
            move=record,
        )
