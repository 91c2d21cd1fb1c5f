"""How long this invocation may still run. A Lambda process serves one at a time, so one value is enough."""

from __future__ import annotations

import time
from collections.abc import Callable

from aws_lambda_powertools.utilities.typing import LambdaContext

WORTH_STARTING = 10.0  # Seconds: with less, an EHR call could be cut off half-way.


class Deadline:
    """Told by the handler at its start, asked by whoever waits for something."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._ends = float("inf")

    def start(self, context: LambdaContext) -> None:
        """Take over the invocation's own time limit."""
        self._ends = self._monotonic() + context.get_remaining_time_in_millis() / 1000

    def seconds_left(self) -> float:
        """Return the seconds until the invocation is stopped."""
        return self._ends - self._monotonic()

    def pause(self, seconds: float) -> bool:
        """Wait and return True; return False at once when less than `WORTH_STARTING` would be left after it."""
        if self.seconds_left() - seconds < WORTH_STARTING:
            return False
        self._sleep(seconds)
        return True
