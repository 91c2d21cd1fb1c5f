"""The simulator's own routes below /_control, beside those that every simulator has (common/control.py).

GET    state     -> {appointments, openSlots, swallowed, patients, insurances, changed, subscription, settings, ...}
POST   staff     {"action": ...}                              see staff.py -> the slot or patient as it is now
POST   webhook   {"url": "https://...", "secret": "..."}      where event subscriptions deliver to; a null url: nowhere
POST   settings  {"open_min_hours": 2, "freeze": false, ...}  settings, grants and limits by their names
DELETE tokens                                                 lets every access token die
"""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ValidationError

from local.simulators.athena.account import Account
from local.simulators.athena.feed import Feed
from local.simulators.athena.gate import AthenaGate
from local.simulators.athena.shapes import slot_row
from local.simulators.athena.slot import Slot
from local.simulators.athena.staff import Staff
from local.simulators.athena.tokens import Tokens
from local.simulators.athena.webhooks import Webhooks
from local.simulators.common.answers import Refused, Row, body_of
from local.simulators.common.control import CommonControl
from local.simulators.common.faults import Faults


class Control(CommonControl):
    """Handlers that steer and watch the simulator."""

    def __init__(
        self,
        account: Account,
        feed: Feed,
        webhooks: Webhooks,
        staff: Staff,
        *,
        tokens: Tokens,
        gate: AthenaGate,
        faults: Faults,
    ) -> None:
        super().__init__(gate, faults)
        self._account = account
        self._feed = feed
        self._webhooks = webhooks
        self._staff = staff
        self._tokens = tokens

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        return [
            *super().table(base),
            web.get(f"{base}/state", self.state),
            web.post(f"{base}/webhook", self.set_webhook),
            web.post(f"{base}/staff", self.staff),
            web.post(f"{base}/settings", self.settings),
            web.delete(f"{base}/tokens", self.expire),
        ]

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Set where event subscriptions deliver to, and what deliveries are signed with."""
        body = await body_of(request)
        self._webhooks.url, self._webhooks.secret = body.get("url"), str(body.get("secret") or "")
        return web.json_response({"url": self._webhooks.url})

    async def state(self, _: web.Request) -> web.Response:
        """Show the account as it is now."""
        account = self._account
        return web.json_response(
            {
                "appointments": [self._shown(slot) for slot in account.slots.values()],
                "patients": list(account.patients.values()),
                "insurances": list(account.insurances.values()),
                "changed": [
                    {
                        "event": entry.event,
                        "appointmentid": entry.row["appointmentid"],
                        "read": bool(entry.processed_at),
                    }
                    for entry in self._feed.entries
                ],
                "subscription": {"events": self._feed.events, "departmentids": list(self._feed.departments)},
                "settings": account.settings.model_dump(),
                "grants": account.grants.model_dump(),
                "limits": account.limits.model_dump(),
                "pendingChanges": len(account.changes),
                "faults": self.ordered(),
                "webhooks": self._webhooks.deliveries,
            }
        )

    async def staff(self, request: web.Request) -> web.Response:
        """Do something as staff would."""
        return web.json_response(self._staff.act(await body_of(request)))

    async def settings(self, request: web.Request) -> web.Response:
        """Change settings, grants and limits."""
        for name, value in (await body_of(request)).items():
            self._set(name, value)
        return web.json_response({})

    async def expire(self, _: web.Request) -> web.Response:
        """Let every access token die."""
        return web.json_response({"expired": self._tokens.expire()})

    def _set(self, name: str, value: object) -> None:
        parts: tuple[BaseModel, ...] = (self._account.settings, self._account.grants, self._account.limits)
        part = next((part for part in parts if name in type(part).model_fields), None)
        if part is None:
            raise Refused(f"{name} is neither a setting, a grant nor a limit")
        try:
            checked = type(part).model_validate(part.model_dump() | {name: value})
        except ValidationError as error:
            raise Refused(str(error)) from None
        setattr(part, name, getattr(checked, name))

    def _shown(self, slot: Slot) -> Row:
        """Return a slot with what the API does not tell of it."""
        row = slot_row(self._account, slot) | {
            "isOpen": slot.is_open,
            "isFrozen": slot.is_frozen,
            "isSchedulable": slot.is_schedulable,
            "swallowedBy": slot.swallowed_by,
        }
        if slot.booking is None:
            return row
        cancellation = slot.booking.cancellation
        told = {"cancellationreason": cancellation.text} if cancellation and cancellation.text else {}
        return row | told | {"options": slot.booking.options, "insurances": slot.booking.insurances}
