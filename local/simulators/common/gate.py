"""What every request to a vendor's API passes first: the list of requests, the vendor's own checks, the faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from local.simulators.common.answers import DROPPED, Refused, Row
from local.simulators.common.faults import Faults, Voice
from moonlit.clock import Clock

CONTROL = "/_control"


class Gate(ABC):
    """The middleware, and the list of requests it keeps; what is the vendor's own stands in its subclass."""

    voice: Voice

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self.requests: list[Row] = []
        self._faults = faults
        self._clock = clock

    @abstractmethod
    def path(self, request: web.Request) -> str:
        """Return the request's path below the API's base."""

    @abstractmethod
    def catch_up(self) -> None:
        """Let happen what the clock has passed."""

    @abstractmethod
    def turned_away(self, request: web.Request) -> web.Response | None:
        """Answer a request that does not get as far as its handler."""

    @abstractmethod
    def refusal(self, refused: Refused) -> web.Response:
        """Put a refusal in the vendor's words."""

    def headers(self, _: web.Request) -> Mapping[str, str]:
        """Return the headers that every answer of the vendor carries."""
        return {}

    def middleware(self) -> Any:
        """Return the middleware as aiohttp wants it."""

        @web.middleware
        async def pass_gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.catch_up()
            if request.path.startswith(f"{CONTROL}/"):
                return await self._refusing(request, handler)
            entry = self._listed(request)
            await request.read()  # A caller who hangs up during a delay has still sent it all.
            response = await self._answer(request, handler, entry)
            response.headers.update(self.headers(request))
            entry["status"] = None if DROPPED in response else response.status
            return response

        return pass_gate

    def _listed(self, request: web.Request) -> Row:
        entry = {
            "method": request.method,
            "path": self.path(request),
            "query": dict(request.query),
            "at": self._clock.now().isoformat(),
            "status": None,
            "fault": None,
        }
        self.requests.append(entry)
        return entry

    async def _answer(self, request: web.Request, handler: Handler, entry: Row) -> web.StreamResponse:
        turned_away = self.turned_away(request)
        if turned_away is not None:
            return turned_away
        fault = self._faults.take(request.method, entry["path"])
        if fault is None:
            return await self._refusing(request, handler)
        entry["fault"] = fault.kind
        return await fault.spoil(request, lambda: self._refusing(request, handler), self.voice)

    async def _refusing(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return self.refusal(refused)
