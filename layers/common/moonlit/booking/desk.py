"""The desk: book, show, cancel and move visits, for patients and for staff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from moonlit.audit.store import Actor
from moonlit.booking import tokens
from moonlit.booking.answers import AppointmentAnswer, appointment
from moonlit.booking.calendar import calendar_of
from moonlit.booking.cancelling import cancel
from moonlit.booking.errors import (
    BookingRefused,
    ChangePending,
    EhrRefusedBooking,
    PatientOverlap,
    RoomTaken,
    SlotTaken,
)
from moonlit.booking.ledger import Ledger, Write
from moonlit.booking.moving import Change, Moving, wish_of
from moonlit.booking.saga import TAKEN, Saga
from moonlit.booking.store import Visits
from moonlit.booking.use_cases import Refusals, accept, refusal
from moonlit.booking.wanted import Key, SlotWish, Wanted
from moonlit.db.engine import retried_once
from moonlit.errors import NotFound


@dataclass(frozen=True, slots=True)
class Desk:
    """Where visits are handled; `token_key` signs what lets a patient come back to one."""

    saga: Saga
    token_key: str

    def book(self, wanted: Wanted, key: Key) -> AppointmentAnswer:
        """Accept the booking, bring it to the EHR, and return the visit: confirmed, or pending for the sweeper.

        Where anyone may serve and the EHR turns one provider down, the next one who has that time is tried.

        Raises:
            BookingRefused: Nothing was booked, or the EHR turned it down and the time is free again.
            NotFound: No such payer, service or provider.
        """
        refusals = Refusals()
        while True:
            accepted = accept(self.saga.begin, self.saga.clock, wanted, key, refusals)
            if accepted.write_id:
                self.saga.carry(accepted.write_id, is_new=True)
            else:
                self.saga.write(accepted.appointment_id)
            details = self._details(accepted.appointment_id)
            if details["status"] != "failed":
                return self._answer(details, with_token=True)
            is_repeated = accepted.write_id is None  # Then it is answered as it was the first time.
            if is_repeated or wanted.provider_id or details["status_reason"] != TAKEN:
                raise self._turned_down(str(details["status_reason"]), wanted)
            refusals = Refusals(refusals.provider_ids | {details["provider_id"]}, accepted.appointment_id)

    def show(self, appointment_id: UUID) -> AppointmentAnswer:
        """Return the visit.

        Raises:
            NotFound: There is none.
        """
        return self._answer(self._details(appointment_id))

    def cancel(
        self, appointment_id: UUID, reason: str | None, *, by_staff: bool = False, actor: Actor | None = None
    ) -> AppointmentAnswer:
        """Cancel the visit, here at once and in the EHR as soon as it answers; once more changes nothing.

        Args:
            appointment_id: The visit.
            reason: In the words of who cancels.
            by_staff: At any time, and not only while a patient still may.
            actor: Who of the staff cancels it, for the audit log; None for patients.

        Raises:
            BookingRefused: It is too late, or the visit does not stand.
            NotFound: There is no such visit.
        """
        begin, clock = self.saga.begin, self.saga.clock
        cancelling = partial(cancel, begin, clock, appointment_id, reason, by_staff=by_staff, actor=actor)
        write_id = retried_once(cancelling, ChangePending("somebody else is changing the visit"))
        if write_id:
            self.saga.carry(write_id, is_new=True)
        return self.show(appointment_id)

    def move(self, change: Change) -> AppointmentAnswer:
        """Move the visit and return it: at its new time, or pending there until the EHR answers.

        Raises:
            BookingRefused: It stays where it was.
            NotFound: No such visit or provider.
        """
        moving = partial(Moving(self.saga.clock, change).run, self.saga.begin)
        try:
            write_id = retried_once(moving, SlotTaken("writers kept colliding"))
        except SlotTaken:
            raise refusal(self.saga.begin, self.saga.clock, self._wish(change)) from None
        except (PatientOverlap, RoomTaken) as error:
            raise refusal(self.saga.begin, self.saga.clock, self._wish(change), error) from None
        if write_id:
            self.saga.carry(write_id, is_new=True)
            write = self._written(write_id)
            if write.state == "failed":
                raise self._turned_down(str(write.last_error), self._wish(change))
        return self.show(change.appointment_id)

    def calendar(self, appointment_id: UUID) -> bytes:
        """Return the visit as a calendar file.

        Raises:
            NotFound: There is no such visit.
        """
        return calendar_of(self._details(appointment_id), self.saga.clock.now())

    def check(self, appointment_id: UUID, token: str | None) -> None:
        """Let who holds the visit's token through.

        Raises:
            TokenRefused: The token does not open this visit, whether or not there is one.
        """
        now, expires = self.saga.clock.now(), tokens.check(self.token_key, token, appointment_id)
        if expires > now:
            return
        with self.saga.begin() as connection:  # It may have been moved to a later day.
            end = Visits(connection).end(appointment_id)
        if end is None or end + tokens.VALID_AFTER_VISIT <= now:
            raise tokens.TokenRefused("expired")

    def _answer(self, details: Mapping[str, Any], *, with_token: bool = False) -> AppointmentAnswer:
        token = tokens.issue(self.token_key, details["id"], details["end"]) if with_token else None
        return appointment(details, self.saga.clock.now(), token)

    def _details(self, appointment_id: UUID) -> Mapping[str, Any]:
        with self.saga.begin() as connection:
            details = Visits(connection).details(appointment_id)
        if details is None:
            raise NotFound("no such visit")
        return details

    def _wish(self, change: Change) -> SlotWish:
        with self.saga.begin() as connection:
            return wish_of(Visits(connection).seen(change.appointment_id), change)

    def _written(self, write_id: UUID) -> Write:
        with self.saga.begin() as connection:
            return Ledger(connection).look(write_id)

    def _turned_down(self, reason: str, wish: SlotWish) -> BookingRefused:
        """Return what to say when the EHR did not take the visit."""
        refused = SlotTaken("taken in the EHR") if reason == TAKEN else EhrRefusedBooking(reason)
        return refusal(self.saga.begin, self.saga.clock, wish, refused)
