"""A stack in a process of its own, for tests and tools that look at it from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from local.processes import ROOT, die_with_parent
from local.state import NoStack, State

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class StackNotStarted(RuntimeError):
    """The stack ended or kept silent; the text holds its last words."""


@contextmanager
def running_stack(folder: Path, **settings: str) -> Iterator[dict[str, Any]]:
    """Run `local.up` on its own state `folder` and port; yield what its stack.json says.

    `settings` are the variables that `make up` takes. Use it from the main thread.

    Raises:
        StackNotStarted: It did not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "MOONLIT_STATE": str(folder),
        "PORT": "0",
        "PYTHONPATH": str(ROOT / "layers" / "common"),
    }
    output = folder / "up.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.up"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment | settings,
            cwd=ROOT,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # Set between fork and exec only.
        )
    state = State(folder)
    try:
        yield _description(state, process, output)
    finally:
        _stop(process)


def _description(state: State, process: subprocess.Popen[bytes], output: Path) -> dict[str, Any]:
    """Wait for what this very process says of itself."""
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with suppress(NoStack):
            description = state.description()
            if description["pid"] == process.pid:
                return description
        time.sleep(0.02)
    raise StackNotStarted(output.read_text()[-2000:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
