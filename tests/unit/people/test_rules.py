"""Numbers that are none, hours that collide, and the visits that a change strands, held against a look at every minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.availability.hours import Hours
from moonlit.people.rules import Practising, Stay, Window, colliding, hit, is_npi, left_outside, stopped
from tests.unit.availability.scenes import DAYS_OF_CHANGE

HERE, THERE = UUID(int=1), UUID(int=2)
A_DAY = timedelta(days=1)


# ── Numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", ["1234567893", "1679576722", "1230007001"])
def test_a_number_whose_last_digit_checks_the_others_is_one(number: str) -> None:
    assert is_npi(number)


@pytest.mark.parametrize(
    "number", ["", "123456789", "12345678930", "123456789x", "١٢٣٤٥٦٧٨٩٣", "1234567890", "2134567893"]
)
def test_another_number_is_none(number: str) -> None:
    assert not is_npi(number)


@given(st.integers(0, 10**9 - 1), st.integers(0, 9), st.integers(0, 9))
def test_each_nine_digits_have_one_that_checks_them_and_no_typing_error_passes(
    nine: int, place: int, typed: int
) -> None:
    (good,) = [number for number in (f"{nine:09}{last}" for last in range(10)) if is_npi(number)]
    wrong = good[:place] + str(typed) + good[place + 1 :]
    assert is_npi(wrong) == (wrong == good)


# ── Hours ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def window(random: Random, zone: str, change: date) -> Window:
    """Return a window of a few hours near the day of change; one in three reaches over midnight."""
    start = random.choice([0, 60, 120, 150, 540, 780, 1200, 1380])
    end = (start + random.choice([45, 120, 240, 480, 1440])) % 1440
    first = random.choice([None, None, change - A_DAY, change])
    last = random.choice([None, None, change, change + 7 * A_DAY])
    weekday = (change.weekday() + random.randint(-1, 1)) % 7
    hours = Hours(weekday, start * 60, end * 60, zone, first, last)
    return Window(hours, random.choice(["telehealth", "telehealth", "in_person"]), random.choice([None, HERE, THERE]))


def visit(random: Random, number: int, change: date) -> Stay:
    noon = int(datetime.combine(change, datetime.min.time(), UTC).timestamp()) + 43_200
    start = noon + random.randint(-36 * 12, 36 * 12) * 300
    length = random.choice([15, 45, 60, 150]) * 60
    modality = random.choice([None, "telehealth", "telehealth", "in_person"])
    return Stay(UUID(int=number), start, start + length, modality, random.choice([None, None, HERE, THERE]))


def is_stranded(before: Sequence[Window], after: Sequence[Window], stay: Stay) -> bool:
    """Return whether it was in order, at its own place or else anywhere, and is so no more."""
    for one in (stay, replace(stay, location_id=None)):
        if is_within(before, one):
            return not is_within(after, one)
    return False


def is_within(windows: Sequence[Window], stay: Stay) -> bool:
    """Return whether somebody who fits is at work at each minute of the visit."""
    return all(
        any(fits(one, stay) and works(one.hours, minute) for one in windows)
        for minute in range(stay.start, stay.end, 60)
    )


def fits(one: Window, stay: Stay) -> bool:
    right_kind = stay.modality is None or stay.modality == one.modality
    return right_kind and (stay.location_id is None or stay.location_id == one.location_id)


def works(hours: Hours, instant: int) -> bool:
    wall = datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(hours.zone))
    second, today = (wall.hour * 60 + wall.minute) * 60, wall.date()
    over_midnight = hours.end <= hours.start
    if starts_on(hours, today) and second >= hours.start and (over_midnight or second < hours.end):
        return True
    return over_midnight and starts_on(hours, today - A_DAY) and second < hours.end


def starts_on(hours: Hours, day: date) -> bool:
    since, until = hours.valid_from or day, hours.valid_to or day
    return day.weekday() == hours.weekday and since <= day <= until


@pytest.mark.parametrize("zone", DAYS_OF_CHANGE)
def test_those_are_left_outside_who_were_within_at_each_minute_and_are_not_any_more(zone: str) -> None:
    random = Random(zone)  # noqa: S311
    found = 0
    for _ in range(80):
        change = random.choice(DAYS_OF_CHANGE[zone])
        before = [window(random, zone, change) for _ in range(random.randint(2, 9))]
        kept = [one for one in before if random.random() < 0.6]
        after = [*kept, *(window(random, zone, change) for _ in range(random.randint(0, 2)))]
        visits = [visit(random, number, change) for number in range(40)]
        expected = {one.id for one in visits if is_stranded(before, after, one)}
        assert left_outside(before, after, visits) == expected
        found += len(expected)
    assert found > 10


def test_a_visit_may_lie_across_two_windows_that_touch_and_a_gap_strands_it() -> None:
    def hours(start: int, end: int) -> Window:
        return Window(Hours(3, start * 3600, end * 3600, "America/Denver"), "telehealth")

    ten = int(datetime(2027, 3, 11, 17, tzinfo=UTC).timestamp())
    across = Stay(UUID(int=9), ten - 1800, ten + 1800, "telehealth")
    assert left_outside([hours(8, 10), hours(10, 12)], [hours(8, 10)], [across]) == {across.id}
    assert left_outside([hours(8, 12)], [hours(8, 10), hours(10, 12)], [across]) == set()
    assert left_outside([hours(8, 10)], [], [across]) == set()
    assert left_outside([hours(8, 12)], [], []) == set()


@pytest.mark.parametrize("zone", ["America/Denver", "Asia/Kathmandu"])
def test_windows_collide_when_both_hold_at_some_minute(zone: str) -> None:
    random = Random(zone)  # noqa: S311
    change = DAYS_OF_CHANGE[zone][0] + 60 * A_DAY  # Far from a change of clocks, which makes no two windows collide.
    noon = int(datetime.combine(change, datetime.min.time(), UTC).timestamp()) + 43_200
    outcomes = set()
    for _ in range(200):
        windows = [window(random, zone, change) for _ in range(random.randint(2, 3))]
        alike = [
            (i, j) for j, other in enumerate(windows) for i, one in enumerate(windows[:j])
            if (one.modality, one.location_id) == (other.modality, other.location_id)
        ]  # fmt: skip
        minutes = range(noon - 12 * 86_400, noon + 12 * 86_400, 900)
        expected = next(
            (j for i, j in alike if any(works(windows[i].hours, t) and works(windows[j].hours, t) for t in minutes)),
            None,
        )
        assert colliding(windows) == expected, windows
        outcomes.add(expected)
    assert outcomes == {None, 1, 2}


# ── Time off and providers ────────────────────────────────────────────────────────────────────────────────────────────

spans = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(spans, st.lists(spans, max_size=3), st.lists(spans, max_size=8))
def test_time_off_hits_what_shares_a_second_with_it_and_was_not_hit_before(
    off: tuple[int, int], others: list[tuple[int, int]], visits: list[tuple[int, int]]
) -> None:
    stays = [Stay(UUID(int=number), *span) for number, span in enumerate(visits)]
    taken = {second for span in others for second in range(*span)}
    expected = {
        stay.id
        for stay in stays
        if set(range(stay.start, stay.end)) & set(range(*off)) and not set(range(stay.start, stay.end)) & taken
    }
    assert hit(off, others, stays) == expected


ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)
BOTH = frozenset({"UT", "ID"})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Practising(active=True, states=BOTH), Practising(active=True, states=BOTH), {}),
        (
            Practising(active=True, states=BOTH),
            Practising(active=False, states=frozenset()),
            dict.fromkeys([ONE, TWO, THREE], "provider_inactive"),
        ),
        (
            Practising(active=True, states=BOTH),
            Practising(active=True, states=frozenset({"UT"})),
            {TWO: "not_licensed_in_state"},
        ),
        (Practising(active=True, states=frozenset({"ID"})), Practising(active=True, states=BOTH), {}),
        (Practising(active=False, states=BOTH), Practising(active=False, states=frozenset()), {}),
        (Practising(active=False, states=BOTH), Practising(active=True, states=frozenset()), {}),
    ],
)
def test_a_provider_strands_visits_by_stopping_and_by_losing_a_licence(
    before: Practising, after: Practising, expected: dict[UUID, str]
) -> None:
    assert stopped(before, after, {ONE: "UT", TWO: "ID", THREE: None}) == expected
