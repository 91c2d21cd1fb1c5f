"""A simulator as a program: it serves an account file and says where.

Prints one line of JSON, {"url": ..., "port": ...}, once it answers. The clock is the stack's (MOONLIT_CLOCK_FILE).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from moonlit.clock import Clock, system_clock

_LOOK_SECONDS = 1.0

type MakeApp = Callable[[dict[str, Any], Clock], web.Application]


def main(module: str, make_app: MakeApp) -> None:
    """Read the arguments and serve until SIGINT or SIGTERM; port 0 takes any free one."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--account", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    app = make_app(json.loads(chosen.account.read_text()), system_clock())
    asyncio.run(_serve(app, chosen.host, chosen.port))


def watching(catch_up: Callable[[], int]) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return a part of an application that lets changes happen also while nobody asks.

    Args:
        catch_up: Applies what the clock has passed and returns how many changes are still to come.
    """

    async def running(_: web.Application) -> AsyncIterator[None]:
        async def watch() -> None:
            to_come = catch_up()
            while to_come:
                await asyncio.sleep(_LOOK_SECONDS)
                to_come = catch_up()

        watcher = asyncio.create_task(watch())
        yield
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)

    return running


async def _serve(app: web.Application, host: str, port: int) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    bound = runner.addresses[0][1]
    print(json.dumps({"url": f"http://{host}:{bound}", "port": bound}), flush=True)
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    await stopped.wait()
    await runner.cleanup()
