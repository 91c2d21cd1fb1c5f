"""`make up`: the whole bundle on this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

from local.clinic import ClinicRefused
from local.host.host import FunctionFailed
from local.host.intrinsics import TemplateError
from local.options import BadOption, Options
from local.postgres import PostgresFailed
from local.processes import ChildFailed
from local.stack import LOAD_REPORT, PortTaken, Stack, StackFailed
from local.state import StackRunning

EXPECTED = (
    BadOption, ChildFailed, ClinicRefused, FunctionFailed, PortTaken, PostgresFailed, StackFailed, StackRunning,
    TemplateError,
)  # fmt: skip


async def serve(options: Options) -> None:
    """Run a stack until SIGINT or SIGTERM."""
    this = asyncio.current_task()
    if this is None:
        raise RuntimeError("a stack runs in a task")
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, this.cancel)
    with suppress(asyncio.CancelledError):
        async with Stack(options) as stack:
            print(summary(stack), flush=True)
            await asyncio.Event().wait()
    print("Stopped.")


def summary(stack: Stack) -> str:
    """Say what runs and where, for people."""
    odd = sum(len(oddity.ids) for oddity in stack.report.oddities)
    about = {
        "API": stack.description["apiUrl"],
        "Lambda": stack.description["lambdaUrl"],
        "IntakeQ": stack.description["simulators"].get("intakeq", stack.options.intakeq_base_url),
        "athena": stack.description["simulators"].get("athena", stack.options.athena_base_url),
        "Clock": f"{stack.clock.now():%Y-%m-%d %H:%M:%S} UTC",
        "Clinic": f"{sum(stack.report.loaded.values())} rows, {odd} of them odd: see {LOAD_REPORT}",
        "Details": stack.options.state.description_file,
        "Logs": stack.options.state.logs,
    }
    lines = [f"  {name:<8} {value}" for name, value in about.items()]
    return "\n".join(["Moonlit Scheduler is up. Ctrl-C stops it.", *lines])


def main() -> int:
    """Start the stack that the environment asks for; 1 when that cannot be."""
    try:
        asyncio.run(serve(Options.from_environment(os.environ)))
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
