"""Every minute: finish bookings left open, drop holds that ran out, send again what got stuck, tell of the night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.booking.saga import Saga
from moonlit.booking.sweep import Sweeper
from moonlit.observability import logger
from moonlit.relay import relay_events
from moonlit.sweeping import sweep_each
from moonlit.sync import wiring as sync
from moonlit.sync.open_slots import refresh_due
from moonlit.sync.report import report_nights
from moonlit.sync.resume import resume_stuck


def bookings() -> Mapping[str, int]:
    """Finish bookings and drop holds."""
    saga = Saga(wiring.begin(), wiring.clock(), wiring.ehr_of, wiring.deadline.pause)
    return Sweeper(saga, wiring.practice_zone(), wiring.deadline.seconds_left).sweep()


def open_slots() -> Mapping[str, int]:
    """Read open slots that are due."""
    return refresh_due(wiring.begin(), wiring.clock(), wiring.ehr_of, wiring.deadline.seconds_left)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Sweep once, and say how much of each kind was done."""
    wiring.deadline.start(context)
    return sweep_each({
        "bookings": bookings,
        "relay": lambda: relay_events(wiring.begin(), wiring.clock(), wiring.publisher()),
        "stuck": lambda: resume_stuck(wiring.begin(), wiring.clock(), sync.queues()),
        "nights": lambda: report_nights(wiring.begin(), wiring.clock()),
        "feeds": lambda: sync.feed_reader().read_all(),
        "open_slots": open_slots,
    })  # fmt: skip
