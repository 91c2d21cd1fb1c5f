from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from moonlit.ehr.budget import Usage
from moonlit.ehr.port import Lane

NOW = datetime(2027, 3, 10, 19, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def used(hits: int = 0, today: int = 0, *, per_minute: int = 10, per_day: int | None = 500) -> Usage:
    """Return an account whose `hits` came one by one, a second apart, the latest a second ago."""
    return Usage(per_minute, per_day, [NOW_MS - 1000 * n for n in range(hits, 0, -1)], NOW.date(), today, None)


@pytest.mark.parametrize(
    ("lane", "a_minute", "a_day"),
    [(Lane.BOOKING, 10, 500), (Lane.WEBHOOK, 6, 400), (Lane.ON_DEMAND, 5, 375), (Lane.NIGHTLY, 5, 375)],
)
def test_each_lane_leaves_room_for_those_above(lane: Lane, a_minute: int, a_day: int) -> None:
    assert used(a_minute - 1).wait_seconds(lane, NOW) == 0
    assert used(a_minute).wait_seconds(lane, NOW) > 0
    assert used(0, a_day - 1).wait_seconds(lane, NOW) == 0
    assert used(0, a_day).wait_seconds(lane, NOW) == 5 * 3600  # Until midnight in UTC.


def test_the_wait_ends_when_enough_requests_have_left_the_window() -> None:
    usage = used(10)
    for lane in Lane:
        wait = usage.wait_seconds(lane, NOW)
        assert usage.wait_seconds(lane, NOW + timedelta(seconds=wait - 0.001)) > 0
        assert usage.wait_seconds(lane, NOW + timedelta(seconds=wait)) == 0
    assert usage.wait_seconds(Lane.BOOKING, NOW) == 51
    assert usage.wait_seconds(Lane.NIGHTLY, NOW) == 56


def test_an_account_without_a_daily_cap_has_none() -> None:
    assert used(0, 10**6, per_day=None).wait_seconds(Lane.NIGHTLY, NOW) == 0


def test_the_smallest_account_still_lets_every_lane_through() -> None:
    assert {used(0, per_minute=1).wait_seconds(lane, NOW) for lane in Lane} == {0}


def test_a_new_day_counts_from_zero_and_a_clock_behind_it_does_not_reset_the_count() -> None:
    usage = Usage(10, 500, [], date(2027, 3, 9), 500, None)
    assert usage.wait_seconds(Lane.BOOKING, NOW) == 0
    ahead = Usage(10, 500, [], date(2027, 3, 11), 7, None)
    assert (ahead.at(NOW).day, ahead.at(NOW).day_used) == (date(2027, 3, 11), 7)


def test_a_429_holds_every_lane() -> None:
    blocked = Usage(10, 500, [], None, 0, NOW + timedelta(seconds=30))
    assert {blocked.wait_seconds(lane, NOW) for lane in Lane} == {30}
    assert blocked.wait_seconds(Lane.BOOKING, NOW + timedelta(seconds=30)) == 0
