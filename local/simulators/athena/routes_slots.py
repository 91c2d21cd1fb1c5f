"""Open slots: the search, and what may be done to slots that nobody has."""

from __future__ import annotations

from aiohttp import web

from local.simulators.athena.account import Account
from local.simulators.athena.answers import Refusal, invalid, missing
from local.simulators.athena.calendar import Calendar
from local.simulators.athena.forms import Parameters, form_of, query_of
from local.simulators.athena.listing import OpenSearch, paged
from local.simulators.athena.slot import Slot
from local.simulators.athena.wire import read_local, time_text
from moonlit.clock import Clock


class SlotRoutes:
    """Handlers of open slots."""

    def __init__(self, account: Account, calendar: Calendar, clock: Clock) -> None:
        self._account = account
        self._calendar = calendar
        self._clock = clock

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        return [
            web.get(f"{base}/appointments/open", self.search),
            web.post(f"{base}/appointments/open", self.create),
            web.delete(f"{base}/appointments/{{id}}", self.delete),
            web.put(f"{base}/appointments/{{id}}/freeze", self.freeze),
        ]

    async def search(self, request: web.Request) -> web.Response:
        """List open slots."""
        rows = OpenSearch(self._account, query_of(request), self._clock.now()).rows()
        return web.json_response(paged(self._account, request, "appointments", rows))

    async def create(self, request: web.Request) -> web.Response:
        """Open slots at one or several times of a day; answer their times by their ids."""
        self._granted("create_slots")
        form = await form_of(request)
        slots = [self._calendar.open(slot) for slot in self._new_slots(form)]
        return web.json_response({"appointmentids": {slot.id: time_text(slot.start) for slot in slots}})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete an open slot."""
        self._granted("delete_slots")
        self._calendar.delete(self._calendar.slot(request.match_info["id"]), self._account.settings.api_user)
        return web.json_response({"success": "true"})

    async def freeze(self, request: web.Request) -> web.Response:
        """Freeze or release a slot; that it was not open stands inside a 200."""
        self._granted("freeze")
        slot = self._calendar.slot(request.match_info["id"])
        (wanted,) = (await form_of(request)).need("freeze")
        if wanted not in ("true", "false"):
            raise invalid("freeze")
        if self._calendar.freeze(slot, self._account.settings.api_user, frozen=wanted == "true"):
            return web.json_response({"success": True})
        return web.json_response({"success": False, "errormessage": "The appointment is not an open slot."})

    def _granted(self, grant: str) -> None:
        if not getattr(self._account.grants, grant):
            raise Refusal("The application is not authorized to use this endpoint.", 403)

    def _new_slots(self, form: Parameters) -> list[Slot]:
        day, _, department, provider = form.need("appointmentdate", "appointmenttime", "departmentid", "providerid")
        type_id, reason_id = form.text("appointmenttypeid"), form.text("reasonid")
        if (type_id is None) == (reason_id is None):
            raise missing(["appointmenttypeid"])
        reason = self._account.reasons.get(reason_id or "")
        kind = self._account.types.get(type_id or (reason.appointmenttypeid if reason else None) or "")
        if kind is None or department not in self._account.departments or provider not in self._account.providers:
            raise invalid("appointmenttypeid", "departmentid", "providerid")
        try:
            starts = [read_local(day, each) for each in form.ids("appointmenttime")]
        except ValueError:
            raise invalid("appointmentdate", "appointmenttime") from None
        return [
            Slot(
                id=self._account.next_id("slot"),
                provider_id=provider,
                department_id=department,
                start=start,
                minutes=kind.duration,
                type_id=kind.appointmenttypeid,
                reason_ids=(reason_id,) if reason_id else (),
                modified_at=self._clock.now(),
                modified_by=self._account.settings.api_user,
            )
            for start in starts
        ]
