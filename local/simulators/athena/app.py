"""The simulator put together: one practice, its API below /v1, its tokens, its controls below /_control."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local.simulators.athena.account import Account
from local.simulators.athena.calendar import Calendar
from local.simulators.athena.control import Control
from local.simulators.athena.feed import Feed
from local.simulators.athena.gate import BASE, AthenaGate
from local.simulators.athena.oauth import OAuth
from local.simulators.athena.routes_catalog import CatalogRoutes
from local.simulators.athena.routes_changes import ChangeRoutes
from local.simulators.athena.routes_patients import PatientRoutes
from local.simulators.athena.routes_slots import SlotRoutes
from local.simulators.athena.routes_visits import VisitRoutes
from local.simulators.athena.shapes import slot_row
from local.simulators.athena.staff import Staff
from local.simulators.athena.tokens import Tokens
from local.simulators.athena.webhooks import Webhooks
from local.simulators.common.faults import Faults
from local.simulators.common.gate import CONTROL
from local.simulators.common.serving import watching
from moonlit.clock import Clock


def make_app(account: dict[str, Any], clock: Clock) -> web.Application:
    """Return the application that serves an account.

    Args:
        account: An account file, which stays as it is.
        clock: Tells the vendor's time: notice, limits, tokens, and when the file's changes happen.

    Raises:
        pydantic.ValidationError: It is no account file.
    """
    served = Account(account, clock.now())
    feed = Feed(served, clock, lambda slot: slot_row(served, slot))
    webhooks = Webhooks(served, clock)
    calendar = Calendar(served, feed, webhooks, clock)
    staff, tokens, faults = Staff(served, calendar, clock), Tokens(clock), Faults()
    gate = AthenaGate(served, tokens, faults, clock, staff.catch_up)
    app = web.Application(middlewares=[gate.middleware()])
    app.add_routes(OAuth(served, tokens).table())
    for routes in (
        CatalogRoutes(served, clock),
        ChangeRoutes(served, feed),
        SlotRoutes(served, calendar, clock),
        VisitRoutes(served, calendar),
        PatientRoutes(served, clock),
    ):
        app.add_routes(routes.table(BASE))
    control = Control(served, feed, webhooks, staff, tokens=tokens, gate=gate, faults=faults)
    app.add_routes(control.table(CONTROL))
    app.cleanup_ctx.extend([webhooks.running, watching(staff.catch_up)])
    return app
