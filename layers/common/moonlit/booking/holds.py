"""Hold a slot for some minutes: nobody else is offered it, and its owner may book it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from moonlit.availability.open_slots import OpenSlots
from moonlit.booking.callers import Callers, PublicLimits
from moonlit.booking.claims import Claims
from moonlit.booking.errors import BookingRefused, SlotNotOffered, SlotTaken, TooMany
from moonlit.booking.holds_store import Freeze, Hold, Holds
from moonlit.booking.offer import Counter, Offer
from moonlit.booking.outbox import Outbox
from moonlit.booking.saga import CONFLICT, PAUSE, Saga, growing
from moonlit.booking.use_cases import candidates, refusal
from moonlit.booking.wanted import SlotWish
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.ehr.port import EhrError, EhrRefused, Lane
from moonlit.observability import logger

LASTS = timedelta(minutes=10)
SECONDS_KEPT = 5.0
THAW_ATTEMPTS = 10  # Some hours: a slot that stays frozen then is for staff to open.


def place(saga: Saga, wish: SlotWish, caller: str) -> Hold:
    """Hold the slot for ten minutes, in the EHR too where that can be done, and return the hold.

    Raises:
        BookingRefused: One of its kinds, with `alternatives`; nothing is held.
        TooMany: The caller holds enough already.
        NotFound: No such payer, service or provider.
    """
    if wish.start.microsecond:
        raise refusal(saga.begin, saga.clock, wish, SlotNotOffered("between two seconds"))
    refused: BookingRefused | None = None
    try:
        for provider_id in candidates(saga.begin, saga.clock, wish):
            attempt = _Attempt(saga.clock, replace(wish, provider_id=provider_id), caller)
            with suppress(SlotTaken):
                hold, offer = retried_once(partial(attempt.run, saga.begin), SlotTaken("writers kept colliding"))
                refused = SlotTaken("taken in the EHR")  # What was free here, if it cannot be kept there.
                _freeze(saga, hold, offer)
                return hold
    except BookingRefused as error:
        refused = error
    raise refusal(saga.begin, saga.clock, wish, refused)


def drop(saga: Saga, hold_id: UUID) -> None:
    """Give the slot back; a hold that is gone stays so."""
    with saga.begin() as connection:
        holds = Holds(connection)
        holds.drop(hold_id)
        frozen = holds.frozen_for(hold_id)
        holds.thaw_at(hold_id, saga.clock.now())
    for freeze in frozen:
        _thaw(saga, freeze)


def thaw_due(saga: Saga, limit: int, time_left: Callable[[], float]) -> int:
    """Thaw the slots whose holds are over, as far as time reaches; return how many."""
    with saga.begin() as connection:
        due = Holds(connection).to_thaw(saga.clock.now(), limit)
    return sum(_thaw(saga, freeze) for freeze in due if time_left() > SECONDS_KEPT)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try to hold the time of one provider: a transaction of its own."""

    clock: Clock
    wish: SlotWish
    caller: str

    def run(self, begin: Begin) -> tuple[Hold, Offer]:
        """Claim the time.

        Raises:
            SlotTaken: The provider does not have the slot (any more).
            RoomTaken: The service needs a room, and none is free.
            TooMany: The caller holds enough already.
        """
        with begin() as connection:
            counter, holds = Counter(connection, self.clock.now()), Holds(connection)
            ground = counter.ground(self.wish)
            counter.queue(ground, [])
            offer = counter.take(ground, self.wish)
            hold = Hold(uuid4(), ground.provider_id, offer.start, offer.end, counter.now + LASTS)
            holds.add(hold, offer.inquiry.service.id, offer.inquiry.payer.id, self.caller, counter.now)
            Claims(connection).add_for_hold(hold.id, offer.claims())
            if offer.slot_id:  # Noted before the EHR is asked: a freeze that nobody remembers would never end.
                holds.freeze(offer.seat.account_id, offer.slot_id, hold.id, hold.expires_at)
            limits = PublicLimits.model_validate(ground.inquiry.facts.settings)
            Callers(connection).use("hold", self.caller, limits.holds_per_address_hour, counter.now)
            if holds.live(self.caller, counter.now) > limits.live_holds_per_address:  # Counted when it is our turn.
                raise TooMany("too many holds at once", retryAfterSeconds=int(LASTS.total_seconds()))
        return hold, offer


def _freeze(saga: Saga, hold: Hold, offer: Offer) -> None:
    """Keep the open slot in the EHR too. A hold that the EHR does not know of is still one here.

    Raises:
        SlotTaken: Somebody has taken the slot there, so nothing is held.
    """
    if offer.slot_id is None:
        return
    account_id = offer.seat.account_id
    try:
        saga.ehr(account_id).freeze(offer.slot_id, Lane.ON_DEMAND)
    except EhrRefused as refused:
        logger.warning("slot_not_frozen", hold_id=str(hold.id), code=refused.code)
        with saga.begin() as connection:
            Holds(connection).thawed(account_id, offer.slot_id)
            if refused.code == CONFLICT:
                Holds(connection).drop(hold.id)
                OpenSlots(connection).forget(account_id, offer.slot_id)
                OpenSlots(connection).stale(account_id)
        if refused.code == CONFLICT:
            raise SlotTaken("taken in the EHR") from None
    except EhrError as error:  # It may be frozen or not: the thaw that is noted takes care of it.
        logger.warning("slot_not_frozen", hold_id=str(hold.id), code=type(error).__name__)


def _thaw(saga: Saga, freeze: Freeze) -> bool:
    try:
        saga.ehr(freeze.account_id).thaw(freeze.slot_id, Lane.ON_DEMAND)
    except EhrError as error:
        gives_up = freeze.attempts >= THAW_ATTEMPTS
        logger.warning("slot_not_thawed", slot_id=freeze.slot_id, reason=type(error).__name__, gives_up=gives_up)
        with saga.begin() as connection:
            now = saga.clock.now()
            if not gives_up:
                at = now + growing(PAUSE, freeze.attempts, timedelta(days=1))
                Holds(connection).postpone_thaw(freeze, at)
                return False
            Outbox(connection).add("staff_alert.slot_left_frozen", freeze.hold_id, now, slotId=freeze.slot_id)
    with saga.begin() as connection:
        Holds(connection).ended(freeze)
    return True
