"""Accept a booking: the first transaction of the saga. Nothing here talks to an EHR (see saga.py)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from moonlit.availability.store import Availability
from moonlit.availability.use_cases import Inquiry, free_slots, inquire
from moonlit.booking.attempt import Accepted, Attempt, KeyTaken
from moonlit.booking.callers import Callers, PublicLimits
from moonlit.booking.errors import (
    BookingRefused,
    IdempotencyKeyReused,
    PatientOverlap,
    PayerNotAccepted,
    ProviderNotEligible,
    SlotNotOffered,
    SlotTaken,
)
from moonlit.booking.holds_store import Holds
from moonlit.booking.keys import Keys
from moonlit.booking.rules import nearest
from moonlit.booking.store import Visits
from moonlit.booking.wanted import Key, SlotWish, Wanted
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.payers.rules import Excluded

ALTERNATIVE_DAYS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Refusals:
    """What the EHR has turned down of a booking already: by whom, and the last visit that came to nothing."""

    provider_ids: frozenset[UUID] = frozenset()
    last: UUID | None = None


NONE_YET = Refusals()


def accept(begin: Begin, clock: Clock, wanted: Wanted, key: Key, refusals: Refusals = NONE_YET) -> Accepted:
    """Store the booking as pending, with a write for the EHR.

    The same key and body again return the same visit. A hold says who shall serve, unless the booking does.

    Raises:
        BookingRefused: One of its kinds, with `alternatives`; nothing was stored.
        NotFound: No such payer, service or provider.
    """
    if wanted.start.microsecond:
        raise refusal(begin, clock, wanted, SlotNotOffered("between two seconds"))
    wanted, refused = _with_hold(begin, clock, wanted), None
    try:
        for provider_id in _candidates(begin, clock, wanted, refusals):
            attempt = Attempt(clock, replace(wanted, provider_id=provider_id), key, refusals.last)
            with suppress(SlotTaken):
                return retried_once(partial(attempt.run, begin), SlotTaken("writers kept colliding"))
    except KeyTaken:
        pass
    except BookingRefused as error:
        refused = error
    if before := _replayed(begin, key, refusals.last):
        return Accepted(before, None)
    _count(begin, clock, wanted, refused)
    if refused is None and refusals.last:
        refused = SlotTaken("taken in the EHR")
    raise refusal(begin, clock, wanted, refused)


def _count(begin: Begin, clock: Clock, wanted: Wanted, refused: BookingRefused | None) -> None:
    """Count a refusal that tells of a patient's visits as a booking: nobody shall ask for that all day.

    Raises:
        TooMany: The caller has booked, and asked, a lot within the hour.
    """
    if wanted.caller and isinstance(refused, PatientOverlap):
        with begin() as connection:
            limits = PublicLimits.model_validate(Visits(connection).settings())
            Callers(connection).use("booking", wanted.caller, limits.bookings_per_address_hour, clock.now())


def _replayed(begin: Begin, key: Key, besides: UUID | None) -> UUID | None:
    with begin() as connection:
        before = Keys(connection).used(key.value, besides=besides)
    if before and before.body_hash != key.body_hash:
        raise IdempotencyKeyReused("the key was used with another body")
    return before.appointment_id if before else None


def _with_hold(begin: Begin, clock: Clock, wanted: Wanted) -> Wanted:
    if wanted.hold_id is None or wanted.provider_id:
        return wanted
    with begin() as connection:
        hold = Holds(connection).get(wanted.hold_id)
    is_good = hold and hold.expires_at > clock.now() and hold.start == wanted.start
    return replace(wanted, provider_id=hold.provider_id) if hold and is_good else wanted


def candidates(begin: Begin, clock: Clock, wish: SlotWish) -> Sequence[UUID]:
    """Return who seems to have the slot, as seen without locks: who has least to do that day first, then by id."""
    if wish.provider_id:
        return (wish.provider_id,)
    with begin() as connection:
        store = Availability(connection)
        inquiry = inquire(store, wish.request(), clock.now())
        ids = free_slots(store, inquiry).get(int(wish.start.timestamp()), [])
        load = Visits(connection).visits_on(ids, wish.start.astimezone(inquiry.facts.zone_info))
    return sorted(ids, key=lambda provider_id: (load.get(provider_id, 0), str(provider_id)))


def _candidates(begin: Begin, clock: Clock, wanted: Wanted, refusals: Refusals) -> Sequence[UUID]:
    return [each for each in candidates(begin, clock, wanted) if each not in refusals.provider_ids]


def refusal(begin: Begin, clock: Clock, wish: SlotWish, reason: BookingRefused | None = None) -> BookingRefused:
    """Return why the slot cannot be had: a rule, a time that never was a slot, or somebody else's visit.

    Args:
        begin: Opens a transaction.
        clock: Tells the time.
        wish: What was asked for.
        reason: What is known already; alternatives are added to it.
    """
    request = replace(wish.request(), provider_ids=(), with_room=True)
    with begin() as connection:
        store, now = Availability(connection), clock.now()
        reason = reason or _why(store, wish, now) or SlotTaken("another visit or hold has some of the time")
        inquiry = inquire(store, replace(request, last=request.last + ALTERNATIVE_DAYS), now)
        free = free_slots(store, inquiry)
    reason.extra["alternatives"] = nearest(free, wish.start, inquiry.service.duration_minutes, inquiry.facts.zone_info)
    return reason


def _why(store: Availability, wish: SlotWish, now: datetime) -> BookingRefused | None:
    inquiry = inquire(store, wish.request(), now)
    if refused := _against_rules(inquiry, wish):
        return refused
    ever = inquire(store, replace(wish.request(), ignore_busy=True), now)
    if int(wish.start.timestamp()) in free_slots(store, ever) or _was_open(store, inquiry, wish.start):
        return None
    return SlotNotOffered("outside the hours, off the grid, too soon or too far ahead")


def _was_open(store: Availability, inquiry: Inquiry, start: datetime) -> bool:
    """Tell whether the time may have been one of the EHR's open slots, of which those that are booked are forgotten."""
    ids = [each for each in inquiry.involved if each in inquiry.facts.slots_read_at]
    if not ids or start < inquiry.now:
        return False
    first = int(start.timestamp())
    persons = {inquiry.facts.providers[each].person_id for each in ids}
    span = first, first + inquiry.service.duration_minutes * 60
    return any(store.busy(persons, span, inquiry.now, inquiry.request.own).values())


def _against_rules(inquiry: Inquiry, wish: SlotWish) -> BookingRefused | None:
    if inquiry.excluded[Excluded.PAYER_NOT_ACCEPTED]:
        return PayerNotAccepted("no contract with the payer is in force or begins soon")
    if any(inquiry.basis_at(one.provider.id, wish.start) for one in inquiry.eligible):
        return None
    return ProviderNotEligible(
        "no provider may be booked for this visit",
        excluded=[{"reason": reason, "providers": n} for reason, n in sorted(inquiry.excluded.items())],
    )
