"""Slots agree with an oracle that looks at every minute, over zones, clock changes, buffers and busy time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from moonlit.availability.hours import Hours, expand, merge, subtract
from moonlit.availability.slots import Bounds, Diary, Visit, allowed_starts, local_day, ticks
from tests.unit.availability.oracle import Case, Window, free_starts

# A skipped and a repeated hour, half-hour offsets, half-hour changes, a change at midnight, and no change at all.
DAYS_OF_CHANGE = {
    "America/Denver": [date(2026, 3, 8), date(2026, 11, 1)],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],
    "America/St_Johns": [date(2026, 3, 8), date(2026, 11, 1)],
    "Africa/Cairo": [date(2026, 4, 24), date(2026, 10, 30)],
    "Asia/Kathmandu": [date(2026, 6, 1)],
    "America/Phoenix": [date(2026, 6, 1)],
}

minutes_of_day = st.integers(0, 287).map(lambda n: n * 5)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    zone = draw(st.sampled_from(sorted(DAYS_OF_CHANGE)))
    change = draw(st.sampled_from(DAYS_OF_CHANGE[zone]))
    first = change + timedelta(days=draw(st.integers(-1, 0)))
    last = first + timedelta(days=draw(st.integers(0, 1)))
    noon = datetime.combine(change, datetime.min.time(), UTC) + timedelta(hours=12)
    weekdays = st.integers(-2, 2).map(lambda n: (change + timedelta(days=n)).weekday())
    valid = st.one_of(st.none(), st.integers(-1, 1).map(lambda n: change + timedelta(days=n)))
    windows = draw(
        st.lists(
            st.builds(
                Window,
                weekdays,
                minutes_of_day,
                st.one_of(minutes_of_day, st.just(1440)),
                valid_from=valid,
                valid_to=valid,
            ),
            min_size=1,
            max_size=4,
        )
    )
    busy = draw(
        st.lists(
            st.tuples(st.integers(-24 * 60, 36 * 60), st.integers(1, 300)).map(
                lambda pair: (noon + timedelta(minutes=pair[0]), noon + timedelta(minutes=pair[0] + pair[1]))
            ),
            max_size=4,
        )
    )
    return Case(
        zone=zone,
        asked_zone=draw(st.sampled_from([zone, zone, "Pacific/Kiritimati", "Pacific/Midway", "UTC"])),
        windows=windows,
        busy=busy,
        length=draw(st.integers(1, 30).map(lambda n: n * 5)),
        before=draw(st.sampled_from([0, 0, 5, 10, 45])),
        after=draw(st.sampled_from([0, 0, 5, 10, 45])),
        grid=draw(st.sampled_from([5, 10, 15, 20, 25, 30, 60])),
        now=noon - timedelta(minutes=draw(st.integers(0, 3000))),
        notice=draw(st.sampled_from([0, 30, 120, 1440])),
        horizon_end=noon + timedelta(minutes=draw(st.integers(0, 4000))),
        first=first,
        last=last,
        full_days=draw(st.lists(st.sampled_from([first, last]), max_size=1)) if draw(st.booleans()) else [],
    )


def computed(case: Case) -> list[datetime]:
    bounds = Bounds(
        first=case.first,
        last=case.last,
        zone=case.asked_zone,
        earliest=ceil((case.now + timedelta(minutes=case.notice)).timestamp()),
        until=int(case.horizon_end.timestamp()),
        grid=case.grid * 60,
    )
    diary = Diary(
        zone=case.zone,
        hours=[Hours(w.weekday, w.start * 60, w.end * 60, case.zone, w.valid_from, w.valid_to) for w in case.windows],
        busy=[(int(start.timestamp()), int(end.timestamp())) for start, end in case.busy],
        full_days=case.full_days,
        synced_until=int(case.horizon_end.timestamp()),
    )
    visit = Visit(case.length * 60, case.before * 60, case.after * 60)
    return [
        datetime.fromtimestamp(start, UTC) for start in ticks(allowed_starts(diary, visit, bounds), case.zone, bounds)
    ]


@settings(max_examples=300, deadline=None)
@given(cases())
def test_slots_are_those_that_a_look_at_every_minute_finds(case: Case) -> None:
    assert computed(case) == free_starts(case)


def test_a_window_of_two_days_before_reaches_into_a_day_that_is_asked_for_from_afar() -> None:
    # In Kiritimati the 10th begins at 03:00 of Denver's 9th; the provider works from the 8th, 20:00, on.
    case = Case(
        zone="America/Denver",
        asked_zone="Pacific/Kiritimati",
        windows=[Window(date(2026, 6, 8).weekday(), 20 * 60, 19 * 60)],
        busy=[],
        length=60,
        before=0,
        after=0,
        grid=60,
        now=datetime(2026, 6, 1, tzinfo=UTC),
        notice=0,
        horizon_end=datetime(2026, 7, 1, tzinfo=UTC),
        first=date(2026, 6, 10),
        last=date(2026, 6, 10),
    )
    assert computed(case) == free_starts(case) != []


def test_a_skipped_hour_has_no_slots_and_a_repeated_one_has_two_of_each() -> None:
    hours = [Hours(6, 3600, 3 * 3600, "America/Denver")]  # Sunday 01:00 to 03:00.
    (start, end), *rest = expand(hours, date(2026, 3, 8), date(2026, 3, 8))
    assert (end - start, rest) == (3600, [])
    (start, end), *rest = expand(hours, date(2026, 11, 1), date(2026, 11, 1))
    assert (end - start, rest) == (3 * 3600, [])


@given(st.sampled_from(sorted(DAYS_OF_CHANGE)), st.integers(0, 800))
@example("America/Denver", 0)
@example("Africa/Cairo", 0)
def test_local_days_join_without_gap_and_begin_at_midnight(zone: str, offset: int) -> None:
    day = DAYS_OF_CHANGE[zone][0] + timedelta(days=offset)
    start, end = local_day(day, zone)
    assert local_day(day + timedelta(days=1), zone)[0] == end
    local = datetime.fromtimestamp(start, UTC).astimezone(ZoneInfo(zone))
    before = datetime.fromtimestamp(start - 1, UTC).astimezone(ZoneInfo(zone))
    assert (local.date(), before.date()) == (day, day - timedelta(days=1))


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


@given(spans, spans)
def test_subtracting_leaves_exactly_the_seconds_that_were_not_taken(
    kept: list[tuple[int, int]], taken: list[tuple[int, int]]
) -> None:
    def seconds(of: list[tuple[int, int]]) -> set[int]:
        return {second for start, end in of for second in range(start, end)}

    assert seconds(subtract(merge(kept), taken)) == seconds(kept) - seconds(taken)
