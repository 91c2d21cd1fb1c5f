"""Rules about the practice's people: numbers that are none, hours that collide, and visits that a change strands.

Pure; instants are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import combinations
from uuid import UUID

from moonlit.availability.hours import DAY, Hours, Span, expand

_EPOCH = date(1970, 1, 1)
_AROUND = 2  # A visit may lie on another date in the zone of the hours: up to 26 hours apart.
_WEEK_DAYS = 7
_LUHN_BASE = 10
_US_HEALTH = "80840"  # The issuer that a US health identifier stands for when its check digit is made (45 CFR 162.406).


@dataclass(frozen=True, slots=True)
class Window:
    """A weekly window of work, with what it is offered for.

    Attributes:
        modality: `telehealth` or `in_person`.
        location_id: Where, None for nowhere in particular.
    """

    hours: Hours
    modality: str
    location_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Stay:
    """A visit's time, [start, end), and what of the hours it needs; None for anything."""

    id: UUID
    start: int
    end: int
    modality: str | None = None
    location_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Practising:
    """What of a provider lets them give visits."""

    active: bool
    states: frozenset[str]


def is_npi(number: str) -> bool:
    """Return whether it is a National Provider Identifier: ten digits of which the last one checks the others."""
    if not (len(number) == _LUHN_BASE and number.isascii() and number.isdecimal()):
        return False
    total = 0
    for place, digit in enumerate(map(int, reversed(_US_HEALTH + number))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004  # The sum of a doubled digit's own two.
    return total % _LUHN_BASE == 0


def colliding(windows: Sequence[Window]) -> int | None:
    """Return the position of the first window that shares time with one before it, None when there is none.

    Only windows that mean the same are compared: of one modality, place and zone. Who may be seen either way at the
    same hours has a window for each.
    """
    later = (j for i, j in combinations(range(len(windows)), 2) if _collide(windows[i], windows[j]))
    return min(later, default=None)


def _collide(one: Window, other: Window) -> bool:
    if (one.modality, one.location_id, one.hours.zone) != (other.modality, other.location_id, other.hours.zone):
        return False
    return any(_meet(one.hours, other.hours, days) for days in (-1, 0, 1))


def _meet(one: Hours, other: Hours, days: int) -> bool:
    """Return whether a window of `one` shares time with one of `other` that starts `days` after it."""
    if (one.weekday + days) % _WEEK_DAYS != other.weekday:
        return False
    shift = days * DAY
    if not (one.start < other.start + shift + _length(other) and other.start + shift < one.start + _length(one)):
        return False
    firsts = [day for day in (one.valid_from, _moved(other.valid_from, -days)) if day]
    lasts = [day for day in (one.valid_to, _moved(other.valid_to, -days)) if day]
    if not (firsts and lasts):
        return True
    first = max(firsts)
    return first + timedelta(days=(one.weekday - first.weekday()) % _WEEK_DAYS) <= min(lasts)


def _length(hours: Hours) -> int:
    return hours.end - hours.start + (0 if hours.end > hours.start else DAY)


def _moved(day: date | None, days: int) -> date | None:
    return day and day + timedelta(days=days)


def left_outside(before: Collection[Window], after: Collection[Window], visits: Collection[Stay]) -> set[UUID]:
    """Return the visits that lay within the hours `before` and do not within those `after`.

    One that was outside already is none of this change's doing. Who was booked without asking for a place was given a
    room wherever one was free: a visit that never lay within the hours of its own place is looked at without.
    """
    placed = _within(before, visits)
    found = placed - _within(after, visits)
    elsewhere = [replace(visit, location_id=None) for visit in visits if visit.location_id and visit.id not in placed]
    return found | (_within(before, elsewhere) - _within(after, elsewhere))


def _within(windows: Collection[Window], visits: Collection[Stay]) -> set[UUID]:
    if not visits:
        return set()
    first = _EPOCH + timedelta(days=min(visit.start for visit in visits) // DAY - _AROUND)
    last = _EPOCH + timedelta(days=max(visit.end for visit in visits) // DAY + _AROUND)
    needs = {(visit.modality, visit.location_id) for visit in visits}
    work = {need: expand(_serving(windows, *need), first, last) for need in needs}
    return {visit.id for visit in visits if _covered(work[visit.modality, visit.location_id], visit)}


def _serving(windows: Iterable[Window], modality: str | None, location_id: UUID | None) -> list[Hours]:
    return [
        window.hours
        for window in windows
        if modality in (None, window.modality) and location_id in (None, window.location_id)
    ]


def _covered(work: Iterable[Span], visit: Stay) -> bool:
    return any(start <= visit.start and visit.end <= end for start, end in work)


def hit(off: Span, other_time_off: Collection[Span], visits: Iterable[Stay]) -> set[UUID]:
    """Return the visits on which new time off falls, without those on which some other time off lay already."""
    return {
        visit.id
        for visit in visits
        if _overlap(off, visit) and not any(_overlap(other, visit) for other in other_time_off)
    }


def _overlap(off: Span, visit: Stay) -> bool:
    return off[0] < visit.end and visit.start < off[1]


def stopped(before: Practising, after: Practising, states: Mapping[UUID, str | None]) -> dict[UUID, str]:
    """Return which visits a change of the provider strands, and why; `states` says where each one's patient will be.

    An inactive provider gives none; without a licence those in its state are not theirs to give. Who was in no state to
    give a visit before loses nothing.
    """
    if not before.active:
        return {}
    if not after.active:
        return dict.fromkeys(states, "provider_inactive")
    lost = before.states - after.states
    return {visit: "not_licensed_in_state" for visit, state in states.items() if state in lost}
