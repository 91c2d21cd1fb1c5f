"""The simulator's own routes below /_control, which the vendor does not have.

POST   webhook   {"url": "https://..."}, null for none        where webhooks go
POST   faults    {"faults": [...]}                            see faults.py; [] clears
GET    requests  -> [{method, path, query, at, status, fault}]; status null: dropped, or not answered yet
DELETE requests  or POST reset                                empties that list
GET    state     -> {appointments, deleted, clients, pendingChanges, faults, webhooks: [{event, id, status}]}
POST   visits    {"action": "create", "appointment": {StartDate, ClientId, ...}}
                 {"action": "update", "id", "fields": {...}}  a new StartDate, Status and so on, as staff would
                 {"action": "cancel" | "delete", "id"}        -> the visit as it is now
"""

from __future__ import annotations

from aiohttp import web
from pydantic import ValidationError

from local.simulators.intakeq.account import Account
from local.simulators.intakeq.faults import Faults
from local.simulators.intakeq.gate import Gate
from local.simulators.intakeq.routes import body_of
from local.simulators.intakeq.visits import Visits
from local.simulators.intakeq.webhooks import Webhooks
from local.simulators.intakeq.wire import Refused, Row


class Control:
    """Handlers that steer and watch the simulator."""

    def __init__(self, account: Account, visits: Visits, gate: Gate, faults: Faults, webhooks: Webhooks) -> None:
        self._account = account
        self._visits = visits
        self._gate = gate
        self._faults = faults
        self._webhooks = webhooks

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        return [
            web.post(f"{base}/webhook", self.set_webhook),
            web.post(f"{base}/faults", self.set_faults),
            web.get(f"{base}/requests", self.requests),
            web.delete(f"{base}/requests", self.reset),
            web.post(f"{base}/reset", self.reset),
            web.get(f"{base}/state", self.state),
            web.post(f"{base}/visits", self.visits),
        ]

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Set the URL that webhooks go to."""
        self._webhooks.url = (await body_of(request)).get("url")
        return web.json_response({"url": self._webhooks.url})

    async def set_faults(self, request: web.Request) -> web.Response:
        """Order faults."""
        try:
            self._faults.order((await body_of(request)).get("faults"))
        except ValidationError as error:
            raise Refused(str(error)) from None
        return web.json_response({"faults": self._ordered()})

    async def requests(self, _: web.Request) -> web.Response:
        """List every request that the API received."""
        return web.json_response(self._gate.requests)

    async def reset(self, _: web.Request) -> web.Response:
        """Empty the list of requests."""
        self._gate.requests.clear()
        return web.json_response({})

    async def state(self, _: web.Request) -> web.Response:
        """Show the account as it is now."""
        return web.json_response(
            {
                "appointments": list(self._account.appointments.values()),
                "deleted": list(self._account.deleted.values()),
                "clients": list(self._account.clients.values()),
                "pendingChanges": len(self._account.changes),
                "faults": self._ordered(),
                "webhooks": self._webhooks.deliveries,
            }
        )

    async def visits(self, request: web.Request) -> web.Response:
        """Change the calendar as staff would."""
        return web.json_response(self._by_staff(await body_of(request)))

    def _by_staff(self, body: Row) -> Row:
        match body.get("action"):
            case "create":
                return self._visits.staff_creates(body.get("appointment", {}))
            case "update":
                return self._visits.staff_updates(body.get("id"), body.get("fields", {}))
            case "cancel":
                return self._visits.cancel(body.get("id"), body.get("reason"))
            case "delete":
                return self._visits.staff_deletes(body.get("id"))
            case _:
                raise Refused("action is create, update, cancel or delete")

    def _ordered(self) -> list[Row]:
        return [fault.model_dump(exclude_none=True) for fault in self._faults.waiting if fault.times != 0]
