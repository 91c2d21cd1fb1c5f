"""When a schedule runs, and with what."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from local.host.schedules import run_schedule
from local.host.template import Schedule
from local.host.workers import Pool
from moonlit.clock import FixedClock

CLOCK = FixedClock(datetime(2026, 12, 1, 17, tzinfo=UTC))


class Calls:
    """Stands for a pool, and for the time that passes between its calls."""

    def __init__(self, most: int) -> None:
        self.payloads: list[Any] = []
        self.pauses: list[float] = []
        self._most = most

    async def invoke(self, payload: bytes) -> None:
        self.payloads.append(json.loads(payload))

    async def sleep(self, seconds: float) -> None:
        if len(self.payloads) == self._most:
            raise asyncio.CancelledError
        self.pauses.append(seconds)


async def calls_of(expression: str, payload: str | None, monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls(most=2)
    monkeypatch.setattr(asyncio, "sleep", calls.sleep)
    schedule = Schedule("Often", "F", expression, "UTC", payload)
    with suppress(asyncio.CancelledError):
        await run_schedule(schedule, cast("Pool", calls), CLOCK)
    return calls


async def test_a_rate_runs_in_its_period_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = await calls_of("rate(5 minutes)", '{"a": 1}', monkeypatch)
    assert (calls.pauses, calls.payloads) == ([300, 300], [{"a": 1}, {"a": 1}])


async def test_without_an_input_the_event_says_when_by_the_stacks_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = await calls_of("rate(1 hour)", None, monkeypatch)
    assert calls.pauses == [3600, 3600]
    assert calls.payloads[0]["time"] == "2026-12-01T17:00:00Z"
    assert calls.payloads[0]["resources"][0].endswith("/Often")


async def test_a_cron_expression_does_not_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = await calls_of("cron(0 3 * * ? *)", None, monkeypatch)
    assert calls.payloads == []
