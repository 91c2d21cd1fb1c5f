"""What every request to the vendor's API passes first: the list of requests, the key, the limits, the faults."""

from __future__ import annotations

import hmac
from collections import deque
from datetime import UTC
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from local.simulators.intakeq.account import Account
from local.simulators.intakeq.answers import DROPPED, page, problem
from local.simulators.intakeq.faults import Faults
from local.simulators.intakeq.visits import Visits
from local.simulators.intakeq.wire import Refused, Row
from moonlit.clock import Clock

BASE = "/api/v1"
CONTROL = "/_control"
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


class Gate:
    """The middleware, and the list of requests it keeps."""

    def __init__(self, account: Account, visits: Visits, faults: Faults, clock: Clock) -> None:
        self.requests: list[Row] = []
        self._key = account.api_key
        self._visits = visits
        self._faults = faults
        self._clock = clock
        self._limits = Limits(account.per_minute, account.per_day, clock)

    def middleware(self) -> Any:
        """Return the middleware as aiohttp wants it."""

        @web.middleware
        async def pass_gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._visits.catch_up()
            if request.path.startswith(f"{CONTROL}/"):
                return await _refusing(request, handler)
            entry = self._listed(request)
            await request.read()  # A caller who hangs up during a delay has still sent it all.
            response = await self._answer(request, handler, entry)
            entry["status"] = None if DROPPED in response else response.status
            return response

        return pass_gate

    def _listed(self, request: web.Request) -> Row:
        entry = {
            "method": request.method,
            "path": request.path.removeprefix(BASE),
            "query": dict(request.query),
            "at": self._clock.now().isoformat(),
            "status": None,
            "fault": None,
        }
        self.requests.append(entry)
        return entry

    async def _answer(self, request: web.Request, handler: Handler, entry: Row) -> web.StreamResponse:
        if request.match_info.http_exception is not None:
            return page("The resource cannot be found.", 404)
        if not hmac.compare_digest(request.headers.get("X-Auth-Key", "").encode(), self._key.encode()):
            return problem("Invalid API key.", 401)
        if not self._limits.admit():
            return problem("Too many requests.", 429)
        fault = self._faults.take(request.method, entry["path"])
        if fault is None:
            return await _refusing(request, handler)
        entry["fault"] = fault.kind
        return await fault.spoil(request, lambda: _refusing(request, handler))


async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return problem(refused.message, refused.status)
