"""The changed feed: subscribing to it, and reading it, which takes away what it shows."""

from __future__ import annotations

from aiohttp import web

from local.simulators.athena.account import Account
from local.simulators.athena.answers import missing
from local.simulators.athena.feed import Entry, Feed
from local.simulators.athena.file import EVENTS
from local.simulators.athena.forms import Parameters, form_of, query_of
from local.simulators.athena.listing import paged
from local.simulators.athena.routes_visits import detailed

_DONE = {"success": "true"}


class ChangeRoutes:
    """Handlers of the feed."""

    def __init__(self, account: Account, feed: Feed) -> None:
        self._account = account
        self._feed = feed

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`."""
        subscription = f"{base}/appointments/changed/subscription"
        return [
            web.get(f"{base}/appointments/changed", self.changed),
            web.get(subscription, self.subscription),
            web.post(subscription, self.subscribe),
            web.delete(subscription, self.unsubscribe),
            web.get(f"{subscription}/events", self.events),
        ]

    async def changed(self, request: web.Request) -> web.Response:
        """Answer what nobody has read yet and mark it as read, or what was read in a stretch of time."""
        self._feed.check()
        query = query_of(request)
        found = [entry for entry in self._asked_for(query) if self._fits(entry, query)]
        page = paged(self._account, request, "appointments", found)
        given: list[Entry] = page["appointments"]
        if not query.flag("leaveunprocessed") and not query.text("showprocessedstartdatetime"):
            self._feed.take(given)
        page["appointments"] = [detailed(self._account, entry.row, query) for entry in given]
        return web.json_response(page)

    async def subscription(self, _: web.Request) -> web.Response:
        """Answer what is subscribed to."""
        events = self._feed.events
        status = "ACTIVE" if len(events) == len(EVENTS) else "PARTIAL" if events else "INACTIVE"
        return web.json_response({"status": status, "subscriptions": [{"eventname": event} for event in events]})

    async def subscribe(self, request: web.Request) -> web.Response:
        """Subscribe to one event, or to all."""
        form = await form_of(request)
        self._feed.subscribe(form.text("eventname"), form.ids("departmentids"))
        return web.json_response(_DONE)

    async def unsubscribe(self, request: web.Request) -> web.Response:
        """End the subscription to one event, or to all."""
        form = await form_of(request)
        self._feed.unsubscribe(form.text("eventname") or query_of(request).text("eventname"))
        return web.json_response(_DONE)

    async def events(self, _: web.Request) -> web.Response:
        """List what can be subscribed to."""
        return web.json_response({"subscriptions": [{"eventname": event} for event in EVENTS]})

    def _asked_for(self, query: Parameters) -> list[Entry]:
        first, last = query.instant("showprocessedstartdatetime"), query.instant("showprocessedenddatetime")
        if first is None and last is None:
            return self._feed.waiting()
        if first is None or last is None:
            raise missing(["showprocessedstartdatetime" if first is None else "showprocessedenddatetime"])
        return self._feed.processed(first, last)

    def _fits(self, entry: Entry, query: Parameters) -> bool:
        return entry.fits(query.ids("departmentid"), query.ids("providerid"), query.text("patientid"))
