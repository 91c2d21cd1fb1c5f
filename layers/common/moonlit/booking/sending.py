"""What each kind of write asks of the EHR. Nothing here decides what becomes of the visit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moonlit.booking.holds_store import Holds
from moonlit.booking.ledger import Ledger, Write
from moonlit.booking.patients import Patients
from moonlit.booking.places import Places
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.ehr.port import (
    ClientDetails,
    Ehr,
    EhrOutcomeUnknown,
    EhrRefused,
    EhrUnavailable,
    EhrVisit,
    Lane,
    Move,
    NewVisit,
)

# A fresh IntakeQ client becomes bookable within some seconds: worth waiting for while the patient does, else later.
CLIENT_PATIENCE_SECONDS = (2.0, 4.0)


class ClientUnknown(Exception):
    """Nobody knows whether the patient was created in the EHR; the visit was not sent."""


class TakenOver(Exception):
    """Somebody else took the write over, or ended it, while it was prepared."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends writes to one EHR account; `pause` waits, see saga.py."""

    begin: Begin
    clock: Clock
    ehr: Ehr
    pause: Callable[[float], bool]

    def send(self, write: Write) -> EhrVisit | None:
        """Send the write and return the visit that it made or moved.

        Raises:
            EhrError: See ehr/port.py.
            ClientUnknown: Nothing was booked.
            TakenOver: Nothing was sent.
        """
        match write.kind:
            case "book":
                return self._book(write)
            case "reschedule":
                self._thaw(write)
                return self.ehr.reschedule(_move(write), Lane.BOOKING)
            case "cancel":
                self.ehr.cancel(_text(write.external_id), write.client_id, write.reason or _NO_REASON, Lane.BOOKING)
            case "details":
                self._add_details(write)
        return None

    def _book(self, write: Write) -> EhrVisit:
        client_id = write.client_id or self._client(write)
        self._announce(write, client_id)
        self._thaw(write)
        visit = NewVisit(
            practitioner_id=_text(write.practitioner_id),
            client_id=client_id,
            ehr_service_id=_text(write.ehr_service_id),
            location_id=write.ehr_location_id,
            starts_at=write.starts_at,
            slot_id=write.slot_id,
        )
        for seconds in CLIENT_PATIENCE_SECONDS:
            try:
                return self.ehr.book(visit, Lane.BOOKING)
            except EhrRefused as refused:
                if refused.code != "client_not_ready" or not self.pause(seconds):
                    raise
        return self.ehr.book(visit, Lane.BOOKING)

    def _client(self, write: Write) -> str:
        """Return the EHR's id of the patient, found or created."""
        with self.begin() as connection:
            patient = Patients(connection).of_appointment(write.appointment_id)
        details = ClientDetails(
            reference=str(patient.id),
            first_name=patient.first_name,
            last_name=patient.last_name,
            email=patient.email,
            phone=patient.phone,
            birth_date=patient.date_of_birth,
        )
        try:
            return self.ehr.client_for(details, Lane.BOOKING)
        except EhrOutcomeUnknown:
            raise ClientUnknown from None

    def _announce(self, write: Write, client_id: str) -> None:
        """Record that the visit is about to be sent for this client."""
        if write.client_id:
            return
        with self.begin() as connection:
            ledger = Ledger(connection)
            current = ledger.get(write.id)
            if current.state != "waiting" or current.client_id:
                raise TakenOver
            Patients(connection).learn_client_id(current.appointment_id, current.system, client_id)
            ledger.set_sending(write.id, client_id, self.clock.now())

    def _thaw(self, write: Write) -> None:
        """Open the slot that a hold of ours has frozen: nobody can book a frozen one, its owner neither."""
        if write.slot_id is None:
            return
        with self.begin() as connection:
            is_frozen = Holds(connection).is_frozen(write.account_id, write.slot_id)
        if is_frozen:
            try:
                self.ehr.thaw(write.slot_id, Lane.BOOKING)
            except EhrOutcomeUnknown:  # Of the thaw, which may be repeated; the visit itself was surely not sent.
                raise EhrUnavailable("not thawed yet") from None
            with self.begin() as connection:
                Holds(connection).thawed(write.account_id, write.slot_id)

    def _add_details(self, write: Write) -> None:
        with self.begin() as connection:
            details = Places(connection).ehr_details(write.appointment_id)
        if details:
            self.ehr.add_details(_text(write.external_id), _text(write.client_id), details, Lane.BOOKING)


_NO_REASON = "Cancelled by the practice's scheduler"


def _move(write: Write) -> Move:
    return Move(
        external_id=_text(write.external_id),
        client_id=_text(write.client_id),
        ehr_service_id=write.ehr_service_id,
        starts_at=write.starts_at,
        slot_id=write.slot_id,
    )


def _text(known: str | None) -> str:
    """Return what this kind of write cannot be without."""
    if known is None:
        raise EhrRefused("incomplete")
    return known
