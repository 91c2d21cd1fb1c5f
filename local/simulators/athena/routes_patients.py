"""Patients and their insurance policies."""

from __future__ import annotations

from aiohttp import web

from local.simulators.athena import insurances, patients
from local.simulators.athena.account import Account
from local.simulators.athena.answers import Refusal
from local.simulators.athena.forms import form_of, query_of
from local.simulators.athena.listing import paged
from local.simulators.athena.shapes import insurance_row
from local.simulators.common.answers import Row
from moonlit.clock import Clock

_DONE = {"success": "true"}


class PatientRoutes:
    """Handlers of people and what pays for them."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self._account = account
        self._clock = clock

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        policy = f"{base}/patients/{{id}}/insurances/{{insurance}}"
        return [
            web.get(f"{base}/patients/enhancedbestmatch", self.match),
            web.post(f"{base}/patients", self.create),
            web.get(f"{base}/patients/{{id}}", self.read),
            web.get(f"{base}/patients/{{id}}/insurances", self.policies),
            web.post(f"{base}/patients/{{id}}/insurances", self.add_policy),
            web.put(policy, self.update_policy),
            web.delete(policy, self.cancel_policy),
            web.post(f"{policy}/reactivate", self.reactivate_policy),
        ]

    async def match(self, request: web.Request) -> web.Response:
        """Answer a bare array of those who it may be."""
        if not self._account.grants.best_match:
            raise Refusal("The application is not authorized to use this endpoint.", 403)
        return web.json_response(patients.best_matches(self._account, query_of(request), self._clock.now()))

    async def create(self, request: web.Request) -> web.Response:
        """Create a patient; answer an array of one id, perhaps that of somebody known."""
        return web.json_response([patients.create(self._account, await form_of(request), self._clock.now())])

    async def read(self, request: web.Request) -> web.Response:
        """Answer an array of one patient."""
        return web.json_response([patients.patient(self._account, request.match_info["id"])])

    async def policies(self, request: web.Request) -> web.Response:
        """List a patient's policies."""
        patients.patient(self._account, request.match_info["id"])
        with_cancelled = query_of(request).flag("showcancelled")
        rows = insurances.policies(self._account, request.match_info["id"], with_cancelled=with_cancelled)
        shown = [insurance_row(self._account, row) for row in rows]
        return web.json_response(paged(self._account, request, "insurances", shown))

    async def add_policy(self, request: web.Request) -> web.Response:
        """Add a policy."""
        form = await form_of(request)
        row = insurances.create(self._account, request.match_info["id"], form, self._clock.now())
        return web.json_response(insurances.answer(self._account, row))

    async def update_policy(self, request: web.Request) -> web.Response:
        """Change a policy."""
        insurances.update(self._policy(request), await form_of(request))
        return web.json_response(_DONE)

    async def cancel_policy(self, request: web.Request) -> web.Response:
        """End a policy; it can be reactivated."""
        self._policy(request)["cancelled"] = True
        return web.json_response(_DONE)

    async def reactivate_policy(self, request: web.Request) -> web.Response:
        """Bring an ended policy back."""
        self._policy(request).pop("cancelled", None)
        return web.json_response(_DONE)

    def _policy(self, request: web.Request) -> Row:
        return insurances.policy(self._account, request.match_info["id"], request.match_info["insurance"])
