"""The ways in which a booking is refused; each is a paragraph in docs/problems.md."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class BookingRefused(MoonlitError):
    """A rule or another caller stands against the booking; nothing was stored."""

    status = HTTPStatus.CONFLICT


class SlotTaken(BookingRefused):
    """Another visit or hold has some of the time. `alternatives` lists near slots that are free."""

    slug, title = "slot-taken", "The slot is no longer free"


class SlotNotOffered(BookingRefused):
    """The time was never a slot: outside the hours, off the grid, too soon or too far ahead."""

    slug, title = "slot-not-offered", "No such slot is offered"


class PayerNotAccepted(BookingRefused):
    """No provider has a contract with the payer that is in force or begins soon; the widget takes a lead."""

    slug, title = "payer-not-accepted", "The practice does not take this payer yet"


class ProviderNotEligible(BookingRefused):
    """The wished provider may not see this patient for this payer on that day."""

    slug, title = "provider-not-eligible", "The provider is not eligible for this visit"


class RoomTaken(BookingRefused):
    """The service needs a room, and none is free at that time."""

    slug, title = "room-taken", "No room is free at that time"


class PatientOverlap(BookingRefused):
    """The patient has another visit at that time."""

    slug, title = "patient-overlap", "The patient has another visit at that time"


class IdempotencyKeyReused(BookingRefused):
    """The key came before with another body."""

    slug, title = "idempotency-key-reused", "The idempotency key was used for another booking"


class EhrRefusedBooking(BookingRefused):
    """The EHR turned the visit down for a reason of its own; the time is free again."""

    slug, title = "ehr-refused", "The practice's calendar did not take the visit"
