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


class TooLate(BookingRefused):
    """Patients may change a visit until some hours before it; then they have to call."""

    slug, title = "too-late", "It is too late to change the visit here"


class NotActive(BookingRefused):
    """The visit was cancelled, declined, missed, or never came to be."""

    slug, title = "visit-not-active", "The visit does not stand any more"


class ChangePending(BookingRefused):
    """The EHR has not answered yet to what was done to the visit before."""

    slug, title = "change-pending", "An earlier change of the visit is still under way"


class NotBookedHere(BookingRefused):
    """The visit came from the EHR, and nobody knows its payer, service or provider: it is moved there."""

    slug, title = "visit-incomplete", "Too little is known of the visit to move it here"


class TooMany(MoonlitError):
    """One address has done more than the practice lets an address do."""

    status, slug, title = HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", "Too much was asked from this address"


class LeadStatusRefused(MoonlitError):
    """Leads only go forward: pending, contacted, converted."""

    status, slug, title = HTTPStatus.CONFLICT, "lead-status", "The lead is further already"
