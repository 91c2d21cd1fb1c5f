"""The clock that a whole stack shares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.clock import ClockWouldGoBack, StackClock

LONG_AGO, FUTURE = datetime(2001, 2, 3, tzinfo=UTC), datetime(2090, 2, 3, tzinfo=UTC)
MOMENT = timedelta(seconds=30)


def test_without_a_file_it_is_the_machines(tmp_path: Path) -> None:
    clock = StackClock(tmp_path / "clock")
    assert abs(clock.now() - datetime.now(UTC)) < MOMENT
    assert clock.seconds_ahead == 0


def test_it_starts_anywhere_and_runs_on(tmp_path: Path) -> None:
    clock = StackClock(tmp_path / "clock")
    clock.start_at(LONG_AGO)
    first, second = clock.now(), clock.now()
    assert LONG_AGO <= first < second < LONG_AGO + MOMENT


def test_it_only_moves_forward(tmp_path: Path) -> None:
    clock = StackClock(tmp_path / "clock")
    clock.start_at(LONG_AGO)
    clock.move_to(FUTURE)
    assert FUTURE <= clock.now() < FUTURE + MOMENT
    with pytest.raises(ClockWouldGoBack):
        clock.move_to(FUTURE - timedelta(days=1))
    assert clock.now() >= FUTURE
