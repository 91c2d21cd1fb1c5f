"""The schedule: what the API and the practice's staff may do with slots, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from local.simulators.athena.account import FROM_API, Account
from local.simulators.athena.answers import Refusal, invalid, taken, unknown
from local.simulators.athena.feed import Feed
from local.simulators.athena.fitting import Wish, chain, type_for
from local.simulators.athena.slot import CANCELLED, CHECKED_IN, CHECKED_OUT, FUTURE, OPEN, Booking, Cancellation, Slot
from local.simulators.athena.webhooks import Webhooks
from moonlit.clock import Clock

_EVENT_OF_STATUS = {CHECKED_IN: "CheckIn", CHECKED_OUT: "CheckOut"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How somebody wants something done.

    Attributes:
        by: A login of the practice, or what stands there for the API.
        is_forced: Whether slots count that are not marked for scheduling over the API.
        taken_status: What a slot that cannot be booked answers.
    """

    by: str
    is_forced: bool = False
    taken_status: int = 409


class Calendar:
    """Changes the account's slots; each change is complete before the next one begins."""

    def __init__(self, account: Account, feed: Feed, webhooks: Webhooks, clock: Clock) -> None:
        self._account = account
        self._feed = feed
        self._webhooks = webhooks
        self._clock = clock

    def slot(self, slot_id: str) -> Slot:
        """Return a slot or an appointment.

        Raises:
            Refusal: There is none, or another visit has swallowed it.
        """
        slot = self._account.slots.get(slot_id)
        if slot is None or slot.swallowed_by is not None:
            raise unknown("appointment")
        return slot

    def book(
        self, slot: Slot, patient_id: str, wish: Wish, request: Request, options: dict[str, str] | None = None
    ) -> Slot:
        """Give a slot, and those that a long visit needs after it, to a patient.

        Raises:
            Refusal: The patient is unknown, or the slot cannot be had.
        """
        self._check_patient(patient_id)
        type_id = type_for(self._account, slot, wish)
        is_offered = slot.is_open and not slot.is_frozen and (slot.is_schedulable or request.is_forced)
        followers = chain(self._account, slot, type_id) if type_id and is_offered else None
        if type_id is None or followers is None:
            raise taken(request.taken_status)
        now = self._clock.now()
        for follower in followers:
            follower.swallowed_by = slot.id
        slot.status = FUTURE
        slot.booking = Booking(
            patient_id=patient_id,
            type_id=type_id,
            reason_id=wish.reason_id,
            minutes=slot.minutes + sum(follower.minutes for follower in followers),
            by=request.by,
            at=now,
            rendering_id=slot.provider_id,
            options=options or {},
            swallowed=tuple(follower.id for follower in followers),
        )
        self._touch(slot, request.by, "ScheduleAppointment")
        return slot

    def cancel(
        self, slot: Slot, patient_id: str, request: Request, reason_id: str | None = None, text: str | None = None
    ) -> Slot:
        """Cancel a visit; whether its time can be booked again, under another id, is for the reason to say.

        Raises:
            Refusal: It is not a visit to come of that patient, or there is no such reason.
        """
        booking = self._coming(slot, patient_id)
        self._end(slot, booking, request, reason_id, text, moved_to=None)
        return slot

    def reschedule(
        self,
        old: Slot,
        new: Slot,
        patient_id: str,
        request: Request,
        *,
        reason_id: str | None = None,
        cancel_reason_id: str | None = None,
    ) -> Slot:
        """Cancel one visit and book another in its place; return the new one.

        Raises:
            Refusal: The old is not a visit to come of that patient, or the new slot cannot be had.
        """
        booking = self._coming(old, patient_id)
        self._cancel_reason(cancel_reason_id)
        wish = Wish(reason_id=reason_id or booking.reason_id)
        if wish.reason_id is None:
            wish = Wish(type_id=booking.type_id)
        self.book(new, patient_id, wish, request, dict(booking.options))
        if new.booking is not None:
            new.booking.insurances = dict(booking.insurances)
        self._end(old, booking, request, cancel_reason_id, None, moved_to=new.id)
        return new

    def freeze(self, slot: Slot, by: str, *, frozen: bool) -> bool:
        """Freeze or release a slot; say whether it was open, without which nothing happens."""
        if not slot.is_open:
            return False
        slot.is_frozen = frozen
        self._touch(slot, by, "FreezeAppointment" if frozen else "UnfreezeAppointment")
        return True

    def open(self, slot: Slot) -> Slot:
        """Add an open slot."""
        self._account.add(slot)
        self._feed.record("AddAppointmentSlot", slot)
        return slot

    def delete(self, slot: Slot, by: str) -> None:
        """Delete an open slot.

        Raises:
            Refusal: It is not open.
        """
        if not slot.is_open:
            raise Refusal("Only open appointment slots can be deleted.")
        del self._account.slots[slot.id]
        self._touch(slot, by, "DeleteAppointment")

    def set_status(self, slot: Slot, status: str, by: str) -> None:
        """Check a patient in or out, or enter the charge.

        Raises:
            Refusal: Nobody has booked the slot.
        """
        if slot.booking is None or slot.status == CANCELLED:
            raise invalid("appointmentid")
        slot.status = status
        self._touch(slot, by, _EVENT_OF_STATUS.get(status, "UpdateAppointment"))

    def update(self, slot: Slot, by: str) -> None:
        """Tell that something about a visit was changed."""
        self._touch(slot, by, "UpdateAppointment")

    def new_slot(self, like: Slot, by: str) -> Slot:
        """Return a fresh open slot, not on the schedule yet, in the place of `like`."""
        return replace(
            like,
            id=self._account.next_id("slot"),
            status=OPEN,
            is_frozen=False,
            booking=None,
            modified_at=self._clock.now(),
            modified_by=by,
        )

    def _end(
        self,
        slot: Slot,
        booking: Booking,
        request: Request,
        reason_id: str | None,
        text: str | None,
        *,
        moved_to: str | None,
    ) -> None:
        reason = self._cancel_reason(reason_id)
        slot.status = CANCELLED
        booking.cancellation = Cancellation(
            reason_id=reason, by=request.by, at=self._clock.now(), text=text, moved_to=moved_to
        )
        self._touch(slot, request.by, "CancelAppointment")
        if self._account.cancel_reasons[reason].slotavailable:
            self._account.add(self.new_slot(slot, request.by))
        for swallowed in booking.swallowed:
            follower = self._account.slots.pop(swallowed)
            if self._account.cancel_reasons[reason].slotavailable:
                follower.swallowed_by = None
                self._account.add(follower)

    def _cancel_reason(self, reason_id: str | None) -> str:
        chosen = reason_id or FROM_API.appointmentcancelreasonid
        if chosen not in self._account.cancel_reasons:
            raise invalid("appointmentcancelreasonid")
        return chosen

    def _coming(self, slot: Slot, patient_id: str) -> Booking:
        if slot.status == CANCELLED:
            raise Refusal("The appointment is already cancelled.")
        if slot.booking is None or slot.status != FUTURE:
            raise Refusal("The appointment is not in a status that can be changed.")
        if slot.booking.patient_id != patient_id:
            raise invalid("patientid", message="The patient ID does not match the appointment.")
        return slot.booking

    def _check_patient(self, patient_id: str) -> None:
        patient = self._account.patients.get(patient_id)
        if patient is None:
            raise unknown("patient")
        if patient["status"] == "deleted":
            raise invalid("patientid", message="The patient is deleted or was merged into another.")

    def _touch(self, slot: Slot, by: str, event: str) -> None:
        slot.modified_at, slot.modified_by = self._now(), by
        self._feed.record(event, slot)
        self._webhooks.announce(event, slot)

    def _now(self) -> datetime:
        return self._clock.now()
