"""The simulator put together: one account, its API below /api/v1, its controls below /_control."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local.simulators.common.faults import Faults
from local.simulators.common.gate import CONTROL
from local.simulators.common.serving import watching
from local.simulators.intakeq.account import Account
from local.simulators.intakeq.control import Control
from local.simulators.intakeq.gate import BASE, IntakeqGate
from local.simulators.intakeq.routes import Routes
from local.simulators.intakeq.visits import Visits
from local.simulators.intakeq.webhooks import Webhooks
from local.simulators.intakeq.wire import to_ms
from moonlit.clock import Clock


def make_app(account: dict[str, Any], clock: Clock) -> web.Application:
    """Return the application that serves an account.

    Args:
        account: An IntakeQ account file, which stays as it is.
        clock: Tells the vendor's time: limits, versions, and when the file's changes happen.
    """
    served = Account(account, to_ms(clock.now()))
    webhooks, faults = Webhooks(served.practice_id), Faults()
    visits = Visits(served, webhooks, clock)
    gate = IntakeqGate(served, visits, faults, clock)

    app = web.Application(middlewares=[gate.middleware()])
    app.add_routes(Routes(served, visits).table(BASE))
    app.add_routes(Control(served, visits, gate, faults, webhooks).table(CONTROL))
    app.cleanup_ctx.extend([webhooks.running, watching(visits.catch_up)])
    return app
