"""Slots agree with an oracle that looks at every minute, over zones, clock changes, and everything that takes time."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moonlit.availability.hours import Hours, expand, merge, subtract
from moonlit.availability.slots import local_day
from moonlit.availability.use_cases import free_slots, inquire
from tests.unit.availability import oracle
from tests.unit.availability.oracle import Case, Person, Term, Window, free_starts
from tests.unit.availability.scenes import DAYS_OF_CHANGE, NAMES, MemoryStore, request, scene

EXAMPLES = 2_000 // len(DAYS_OF_CHANGE) + 1


def computed(case: Case) -> dict[int, list[str]]:
    store = MemoryStore(case)
    found = free_slots(store, inquire(store, request(case), case.now))
    assert not any(start % 60 for start in found)
    return {start // 60: [NAMES[who] for who in providers] for start, providers in found.items()}


# One seed makes a whole scene: to draw each part of it would take longer than to judge it.
@pytest.mark.parametrize("zone", sorted(DAYS_OF_CHANGE))
@settings(max_examples=EXAMPLES, deadline=None)
@given(random=st.randoms(use_true_random=True))
def test_slots_are_those_that_a_look_at_every_minute_finds(zone: str, random: Random) -> None:
    case = scene(random, zone)
    assert computed(case) == free_starts(case)


def test_the_oracle_knows_nothing_of_what_it_judges() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "dataclasses", "datetime", "functools", "zoneinfo"}


NOBODY = Person(
    zone="America/Denver",
    windows=[],
    busy=[],
    time_off=[],
    visits=[],
    cap=None,
    synced_through=date(2027, 1, 1),
    open_slots=None,
    contract=Term(date(2026, 1, 1), None),
)
# A Wednesday in Denver on which nobody works.
QUIET = Case(
    practice_zone="America/Denver",
    asked_zone="America/Denver",
    resident=NOBODY,
    attending=NOBODY,
    length=60,
    before=0,
    after=0,
    grid=60,
    now=datetime(2026, 6, 1, tzinfo=UTC),
    notice=0,
    is_staff=False,
    horizon_days=30,
    rooms=None,
    first=date(2026, 6, 10),
    last=date(2026, 6, 10),
)


def test_a_window_of_two_days_before_reaches_into_a_day_that_is_asked_for_from_afar() -> None:
    # In Kiritimati the 10th begins at 03:00 of Denver's 9th; the provider works from the 8th, a Monday, 20:00, on.
    working = replace(NOBODY, windows=[Window("America/Denver", 0, 20 * 60, 19 * 60)])
    case = replace(QUIET, asked_zone="Pacific/Kiritimati", resident=working)
    assert computed(case) == free_starts(case) != {}


def test_a_contract_until_the_end_of_time_is_one_without_an_end() -> None:
    working = replace(
        NOBODY, windows=[Window("America/Denver", 2, 9 * 60, 12 * 60)], contract=Term(date(2026, 1, 1), date.max)
    )
    assert len(computed(replace(QUIET, resident=working))) == 3


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
