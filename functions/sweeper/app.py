"""Every minute: finish bookings left open, drop holds that ran out, send again what got stuck, tell of the night."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.booking.saga import Saga
from moonlit.booking.sweep import Sweeper
from moonlit.observability import logger
from moonlit.sync import wiring as sync
from moonlit.sync.open_slots import refresh_due
from moonlit.sync.report import report_nights
from moonlit.sync.resume import resume_stuck


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Sweep once, and say how much of each kind was done."""
    wiring.deadline.start(context)
    saga = Saga(wiring.begin(), wiring.clock(), wiring.ehr_of, wiring.deadline.pause)
    done: dict[str, Any] = dict(Sweeper(saga, wiring.practice_zone(), wiring.deadline.seconds_left).sweep())
    done |= resume_stuck(saga.begin, saga.clock, sync.queues())
    done |= report_nights(saga.begin, saga.clock)
    done |= sync.feed_reader().read_all()
    done |= refresh_due(saga.begin, saga.clock, wiring.ehr_of, wiring.deadline.seconds_left)
    logger.info("swept", **done)
    return done
