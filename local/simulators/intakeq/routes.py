"""The vendor's routes: parse, ask the account, answer."""

from __future__ import annotations

from aiohttp import web

from local.simulators.common.answers import Refused, body_of
from local.simulators.common.faults import REFUSE_TAKEN
from local.simulators.intakeq import listing, people
from local.simulators.intakeq.account import Account
from local.simulators.intakeq.visits import Visits


class Routes:
    """Handlers of one account's API."""

    def __init__(self, account: Account, visits: Visits) -> None:
        self._account = account
        self._visits = visits

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        return [
            web.get(f"{base}/appointments", self.appointments),
            web.get(f"{base}/appointments/settings", self.settings),
            web.get(f"{base}/appointments/{{id}}", self.appointment),
            web.post(f"{base}/appointments", self.book),
            web.put(f"{base}/appointments", self.move),
            web.post(f"{base}/appointments/cancellation", self.cancel),
            web.get(f"{base}/clients", self.clients),
            web.get(f"{base}/clients/profile/{{id}}", self.client),
            web.post(f"{base}/clients", self.save_client),
            web.get(f"{base}/practitioners", self.practitioners),
        ]

    async def appointments(self, request: web.Request) -> web.Response:
        """Answer one page of visits, the latest start first."""
        parameters = listing.lower_names(request.query)
        rows = listing.appointments(self._account, parameters, self._visits.now_ms())
        return web.json_response([listing.list_row(row) for row in listing.page_of(rows, parameters)])

    async def appointment(self, request: web.Request) -> web.Response:
        """Answer one visit; a deleted one is as unknown as one that never was."""
        row = self._account.appointments.get(request.match_info["id"])
        if row is None:
            raise Refused("Appointment not found.", 404)
        return web.json_response(listing.single_row(row))

    async def settings(self, _: web.Request) -> web.Response:
        """Answer locations, services and practitioners."""
        return web.json_response(self._account.settings)

    async def book(self, request: web.Request) -> web.Response:
        """Book a visit."""
        return web.json_response(listing.single_row(self._visits.book(await body_of(request), _status(request))))

    async def move(self, request: web.Request) -> web.Response:
        """Change a visit."""
        return web.json_response(listing.single_row(self._visits.move(await body_of(request), _status(request))))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a visit."""
        body = await body_of(request)
        return web.json_response(listing.single_row(self._visits.cancel(body.get("AppointmentId"), body.get("Reason"))))

    async def clients(self, request: web.Request) -> web.Response:
        """Answer one page of clients, by name."""
        parameters = listing.lower_names(request.query)
        rows = listing.page_of(listing.clients(self._account, parameters), parameters)
        return web.json_response([listing.client_row(row, parameters) for row in rows])

    async def client(self, request: web.Request) -> web.Response:
        """Answer one client's profile."""
        row = self._account.clients.get(request.match_info["id"])
        if row is None:
            raise Refused("Client not found", 404)
        return web.json_response(row)

    async def save_client(self, request: web.Request) -> web.Response:
        """Create or update a client."""
        return web.json_response(people.save(self._account, await body_of(request), self._visits.now_ms()))

    async def practitioners(self, request: web.Request) -> web.Response:
        """Answer the practitioners; those who have been disabled only when asked to."""
        shows_all = listing.lower_names(request.query).get("includeinactive", "").lower() == "true"
        rows = self._account.settings.get("Practitioners", []) + (self._account.inactive if shows_all else [])
        return web.json_response([{"ExternalPractitionerId": None, **row} for row in rows])


def _status(request: web.Request) -> int | None:
    return request.get(REFUSE_TAKEN)
