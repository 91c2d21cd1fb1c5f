"""Serve an account file: `python -m local.simulators.intakeq --account FILE [--port 0]`.

Prints one line of JSON, {"url": ..., "port": ...}, once it answers. The clock is the stack's (MOONLIT_CLOCK_FILE).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from aiohttp import web

from local.simulators.intakeq.app import make_app
from moonlit.clock import system_clock


async def serve(account: dict[str, Any], host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; port 0 takes any free one."""
    runner = web.AppRunner(make_app(account, system_clock()), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    bound = runner.addresses[0][1]
    print(json.dumps({"url": f"http://{host}:{bound}", "port": bound}), flush=True)
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    await stopped.wait()
    await runner.cleanup()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.simulators.intakeq")
    parser.add_argument("--account", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    asyncio.run(serve(json.loads(chosen.account.read_text()), chosen.host, chosen.port))


if __name__ == "__main__":
    main()
