"""The patient's desk: book, and look at the booking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from moonlit.booking import tokens
from moonlit.booking.answers import AppointmentAnswer, appointment
from moonlit.booking.attempt import Key, Wanted
from moonlit.booking.errors import BookingRefused, EhrRefusedBooking
from moonlit.booking.saga import Saga
from moonlit.booking.store import Visits
from moonlit.booking.use_cases import accept, taken
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.errors import NotFound


def book(saga: Saga, wanted: Wanted, key: Key, token_key: str) -> AppointmentAnswer:
    """Accept the booking, bring it to the EHR, and return the visit: confirmed, or pending for the sweeper.

    Raises:
        BookingRefused: Nothing was booked, or the EHR turned it down and the time is free again.
        NotFound: No such payer, service or provider.
    """
    appointment_id = accept(saga.begin, saga.clock, wanted, key)
    saga.write(appointment_id)
    details = _details(saga.begin, appointment_id)
    if details["status"] == "failed":
        raise _failed(saga, wanted, details)
    return appointment(details, saga.clock.now(), tokens.issue(token_key, appointment_id, details["end"]))


def show(begin: Begin, clock: Clock, appointment_id: UUID, token: str, token_key: str) -> AppointmentAnswer:
    """Return the visit to who holds its token.

    Raises:
        TokenRefused: The token does not open this visit, whether or not there is one.
        NotFound: The token is good, the visit is gone.
    """
    tokens.check(token_key, token, appointment_id, clock.now())
    return appointment(_details(begin, appointment_id), clock.now())


def _details(begin: Begin, appointment_id: UUID) -> Mapping[str, Any]:
    with begin() as connection:
        details = Visits(connection).details(appointment_id)
    if details is None:
        raise NotFound("no such visit")
    return details


def _failed(saga: Saga, wanted: Wanted, details: Mapping[str, Any]) -> BookingRefused:
    reason = str(details["status_reason"])
    if reason.startswith("ehr_refused"):
        return EhrRefusedBooking(f"{reason}, visit {details['id']}")
    return taken(saga.begin, saga.clock, wanted)
