"""The simulator's own routes below /_control, beside those that every simulator has (common/control.py).

POST   webhook   {"url": "https://..."}, null for none        where webhooks go
POST   settings  {"Services": [...]}                          replaces lists of the settings, as the owner would
GET    state     -> {appointments, deleted, clients, pendingChanges, faults, webhooks: [{event, id, status}]}
POST   visits    {"action": "create", "appointment": {StartDate, ClientId, ...}}
                 {"action": "update", "id", "fields": {...}}  a new StartDate, Status and so on, as staff would
                 {"action": "cancel" | "delete", "id"}        -> the visit as it is now
"""

from __future__ import annotations

from aiohttp import web

from local.simulators.common.answers import Refused, Row, body_of
from local.simulators.common.control import CommonControl
from local.simulators.common.faults import Faults
from local.simulators.common.gate import Gate
from local.simulators.intakeq.account import Account
from local.simulators.intakeq.visits import Visits
from local.simulators.intakeq.webhooks import Webhooks


class Control(CommonControl):
    """Handlers that steer and watch the simulator."""

    def __init__(self, account: Account, visits: Visits, gate: Gate, faults: Faults, webhooks: Webhooks) -> None:
        super().__init__(gate, faults)
        self._account = account
        self._visits = visits
        self._webhooks = webhooks

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        return [
            *super().table(base),
            web.post(f"{base}/webhook", self.set_webhook),
            web.post(f"{base}/settings", self.set_settings),
            web.get(f"{base}/state", self.state),
            web.post(f"{base}/visits", self.visits),
        ]

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Set the URL that webhooks go to."""
        self._webhooks.url = (await body_of(request)).get("url")
        return web.json_response({"url": self._webhooks.url})

    async def set_settings(self, request: web.Request) -> web.Response:
        """Replace lists of the settings."""
        self._account.settings |= await body_of(request)
        return web.json_response(self._account.settings)

    async def state(self, _: web.Request) -> web.Response:
        """Show the account as it is now."""
        return web.json_response(
            {
                "appointments": list(self._account.appointments.values()),
                "deleted": list(self._account.deleted.values()),
                "clients": list(self._account.clients.values()),
                "pendingChanges": len(self._account.changes),
                "faults": self.ordered(),
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
