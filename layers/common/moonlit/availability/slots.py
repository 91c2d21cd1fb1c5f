"""Free slots, computed from hours and from everything that takes time. Pure; instants are epoch seconds.

The trick that keeps the loops short: for a visit of a given length, every rule says which *starts* it allows, so the
rules become lists of start ranges that are intersected and subtracted before a single slot is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from moonlit.availability.hours import DAY, Hours, Span, clip, epoch_day, expand, intersect, merge, stretches, subtract
from moonlit.payers.rules import Basis, Eligible

MINUTE = 60


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


@dataclass(frozen=True, slots=True)
class Diary:
    """A provider's time.

    Attributes:
        zone: Where the grid and the daily cap count their days.
        hours: Only those of the modality and place that are asked for.
        busy: Of the person behind the provider, over all their ids: time off, claims with their buffers, the EHR's rows
            without. A visit's buffers may reach past the hours, but not onto any of these.
        full_days: The person's local days on which the cap is reached.
        synced_until: The end of what is known of the EHR's calendar: nothing is offered after it.
    """

    zone: str
    hours: Sequence[Hours]
    busy: Sequence[Span]
    full_days: Sequence[date]
    synced_until: int


def merged_slots(
    eligible: Iterable[Eligible], diaries: Mapping[UUID, Diary], visit: Visit, bounds: Bounds, practice_zone: str
) -> dict[int, list[UUID]]:
    """Return each free start with the providers who have it, starts rising, providers in the order of `eligible`.

    Args:
        eligible: Who may be booked, on which grounds.
        diaries: By provider; attendings of co-visits included.
        visit: What is to be fitted in.
        bounds: Where it may start.
        practice_zone: Contracts count the practice's local days.
    """
    merged: defaultdict[int, list[UUID]] = defaultdict(list)
    alone: dict[UUID, list[Span]] = {}

    def starts_of(provider_id: UUID) -> list[Span]:
        if provider_id not in alone:
            alone[provider_id] = allowed_starts(diaries[provider_id], visit, bounds)
        return alone[provider_id]

    for candidate in eligible:
        diary = diaries[candidate.provider.id]
        allowed = _starts_on_grounds(candidate, starts_of, bounds, practice_zone)
        for start in ticks(allowed, diary.zone, bounds):
            merged[start].append(candidate.provider.id)
    return dict(sorted(merged.items()))


def allowed_starts(diary: Diary, visit: Visit, bounds: Bounds) -> list[Span]:
    """Return the ranges in which a visit may start as far as this one person's time goes."""
    working = expand(diary.hours, bounds.first - timedelta(days=1), bounds.last + timedelta(days=1))
    # A visit that ends with its window is within it, so the last start counts: ranges are half-open.
    fitting = [(start, end - visit.length + 1) for start, end in working if end - start >= visit.length]
    colliding = [(start - visit.after - visit.length + 1, end + visit.before) for start, end in diary.busy]
    full = [local_day(day, diary.zone) for day in diary.full_days]
    first, end = days(bounds.first, bounds.last, bounds.zone)
    within = max(first, bounds.earliest), min(end, bounds.until, diary.synced_until)
    return clip(subtract(fitting, [*colliding, *full]), within)


def ticks(allowed: Iterable[Span], zone: str, bounds: Bounds) -> Iterator[int]:
    """Yield the starts of the grid in the ranges; the grid starts anew at each local midnight."""
    segments = stretches(zone, bounds.first - timedelta(days=1), bounds.last + timedelta(days=1))
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
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


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
    candidate: Eligible, starts_of: Callable[[UUID], list[Span]], bounds: Bounds, practice_zone: str
) -> list[Span]:
    own = starts_of(candidate.provider.id)
    found: list[Span] = []
    for basis, span in _grounds_by_day(candidate, bounds, practice_zone):
        starts = clip(own, span)
        if basis.co_visit and basis.attending_id:
            starts = intersect(starts, starts_of(basis.attending_id))
        found += starts
    return merge(found)


def _grounds_by_day(candidate: Eligible, bounds: Bounds, zone: str) -> Iterator[tuple[Basis, Span]]:
    """Yield the best ground of each practice-local day in bounds, neighbouring days of one ground together."""
    day = bounds.first - timedelta(days=1)  # The asked-for days may be another zone's.
    run: tuple[Basis | None, date] = (None, day)
    while day <= bounds.last + timedelta(days=2):
        basis = candidate.basis_on(day) if day <= bounds.last + timedelta(days=1) else None
        if basis is not run[0]:
            if run[0] is not None:
                yield run[0], days(run[1], day - timedelta(days=1), zone)
            run = (basis, day)
        day += timedelta(days=1)
