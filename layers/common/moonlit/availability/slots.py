"""Free slots, computed from hours and from everything that takes time. Pure; instants are epoch seconds.

The trick that keeps the loops short: for a visit of a given length, every rule says which *starts* it allows, so the
rules become lists of start ranges that are intersected and subtracted before a single slot is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from moonlit.availability.hours import DAY, Hours, Span, clip, epoch_day, expand, intersect, merge, stretches, subtract
from moonlit.payers.rules import Basis, Eligible

MINUTE = 60
_A_DAY = timedelta(days=1)
# The days that are asked for may be another zone's. From Midway to Kiritimati it is 25 hours: two dates ahead.
ZONES_APART = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Visit:
    """How much time a visit takes, in seconds: its length, and the buffers that must be free around it."""

    length: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where starts may lie.

    Attributes:
        first: First day asked for, in `zone`.
        last: Last day asked for.
        zone: The zone whose days are asked for.
        earliest: The instant before which it is too late to book: now and the notice.
        until: The instant at which the horizon ends.
        grid: Seconds between the starts that are offered, counted from the provider's local midnight.
    """

    first: date
    last: date
    zone: str
    earliest: int
    until: int
    grid: int


class OpenSlot(NamedTuple):
    """Time that an EHR offers for one visit; `takes_service` when that is one of the service asked for."""

    start: int
    end: int
    takes_service: bool


@dataclass(frozen=True, slots=True)
class Diary:
    """A provider's time.

    Attributes:
        zone: Where the grid and the daily cap count their days.
        hours: Only those of the modality and place that are asked for.
        busy: Of the person behind the provider, over all their ids: time off, claims with their buffers, the EHR's rows
            without. A visit's buffers may reach past the hours, but not onto any of these.
        full_days: The person's local days on which the cap is reached.
        synced_until: The end of what is known of the EHR's calendar: no visit reaches past it, nor do its buffers.
        open_slots: What the EHR offers, for a provider who can be booked only there. It stands in place of hours and
            grid: the visits begin when such a slot does. None for everybody else.
    """

    zone: str
    hours: Sequence[Hours]
    busy: Sequence[Span]
    full_days: Sequence[date]
    synced_until: int
    open_slots: Sequence[OpenSlot] | None = None


def merged_slots(
    eligible: Iterable[Eligible],
    diaries: Mapping[UUID, Diary],
    visit: Visit,
    bounds: Bounds,
    practice_zone: str,
    *,
    rooms: Sequence[Sequence[Span]] | None = None,
) -> dict[int, list[UUID]]:
    """Return each free start with the providers who have it, starts rising, providers in the order of `eligible`.

    Args:
        eligible: Who may be booked, on which grounds.
        diaries: By provider; attendings of co-visits included.
        visit: What is to be fitted in.
        bounds: Where it may start.
        practice_zone: Contracts count the practice's local days.
        rooms: When each room is taken, if the visit needs one that is free with its buffers; None if it needs none.
    """
    merged: defaultdict[int, list[UUID]] = defaultdict(list)
    joining: dict[UUID, list[Span]] = {}

    def joinable(attending_id: UUID) -> list[Span]:
        if attending_id not in joining:
            diary = diaries[attending_id]
            joining[attending_id] = _free(_within_work(diary, visit, bounds), diary, visit, bounds)
        return joining[attending_id]

    with_room = None if rooms is None else _starts_with_room(rooms, visit, bounds)
    for candidate in eligible:
        diary = diaries[candidate.provider.id]
        own = allowed_starts(diary, visit, bounds)
        allowed = _starts_on_grounds(candidate, own, joinable, bounds, practice_zone)
        if with_room is not None:
            allowed = intersect(allowed, with_room)
        for start in _starts(allowed, diary, bounds):
            merged[start].append(candidate.provider.id)
    return dict(sorted(merged.items()))


def allowed_starts(diary: Diary, visit: Visit, bounds: Bounds) -> list[Span]:
    """Return the ranges in which a visit may start as far as this one person's time goes."""
    if diary.open_slots is None:
        return _free(_within_work(diary, visit, bounds), diary, visit, bounds)
    fitting = {slot.start for slot in diary.open_slots if slot.takes_service and slot.end - slot.start >= visit.length}
    return _free([(start, start + 1) for start in sorted(fitting)], diary, visit, bounds)


