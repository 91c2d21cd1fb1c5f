"""The routes below /_control that every simulator has, and no vendor.

POST   faults    {"faults": [...]}                            see faults.py; [] clears
GET    requests  -> [{method, path, query, at, status, fault}]; status null: dropped, or not answered yet
DELETE requests  or POST reset                                empties that list
"""

from __future__ import annotations

from aiohttp import web
from pydantic import ValidationError

from local.simulators.common.answers import Refused, Row, body_of
from local.simulators.common.faults import Faults
from local.simulators.common.gate import Gate


class CommonControl:
    """Handlers that steer and watch any simulator."""

    def __init__(self, gate: Gate, faults: Faults) -> None:
        self._gate = gate
        self._faults = faults

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        return [
            web.post(f"{base}/faults", self.set_faults),
            web.get(f"{base}/requests", self.requests),
            web.delete(f"{base}/requests", self.reset),
            web.post(f"{base}/reset", self.reset),
        ]

    async def set_faults(self, request: web.Request) -> web.Response:
        """Order faults."""
        try:
            self._faults.order((await body_of(request)).get("faults"))
        except ValidationError as error:
            raise Refused(str(error)) from None
        return web.json_response({"faults": self.ordered()})

    async def requests(self, _: web.Request) -> web.Response:
        """List every request that the API received."""
        return web.json_response(self._gate.requests)

    async def reset(self, _: web.Request) -> web.Response:
        """Empty the list of requests."""
        self._gate.requests.clear()
        return web.json_response({})

    def ordered(self) -> list[Row]:
        """Return the faults that are still to come."""
        return [fault.model_dump(exclude_none=True) for fault in self._faults.waiting if fault.times != 0]
