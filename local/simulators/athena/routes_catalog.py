"""Reads of what the practice has set up: departments, providers, types, reasons, insurance packages."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local.simulators.athena.account import FROM_API, Account
from local.simulators.athena.answers import unknown
from local.simulators.athena.file import AppointmentType, CancelReason, Department, Provider, Reason
from local.simulators.athena.forms import query_of
from local.simulators.athena.listing import paged
from local.simulators.athena.wire import words
from local.simulators.common.answers import Row
from moonlit.clock import Clock


class CatalogRoutes:
    """Handlers of what staff set up and the API only reads."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self._account = account
        self._clock = clock

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        return [
            web.get(f"{base}/ping", self.ping),
            web.get(f"{base}/departments", self.departments),
            web.get(f"{base}/departments/{{id}}", self.department),
            web.get(f"{base}/providers", self.providers),
            web.get(f"{base}/providers/{{id}}", self.provider),
            web.get(f"{base}/appointmenttypes", self.types),
            web.get(f"{base}/patientappointmentreasons", self.reasons("new", "existing", "all")),
            web.get(f"{base}/patientappointmentreasons/newpatient", self.reasons("new", "all")),
            web.get(f"{base}/patientappointmentreasons/existingpatient", self.reasons("existing", "all")),
            web.get(f"{base}/appointmentcancelreasons", self.cancel_reasons),
            web.get(f"{base}/misc/topinsurancepackages", self.packages),
        ]

    async def ping(self, _: web.Request) -> web.Response:
        """Answer that everything is well."""
        return web.json_response({"pong": "true"})

    async def departments(self, request: web.Request) -> web.Response:
        """List the departments."""
        rows = [self._department(row) for row in self._account.departments.values()]
        return web.json_response(paged(self._account, request, "departments", rows))

    async def department(self, request: web.Request) -> web.Response:
        """Answer an array of one department."""
        return self._one("department", self._account.departments, request, self._department)

    async def providers(self, request: web.Request) -> web.Response:
        """List the providers."""
        rows = [_provider(row) for row in self._account.providers.values()]
        return web.json_response(paged(self._account, request, "providers", rows))

    async def provider(self, request: web.Request) -> web.Response:
        """Answer an array of one provider."""
        return self._one("provider", self._account.providers, request, _provider)

    async def types(self, request: web.Request) -> web.Response:
        """List the appointment types; those that patients do not see only when asked to."""
        shows_all = query_of(request).text("hidenonpatient") == "false"
        rows = [_type(row) for row in self._account.types.values() if row.patient or shows_all]
        return web.json_response(paged(self._account, request, "appointmenttypes", rows))

    def reasons(self, *kinds: str) -> Any:
        """Return the handler that lists the reasons of these kinds of a department's provider."""

        async def listed(request: web.Request) -> web.Response:
            department, provider = query_of(request).need("departmentid", "providerid")
            rows = [
                _reason(row)
                for row in self._account.reasons.values()
                if row.reasontype in kinds
                and (not row.departmentids or department in row.departmentids)
                and (not row.providerids or provider in row.providerids)
            ]
            return web.json_response(paged(self._account, request, "patientappointmentreasons", rows))

        return listed

    async def cancel_reasons(self, request: web.Request) -> web.Response:
        """List why staff cancel; the reason that the API writes by itself is not among them."""
        reasons = self._account.cancel_reasons.values()
        rows = [_cancel_reason(row) for row in reasons if row is not FROM_API]
        return web.json_response(paged(self._account, request, "appointmentcancelreasons", rows))

    async def packages(self, request: web.Request) -> web.Response:
        """List the insurance packages that the practice uses most."""
        rows = [row | {"insurancepackageid": str(row["insurancepackageid"])} for row in self._account.packages.values()]
        return web.json_response(paged(self._account, request, "insurancepackages", rows))

    def _one(self, kind: str, rows: dict[str, Any], request: web.Request, shown: Any) -> web.Response:
        row = rows.get(request.match_info["id"])
        if row is None:
            raise unknown(kind)
        return web.json_response([shown(row)])

    def _department(self, row: Department) -> Row:
        offset = self._clock.now().astimezone(self._account.zone(row.departmentid)).utcoffset()
        hours = offset.total_seconds() / 3600 if offset is not None else 0
        whole = int(hours) if hours == int(hours) else hours
        return row.model_dump() | {"timezoneoffset": whole}


def _provider(row: Provider) -> Row:
    name = f"{row.firstname} {row.lastname}"
    defaults = {"displayname": name, "schedulingname": row.lastname.upper(), "billable": True,
                "acceptingnewpatients": "true", "hideinportal": False, "entitytype": "Person"}  # fmt: skip
    return defaults | row.model_dump() | {"providerid": int(row.providerid)}


def _type(row: AppointmentType) -> Row:
    shown = {"generic": words(row.generic), "templatetypeonly": words(row.templatetypeonly)}
    return row.model_dump() | {"patientdisplayname": row.patientdisplayname or row.name} | shown


def _reason(row: Reason) -> Row:
    return {
        "reasonid": int(row.reasonid),
        "reason": row.reason,
        "description": row.description,
        "reasontype": row.reasontype,
        "schedulingminhours": str(row.schedulingminhours),
        "schedulingmaxdays": str(row.schedulingmaxdays),
    }


def _cancel_reason(row: CancelReason) -> Row:
    switches = ("noshow", "patientrescheduled", "providerunavailable", "slotavailable")
    return row.model_dump() | {name: words(getattr(row, name)) for name in switches}
