"""What tests and people may do to a running host that the cloud has no call for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from local.clock import ClockWouldGoBack, StackClock
from local.host.template import Schedule, Template
from local.host.workers import Pool


class MoveClock(BaseModel):
    """The body of `POST /_control/clock`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    to: AwareDatetime


def add_control(app: web.Application, template: Template, pools: Iterable[Pool], clock: StackClock) -> None:
    """Add the control calls to `app`: the clock, the workers and the schedules."""

    async def show_clock(_: web.Request) -> web.Response:
        return web.json_response(_clock(clock))

    async def move_clock(request: web.Request) -> web.Response:
        try:
            clock.move_to(MoveClock.model_validate_json(await request.read()).to)
        except ValidationError:
            return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, 'Send {"to": instant with an offset}')
        except ClockWouldGoBack as error:
            return _refused(HTTPStatus.CONFLICT, f"The clock only goes forward: {error}")
        return web.json_response(_clock(clock))

    async def show_workers(request: web.Request) -> web.Response:
        wanted = request.query.get("function")
        shown = [pool for pool in pools if wanted is None or pool.function is template.function(wanted)]
        return web.json_response({"workers": [worker for pool in shown for worker in _workers(pool)]})

    async def show_schedules(_: web.Request) -> web.Response:
        return web.json_response({"schedules": [_schedule(schedule) for schedule in template.schedules]})

    app.router.add_get("/_control/clock", show_clock)
    app.router.add_post("/_control/clock", move_clock)
    app.router.add_get("/_control/workers", show_workers)
    app.router.add_get("/_control/schedules", show_schedules)


def _clock(clock: StackClock) -> dict[str, object]:
    now: datetime = clock.now()
    return {"now": now.isoformat(), "secondsAhead": clock.seconds_ahead}


def _workers(pool: Pool) -> list[dict[str, object]]:
    return [
        {"function": pool.function.folder, "pid": worker.sandbox.pid, "state": worker.state}
        for worker in pool.workers
        if worker.sandbox is not None
    ]


def _schedule(schedule: Schedule) -> dict[str, object]:
    return {
        "name": schedule.name,
        "function": schedule.function,
        "expression": schedule.expression,
        "zone": schedule.zone,
        "runsHere": schedule.every_seconds is not None,
    }


def _refused(status: HTTPStatus, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
