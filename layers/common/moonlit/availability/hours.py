"""Working hours, written as wall-clock times of a zone, expanded into instants.

Instants are integers here, seconds since 1970 in UTC: the loops over slots compare millions of them. A zone is asked
only where its offset changes. An instant is within a window when the wall clock shows a time of the window at it, so
a window over a skipped hour is shorter, and one over a repeated hour holds both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

DAY = 86_400
_EPOCH = date(1970, 1, 1)

type Span = tuple[int, int]
"""A stretch of time, [start, end), in epoch seconds."""


@dataclass(frozen=True, slots=True)
class Hours:
    """A weekly window of work; `end` at or before `start` lies on the next day.

    Attributes:
        weekday: 0 is Monday: the day on which the window starts.
        start: Seconds after local midnight.
        end: The same, up to 86,400.
        valid_from: First day on which a window starts, None for ever.
        valid_to: Last such day.
    """

    weekday: int
    start: int
    end: int
    zone: str
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time over which a zone's offset stays the same: wall clock = instant + offset."""

    start: int
    end: int
    offset: int


@lru_cache(maxsize=512)
def stretches(zone: str, first: date, last: date) -> tuple[Stretch, ...]:
    """Return the stretches of equal offset that cover the local days `first` to `last`, earliest first."""
    info = ZoneInfo(zone)

    def offset_at(instant: int) -> int:
        delta = datetime.fromtimestamp(instant, UTC).astimezone(info).utcoffset()
        return int((delta or timedelta(0)).total_seconds())

    # Local days lie within a day of UTC's. No zone changes its offset twice within one day.
    marks = range(epoch_day(first) * DAY - DAY, (epoch_day(last) + 2) * DAY + 1, DAY)
    found = [Stretch(marks[0], marks[-1], offset_at(marks[0]))]
    for left, right in pairwise(marks):
        before, after = found[-1], offset_at(right)
        if after != before.offset:
            change = left + bisect_left(range(left, right), 1, key=lambda t: int(offset_at(t) == after))
            found[-1:] = [Stretch(before.start, change, before.offset), Stretch(change, before.end, after)]
    return tuple(found)


def expand(hours: Iterable[Hours], first: date, last: date) -> list[Span]:
    """Return when the hours hold on the local days `first` to `last`, sorted and merged.

    A window that began on the evening before `first` counts with its part after midnight, and one that begins on
    `last` reaches past midnight whole.
    """
    return merge(span for window in hours for span in _expand_one(window, first - timedelta(days=1), last))


def _expand_one(window: Hours, first: date, last: date) -> Iterator[Span]:
    low = max(first, window.valid_from or first)
    high = min(last, window.valid_to or last)
    length = (window.end - window.start) if window.end > window.start else (window.end - window.start + DAY)
    zone = stretches(window.zone, first, last + timedelta(days=1))
    begin = epoch_day(low) + (window.weekday - low.weekday()) % 7
    for day in range(begin, epoch_day(high) + 1, 7):
        wall = day * DAY + window.start
        for stretch in zone:
            start, end = max(stretch.start, wall - stretch.offset), min(stretch.end, wall + length - stretch.offset)
            if start < end:
                yield start, end


def merge(spans: Iterable[Span]) -> list[Span]:
    """Return the union of the spans, sorted; spans that touch become one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def subtract(spans: Sequence[Span], taken: Iterable[Span]) -> list[Span]:
    """Return what is left of the sorted `spans` without the `taken` ones."""
    left: list[Span] = []
    gaps = merge(taken)
    first = 0
    for begin, end in spans:
        start = begin
        while first < len(gaps) and gaps[first][1] <= start:
            first += 1
        for gap_start, gap_end in islice(gaps, first, None):
            if gap_start >= end:
                break
            if gap_start > start:
                left.append((start, gap_start))
            start = max(start, gap_end)
        if start < end:
            left.append((start, end))
    return left


def intersect(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """Return what lies in both of two sorted, merged lists."""
    common: list[Span] = []
    i = j = 0
    while i < len(one) and j < len(other):
        start, end = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if start < end:
            common.append((start, end))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return common


def clip(spans: Iterable[Span], to: Span) -> list[Span]:
    """Return what of the spans lies in one other."""
    first, last = to
    cut = ((max(start, first), min(end, last)) for start, end in spans)
    return [(start, end) for start, end in cut if start < end]


def epoch_day(day: date) -> int:
    """Return the days from 1970-01-01 to `day`."""
    return (day - _EPOCH).days
