"""Accept a booking: the first transaction of the saga. Nothing here talks to an EHR (see saga.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from moonlit.availability.store import Availability
from moonlit.availability.use_cases import Inquiry, free_slots, inquire
from moonlit.booking.attempt import Attempt, Key, KeyTaken, Wanted
from moonlit.booking.errors import (
    BookingRefused,
    IdempotencyKeyReused,
    PayerNotAccepted,
    ProviderNotEligible,
    SlotNotOffered,
    SlotTaken,
)
from moonlit.booking.rules import nearest
from moonlit.booking.store import Visits
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.payers.rules import Excluded

ALTERNATIVE_DAYS = timedelta(days=7)


def accept(begin: Begin, clock: Clock, wanted: Wanted, key: Key) -> UUID:
    """Store the booking as pending, with a write for the EHR, and return the visit's id.

    The same key and body again return the same id.

    Raises:
        BookingRefused: One of its kinds, with `alternatives` when the slot is taken; nothing was stored.
        NotFound: No such payer, service or provider.
    """
    if wanted.start.microsecond:
        raise SlotNotOffered("between two seconds")
    if before := _replayed(begin, key):
        return before
    refused: BookingRefused | None = None
    for provider_id in _candidates(begin, clock, wanted):
        attempt = Attempt(clock, replace(wanted, provider_id=provider_id), key)
        try:
            return retried_once(partial(attempt.run, begin), SlotTaken("writers kept colliding"))
        except SlotTaken:
            continue
        except KeyTaken:
            break
        except BookingRefused as error:
            refused = error
            break
    if before := _replayed(begin, key):  # A rival with the same key has booked this very visit.
        return before
    raise refused or _refusal(begin, clock, wanted)


def _replayed(begin: Begin, key: Key) -> UUID | None:
    with begin() as connection:
        before = Visits(connection).key_used(key.value)
    if before and before.body_hash != key.body_hash:
        raise IdempotencyKeyReused("the key was used with another body")
    return before.appointment_id if before else None


def _candidates(begin: Begin, clock: Clock, wanted: Wanted) -> Sequence[UUID]:
    """Return who seems to have the slot, as seen without locks: who has least to do that day first, then by id."""
    if wanted.provider_id:
        return (wanted.provider_id,)
    with begin() as connection:
        store = Availability(connection)
        inquiry = inquire(store, wanted.request(), clock.now())
        ids = free_slots(store, inquiry).get(int(wanted.start.timestamp()), [])
        load = Visits(connection).visits_on(ids, wanted.start.astimezone(inquiry.facts.zone_info))
    return sorted(ids, key=lambda provider_id: (load.get(provider_id, 0), str(provider_id)))


def _refusal(begin: Begin, clock: Clock, wanted: Wanted) -> Exception:
    """Return why the booking cannot be: a rule, a time that never was a slot, or somebody else's visit."""
    with begin() as connection:
        store = Availability(connection)
        inquiry = inquire(store, wanted.request(), clock.now())
        if refused := _against_rules(inquiry, wanted):
            return refused
        ever = inquire(store, replace(wanted.request(), ignore_busy=True), clock.now())
        if int(wanted.start.timestamp()) not in free_slots(store, ever):
            return SlotNotOffered("outside the hours, off the grid, too soon or too far ahead")
    return taken(begin, clock, wanted)


def taken(begin: Begin, clock: Clock, wanted: Wanted) -> SlotTaken:
    """Return the refusal with the free slots nearest to the wanted one, of everyone eligible."""
    request = replace(wanted.request(), provider_ids=())
    with begin() as connection:
        store = Availability(connection)
        inquiry = inquire(store, replace(request, last=request.last + ALTERNATIVE_DAYS), clock.now())
        free = free_slots(store, inquiry)
    minutes, zone = inquiry.service.duration_minutes, inquiry.facts.zone_info
    return SlotTaken(
        "another visit or hold has some of the time", alternatives=nearest(free, wanted.start, minutes, zone)
    )


def _against_rules(inquiry: Inquiry, wanted: Wanted) -> Exception | None:
    if inquiry.excluded[Excluded.PAYER_NOT_ACCEPTED]:
        return PayerNotAccepted("no contract with the payer is in force or begins soon")
    if any(inquiry.basis_at(one.provider.id, wanted.start) for one in inquiry.eligible):
        return None
    return ProviderNotEligible(
        "no provider may be booked for this visit",
        excluded=[{"reason": reason, "providers": n} for reason, n in sorted(inquiry.excluded.items())],
    )
