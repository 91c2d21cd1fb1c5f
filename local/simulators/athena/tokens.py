"""OAuth2: access tokens for one hour, and the two limits, one for token calls and one for everything else."""

from __future__ import annotations

import secrets
from collections import deque
from datetime import UTC, datetime, timedelta

from local.simulators.athena.file import Limits
from moonlit.clock import Clock

LIFETIME = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


class Tokens:
    """The access tokens given out so far."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._dies_at: dict[str, datetime] = {}

    def give(self) -> str:
        """Return a fresh token; earlier ones stay good."""
        token = secrets.token_urlsafe(32)
        self._dies_at[token] = self._clock.now() + LIFETIME
        return token

    def is_good(self, token: str) -> bool:
        """Say whether a token opens anything."""
        dies_at = self._dies_at.get(token)
        return dies_at is not None and self._clock.now() < dies_at

    def expire(self) -> int:
        """Let every token die; return how many there were."""
        count = len(self._dies_at)
        self._dies_at.clear()
        return count


class Counter:
    """Counts calls in a stretch of the wall clock, from one mark to the next: a minute, or a day of GMT."""

    def __init__(self, clock: Clock, mark: str) -> None:
        self._clock = clock
        self._mark = mark
        self._current = ""
        self.used = 0

    def admit(self, limit: int | None) -> bool:
        """Count one call on arrival; say whether it is within the limit."""
        self._turn_over()
        self.used += 1
        return limit is None or self.used <= limit

    def remaining(self, limit: int) -> int:
        """Return how many calls are left."""
        self._turn_over()
        return max(0, limit - self.used)

    def _turn_over(self) -> None:
        current = f"{self._clock.now().astimezone(UTC):{self._mark}}"
        if current != self._current:
            self._current, self.used = current, 0


class Throttle:
    """The limits of one account, and what its answers tell of them."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._tokens = Counter(clock, "%Y-%m-%d %H:%M")
        self._calls = Counter(clock, "%Y-%m-%d")
        self._last_second: deque[datetime] = deque()

    def admit_token(self) -> bool:
        """Count a token call; one that is turned away counts too, and the gate stays shut until the minute ends."""
        return self._tokens.admit(self._limits.token_per_minute)

    def admit_call(self) -> bool:
        """Count an API call."""
        return self._is_slow_enough() and self._calls.admit(self._limits.per_day)

    def headers(self, *, is_token: bool) -> dict[str, str]:
        """Return what an answer tells of the limit that its request counted against."""
        counter = self._tokens if is_token else self._calls
        limit = self._limits.token_per_minute if is_token else self._limits.per_day
        if limit is None:
            return {}
        return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(counter.remaining(limit))}

    def _is_slow_enough(self) -> bool:
        now, limit = self._clock.now(), self._limits.per_second
        while self._last_second and self._last_second[0] <= now - _SECOND:
            self._last_second.popleft()
        if limit is not None and len(self._last_second) >= limit:
            return False
        self._last_second.append(now)
        return True