def _within_work(diary: Diary, visit: Visit, bounds: Bounds) -> list[Span]:
    """Return the starts with which the visit lies within the hours, or within what the EHR offers in their place."""
    if diary.open_slots is None:
        working = expand(diary.hours, bounds.first - ZONES_APART, bounds.last + ZONES_APART)
    else:
        working = merge((slot.start, slot.end) for slot in diary.open_slots)
    # A visit that ends with its window is within it, so the last start counts: ranges are half-open.
    return [(start, end - visit.length + 1) for start, end in working if end - start >= visit.length]


def _free(starts: Sequence[Span], diary: Diary, visit: Visit, bounds: Bounds) -> list[Span]:
    full = [local_day(day, diary.zone) for day in diary.full_days]
    first, end = _bounded(bounds)
    known = diary.synced_until - visit.length - visit.after + 1
    return clip(subtract(starts, [*_colliding(diary.busy, visit), *full]), (first, min(end, known)))


def _colliding(busy: Iterable[Span], visit: Visit) -> list[Span]:
    """Return the starts with which the visit, or one of its buffers, would be on time that is taken."""
    before, after = visit.before, visit.after + visit.length - 1
    return [(start - after, end + before) for start, end in busy]


def _starts_with_room(rooms: Iterable[Sequence[Span]], visit: Visit, bounds: Bounds) -> list[Span]:
    within = _bounded(bounds)
    return merge(span for taken in rooms for span in subtract([within], _colliding(taken, visit)))


def _bounded(bounds: Bounds) -> Span:
    first, end = days(bounds.first, bounds.last, bounds.zone)
    return max(first, bounds.earliest), min(end, bounds.until)


def _starts(allowed: Sequence[Span], diary: Diary, bounds: Bounds) -> Iterable[int]:
    if diary.open_slots is None:
        return ticks(allowed, diary.zone, bounds)
    return (second for start, end in allowed for second in range(start, end))  # Each of them is a slot's start.


def ticks(allowed: Iterable[Span], zone: str, bounds: Bounds) -> Iterator[int]:
    """Yield the starts of the grid in the ranges; the grid starts anew at each local midnight."""
    segments = stretches(zone, bounds.first - ZONES_APART, bounds.last + ZONES_APART)
    even = DAY % bounds.grid == 0
    for range_start, range_end in allowed:
        for segment in segments:
            start, end = max(range_start, segment.start), min(range_end, segment.end)
            if start >= end:
                continue
            first = start + -(start + segment.offset) % bounds.grid
            if even:
                yield from range(first, end, bounds.grid)
            else:
                yield from (t for t in range(start + -start % MINUTE, end, MINUTE)
                            if (t + segment.offset) % DAY % bounds.grid == 0)  # fmt: skip


def days(first: date, last: date, zone: str) -> Span:
    """Return the span of the local days `first` to `last`; empty when `last` is before `first`."""
    return local_day(first, zone)[0], local_day(last, zone)[1]


def local_day(day: date, zone: str) -> Span:
    """Return a local day as a span; it may be 23 or 25 hours long."""
    return _midnight(day, zone), _midnight(day + _A_DAY, zone)


def _midnight(day: date, zone: str) -> int:
    # The first instant of the day. Where midnight is skipped, that is the instant of the change.
    wall = epoch_day(day) * DAY
    return next(
        max(stretch.start, wall - stretch.offset)
        for stretch in stretches(zone, day, day)
        if wall - stretch.offset < stretch.end
    )


def local_date(instant: int, zone: str) -> date:
    """Return the local day on which the instant lies."""
    return datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(zone)).date()


def _starts_on_grounds(
    candidate: Eligible, own: list[Span], joinable: Callable[[UUID], list[Span]], bounds: Bounds, practice_zone: str
) -> list[Span]:
    found: list[Span] = []
    for basis, span in _grounds_by_day(candidate, bounds, practice_zone):
        starts = clip(own, span)
        if basis.co_visit and basis.attending_id:
            starts = intersect(starts, joinable(basis.attending_id))
        found += starts
    return merge(found)


def _grounds_by_day(candidate: Eligible, bounds: Bounds, zone: str) -> Iterator[tuple[Basis, Span]]:
    """Yield the best ground of each practice-local day in bounds, neighbouring days of one ground together."""
    first, end = bounds.first - ZONES_APART, bounds.last + ZONES_APART + _A_DAY
    turns = {first, end} | {basis.first for basis in candidate.bases}
    turns |= {basis.last + _A_DAY for basis in candidate.bases if basis.last and basis.last < end}
    for day, next_turn in pairwise(sorted(day for day in turns if first <= day <= end)):
        if basis := candidate.basis_on(day):
            yield basis, days(day, next_turn - _A_DAY, zone)
