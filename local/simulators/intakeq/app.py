"""The simulator put together: one account, its API below /api/v1, its controls below /_control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from local.simulators.intakeq.account import Account
from local.simulators.intakeq.control import Control
from local.simulators.intakeq.faults import Faults
from local.simulators.intakeq.gate import BASE, CONTROL, Gate
from local.simulators.intakeq.routes import Routes
from local.simulators.intakeq.visits import Visits
from local.simulators.intakeq.webhooks import Webhooks
from local.simulators.intakeq.wire import to_ms
from moonlit.clock import Clock

_LOOK_SECONDS = 1.0


def make_app(account: dict[str, Any], clock: Clock) -> web.Application:
    """Return the application that serves an account.

    Args:
        account: An IntakeQ account file, which stays as it is.
        clock: Tells the vendor's time: limits, versions, and when the file's changes happen.
    """
    served = Account(account, to_ms(clock.now()))
    webhooks, faults = Webhooks(served.practice_id), Faults()
    visits = Visits(served, webhooks, clock)
    gate = Gate(served, visits, faults, clock)

    async def watching(_: web.Application) -> AsyncIterator[None]:
        """Let changes happen, and their webhooks leave, also while nobody asks."""

        async def watch() -> None:
            while served.changes:
                visits.catch_up()
                await asyncio.sleep(_LOOK_SECONDS)

        watcher = asyncio.create_task(watch())
        yield
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)

    app = web.Application(middlewares=[gate.middleware()])
    app.add_routes(Routes(served, visits).table(BASE))
    app.add_routes(Control(served, visits, gate, faults, webhooks).table(CONTROL))
    app.cleanup_ctx.extend([webhooks.running, watching])
    return app
