"""Which visits fit into which slots: reasons, types, and long visits over several generic slots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from local.simulators.athena.account import Account
from local.simulators.athena.answers import invalid
from local.simulators.athena.file import Reason
from local.simulators.athena.slot import Slot

type Openings = dict[tuple[str, str, datetime], Slot]
"""Open generic slots by provider, department and start."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be booked: a reason or an appointment type, never both."""

    reason_id: str | None = None
    type_id: str | None = None


def type_for(account: Account, slot: Slot, wish: Wish) -> str | None:
    """Return the type that a booking of the slot would have, None when the slot is not for that.

    Raises:
        Refusal: There is no such reason or type.
    """
    if wish.type_id is not None:
        if wish.type_id not in account.types:
            raise invalid("appointmenttypeid")
        return wish.type_id if fits_type(account, slot, wish.type_id) else None
    reason = account.reasons.get(wish.reason_id or "")
    if reason is None:
        raise invalid("reasonid")
    return (reason.appointmenttypeid or slot.type_id) if is_offered(account, slot, reason) else None


def is_offered(account: Account, slot: Slot, reason: Reason) -> bool:
    """Say whether the slot is one for that reason."""
    if reason.departmentids and slot.department_id not in reason.departmentids:
        return False
    if reason.providerids and slot.provider_id not in reason.providerids:
        return False
    if slot.reason_ids:
        return reason.reasonid in slot.reason_ids
    return reason.appointmenttypeid is None or fits_type(account, slot, reason.appointmenttypeid)


def fits_type(account: Account, slot: Slot, type_id: str) -> bool:
    """Say whether the slot may be booked as that type."""
    return slot.type_id == type_id or account.types[slot.type_id].generic


def openings(account: Account) -> Openings:
    """Return the slots that a long visit may swallow."""
    return {
        (slot.provider_id, slot.department_id, slot.start): slot
        for slot in account.slots.values()
        if slot.is_open and not slot.is_frozen and slot.is_schedulable and account.types[slot.type_id].generic
    }


def chain(account: Account, slot: Slot, type_id: str, among: Openings | None = None) -> list[Slot] | None:
    """Return the slots that a visit of that type needs after its first, None when they are not all to be had."""
    wanted, minutes, followers = account.types[type_id].duration, slot.minutes, list[Slot]()
    if wanted <= minutes:
        return followers
    if not account.types[slot.type_id].generic:
        return None
    free, last = openings(account) if among is None else among, slot
    while minutes < wanted:
        follower = free.get((slot.provider_id, slot.department_id, last.end))
        if follower is None:
            return None
        followers.append(follower)
        minutes, last = minutes + follower.minutes, follower
    return followers
