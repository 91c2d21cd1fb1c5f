"""Which days a sync reads."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.sync.window import Window, must_read_all, unread

TODAY = date(2027, 3, 10)
NOW = datetime(2027, 3, 10, 19, tzinfo=UTC)
WEEK = Window(date(2027, 3, 7), date(2027, 3, 13))


def test_window_is_ninety_days_each_way_unless_the_practice_says_otherwise() -> None:
    assert Window.around(TODAY, {}) == Window(TODAY - timedelta(days=90), TODAY + timedelta(days=90))
    assert Window.around(TODAY, {"sync_days_back": 1, "sync_days_ahead": 2}) == Window(
        date(2027, 3, 9), date(2027, 3, 12)
    )


def test_window_days_begin_at_local_midnight_also_when_the_clocks_change() -> None:
    # Denver goes to daylight saving time on 14 March 2027.
    start, end = Window(date(2027, 3, 13), date(2027, 3, 14)).instants(ZoneInfo("America/Denver"))
    assert (start, end) == (datetime(2027, 3, 13, 7, tzinfo=UTC), datetime(2027, 3, 15, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("known", "silence_days", "wanted"),
    [
        (None, 1, WEEK),
        (WEEK, 10, WEEK),
        (Window(date(2027, 3, 8), date(2027, 3, 13)), 1, WEEK),
        (Window(date(2027, 2, 1), date(2027, 3, 1)), 1, WEEK),
    ],
    ids=["never_read", "silent_longer_than_deletions_last", "settings_reach_further_back", "no_day_in_common"],
)
def test_whole_window_is_read(known: Window | None, silence_days: int, wanted: Window) -> None:
    assert must_read_all(known, NOW - timedelta(days=silence_days), wanted, NOW)


def test_changes_are_enough_from_one_night_to_the_next() -> None:
    tomorrow = Window(WEEK.first + timedelta(days=1), WEEK.last + timedelta(days=1))
    assert not must_read_all(WEEK, NOW - timedelta(days=1), tomorrow, NOW)


def test_days_that_the_window_newly_reaches_are_read() -> None:
    later = Window(WEEK.first, date(2027, 3, 15))
    assert unread(WEEK, later) == Window(date(2027, 3, 14), date(2027, 3, 15))
    assert unread(WEEK, WEEK) is None
    assert unread(None, WEEK) == WEEK


@given(st.integers(-20, 20), st.integers(0, 40), st.integers(0, 40))
def test_known_and_unread_days_together_leave_no_gap(shift: int, back: int, ahead: int) -> None:
    wanted = Window.around(TODAY + timedelta(days=shift), {"sync_days_back": back, "sync_days_ahead": ahead})
    if must_read_all(WEEK, NOW, wanted, NOW):
        return
    rest = unread(WEEK, wanted)
    known_days = range(WEEK.first.toordinal(), WEEK.last.toordinal() + 1)
    rest_days = range(rest.first.toordinal(), rest.last.toordinal() + 1) if rest else range(0)
    wanted_days = set(range(wanted.first.toordinal(), wanted.last.toordinal() + 1))
    assert wanted_days <= {*known_days, *rest_days}
    assert not set(rest_days) & set(known_days)
