"""Free starts, the slow and obvious way: look at every minute. Imports nothing of the package that it judges.

Instants are whole minutes since 1970 in UTC; spans are [start, end).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

type Span = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Weekly hours by the wall clock of a zone, in minutes after midnight; over midnight when `end` is not later."""

    zone: str
    weekday: int
    start: int
    end: int
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True)
class OpenSlot:
    start: int
    end: int
    takes_service: bool


@dataclass(frozen=True)
class Term:
    """The days on which a contract or a supervision is in force, both inclusive."""

    first: date
    last: date | None

    def covers(self, day: date) -> bool:
        return self.first <= day and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class Person:
    """A provider. `visits` are the starts of those that a daily cap counts; all of them are in `busy` too."""

    zone: str
    windows: list[Window]
    busy: list[Span]
    time_off: list[Span]
    visits: list[int]
    cap: int | None
    synced_through: date
    open_slots: list[OpenSlot] | None
    contract: Term | None
    supervised: Term | None = None  # By the other person, who must be there on a co-visit.
    co_visit: bool = False


@dataclass(frozen=True)
class Case:
    """A question about the days `first` to `last` of `asked_zone`, and everything that decides on the answer."""

    practice_zone: str
    asked_zone: str
    resident: Person
    attending: Person
    length: int
    before: int
    after: int
    grid: int
    now: datetime
    notice: int
    is_staff: bool
    horizon_days: int
    rooms: list[list[Span]] | None
    first: date
    last: date


@cache
def wall(minute: int, zone: str) -> datetime:
    """Return what the clocks of the zone show, without saying which zone it is."""
    return datetime.fromtimestamp(minute * 60, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def shown_within(window: Window, around: date) -> list[tuple[datetime, datetime]]:
    """Return from when to when, by the wall clock, the window is open in the week before and after a day."""
    found = []
    for offset in range(-7, 8):
        day = around + timedelta(days=offset)
        if day.weekday() != window.weekday:
            continue
        if (window.valid_from and day < window.valid_from) or (window.valid_to and day > window.valid_to):
            continue
        midnight = datetime.combine(day, datetime.min.time())
        over_midnight = 0 if window.end > window.start else 1440
        ends_at = midnight + timedelta(minutes=window.end + over_midnight)
        found.append((midnight + timedelta(minutes=window.start), ends_at))
    return found


def minutes_of_work(case: Case, person: Person, minutes: range) -> set[int]:
    """Return the minutes in which the person works, or is offered by the EHR where that decides."""
    if person.open_slots is not None:
        return {minute for slot in person.open_slots for minute in range(slot.start, slot.end)}
    return {
        minute
        for window in person.windows
        for opens, closes in shown_within(window, case.first)
        for minute in minutes
        if opens <= wall(minute, window.zone) < closes
    }


def minutes_taken(case: Case, person: Person, minutes: range) -> set[int]:
    """Return the minutes that something takes, or of which nothing is known yet."""
    taken = {minute for start, end in [*person.busy, *person.time_off] for minute in range(start, end)}
    return taken | {minute for minute in minutes if wall(minute, case.practice_zone).date() > person.synced_through}


@dataclass(frozen=True)
class Time:
    """One person's minutes, and what else decides on a start of a visit that they serve or join."""

    case: Case
    person: Person
    works: set[int]
    taken: set[int]

    @classmethod
    def of(cls, case: Case, person: Person, minutes: range) -> Time:
        return cls(case, person, minutes_of_work(case, person, minutes), minutes_taken(case, person, minutes))

    def may_begin(self, start: int) -> bool:
        """Tell whether the person's own visits may begin then: on the grid in their hours, or with an open slot."""
        if self.person.open_slots is not None:
            return any(
                slot.start == start and slot.takes_service and slot.end - slot.start >= self.case.length
                for slot in self.person.open_slots
            )
        clock = wall(start, self.person.zone)
        return (clock.hour * 60 + clock.minute) % self.case.grid == 0 and self.is_there(start)

    def is_there(self, start: int) -> bool:
        return self.works.issuperset(range(start, start + self.case.length))

    def is_free(self, start: int) -> bool:
        """Tell whether nothing takes the person's time, buffers included, nor their day is full."""
        day = wall(start, self.person.zone).date()
        seen = [visit for visit in self.person.visits if wall(visit, self.person.zone).date() == day]
        is_full = self.person.cap is not None and len(seen) >= self.person.cap
        return not is_full and self.taken.isdisjoint(blocked(self.case, start))


def blocked(case: Case, start: int) -> range:
    return range(start - case.before, start + case.length + case.after)


def offered_starts(case: Case) -> list[int]:
    """Return the minutes that the day, the notice, the horizon and the rooms allow for, whoever serves."""
    midnight = int(datetime.combine(case.first, datetime.min.time(), UTC).timestamp()) // 60
    days = (case.last - case.first).days + 1
    earliest = (case.now + timedelta(minutes=0 if case.is_staff else case.notice)).timestamp()
    today = case.now.astimezone(ZoneInfo(case.practice_zone)).date()
    last_day = today + timedelta(days=case.horizon_days)
    rooms = [{minute for start, end in taken for minute in range(start, end)} for taken in case.rooms or ()]
    return [
        start
        for start in range(midnight - 840, midnight + days * 1440 + 840)  # No zone is more than 14 hours from UTC.
        if case.first <= wall(start, case.asked_zone).date() <= case.last
        and start * 60 >= earliest
        and wall(start, case.practice_zone).date() <= last_day
        and (case.rooms is None or any(room.isdisjoint(blocked(case, start)) for room in rooms))
    ]


def may_serve(case: Case, person: Person, attending: Time, start: int) -> bool:
    """Tell whether the person may see the payer's patients on that day, and the attending comes if needed."""
    day = wall(start, case.practice_zone).date()
    if person.contract and person.contract.covers(day):
        return True
    if not (person.supervised and person.supervised.covers(day)):
        return False
    if not (case.attending.contract and case.attending.contract.covers(day)):
        return False
    return not person.co_visit or (attending.is_there(start) and attending.is_free(start))


def free_starts(case: Case) -> dict[int, list[str]]:
    """Return each free start with who has it: the resident, the attending, or both."""
    starts = offered_starts(case)
    if not starts:
        return {}
    minutes = range(starts[0] - case.before, starts[-1] + case.length + case.after)
    times = {
        "resident": Time.of(case, case.resident, minutes),
        "attending": Time.of(case, case.attending, minutes),
    }
    found = {
        start: [
            name
            for name, time in times.items()
            if time.may_begin(start) and time.is_free(start) and may_serve(case, time.person, times["attending"], start)
        ]
        for start in starts
    }
    return {start: able for start, able in found.items() if able}
