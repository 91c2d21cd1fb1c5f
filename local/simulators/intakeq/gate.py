"""What every request to IntakeQ's API passes first: the key and the limits."""

from __future__ import annotations

import hmac
from collections import deque
from datetime import UTC

from aiohttp import web

from local.simulators.common.answers import Refused, page
from local.simulators.common.faults import Faults
from local.simulators.common.gate import Gate
from local.simulators.intakeq.account import Account
from local.simulators.intakeq.answers import IntakeqVoice, problem
from local.simulators.intakeq.visits import Visits
from moonlit.clock import Clock

BASE = "/api/v1"
_MINUTE_SECONDS = 60


class Limits:
    """The vendor's own limits: requests in any 60 seconds, and in a UTC day. What it turns away does not count."""

    def __init__(self, per_minute: int, per_day: int | None, clock: Clock) -> None:
        self._per_minute = per_minute
        self._per_day = per_day
        self._clock = clock
        self._minute: deque[float] = deque()
        self._day = clock.now().date()
        self._today = 0

    def admit(self) -> bool:
        """Count one request, or say that there have been too many."""
        now = self._clock.now().astimezone(UTC)
        oldest = now.timestamp() - _MINUTE_SECONDS
        while self._minute and self._minute[0] <= oldest:
            self._minute.popleft()
        if now.date() != self._day:
            self._day, self._today = now.date(), 0
        if len(self._minute) >= self._per_minute or (self._per_day is not None and self._today >= self._per_day):
            return False
        self._minute.append(now.timestamp())
        self._today += 1
        return True


class IntakeqGate(Gate):
    """Lets in who has the key and keeps to the limits."""

    voice = IntakeqVoice()

    def __init__(self, account: Account, visits: Visits, faults: Faults, clock: Clock) -> None:
        super().__init__(faults, clock)
        self._key = account.api_key
        self._visits = visits
        self._limits = Limits(account.per_minute, account.per_day, clock)

    def path(self, request: web.Request) -> str:
        """Return the request's path below the API's base."""
        return request.path.removeprefix(BASE)

    def catch_up(self) -> None:
        """Let happen what the clock has passed."""
        self._visits.catch_up()

    def turned_away(self, request: web.Request) -> web.Response | None:
        """Answer what has no route, no key, or no room in the limits."""
        if request.match_info.http_exception is not None:
            return page("The resource cannot be found.", 404)
        if not hmac.compare_digest(request.headers.get("X-Auth-Key", "").encode(), self._key.encode()):
            return problem("Invalid API key.", 401)
        return None if self._limits.admit() else self.voice.too_many()

    def refusal(self, refused: Refused) -> web.Response:
        """Put a refusal in the vendor's words."""
        return problem(refused.message, refused.status)
