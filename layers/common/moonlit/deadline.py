"""How long this invocation may still run. A Lambda process serves one at a time, so one value is enough."""

from __future__ import annotations

import time
from collections.abc import Callable

from aws_lambda_powertools.utilities.typing import LambdaContext


class Deadline:
    """Told by the handler at its start, asked by whoever waits for something."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ends = float("inf")

    def start(self, context: LambdaContext) -> None:
        """Take over the invocation's own time limit."""
        self._ends = self._monotonic() + context.get_remaining_time_in_millis() / 1000

    def seconds_left(self) -> float:
        """Return the seconds until the invocation is stopped."""
        return self._ends - self._monotonic()
