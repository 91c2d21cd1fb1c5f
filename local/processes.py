"""Child processes that never outlive the one that started them, however that one ends."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


class ChildFailed(RuntimeError):
    """A helper process ended or kept silent before it said where it listens."""


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs before it becomes its program, so that it is sent `death_signal` when its parent ends.

    The kernel ties this to the thread that starts the child, so start children from the main thread. Other systems
    than Linux have no such thing; there an orderly stop is all there is.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # The parent ended in between, and no signal will come.
            os._exit(1)

    return prepare


@dataclass(slots=True)
class Child:
    """A helper server in a process of its own.

    Its contract: the first line on its standard output is a JSON object with its `url`, and SIGTERM ends it.
    """

    url: str
    _process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, *command: str | Path, environment: Mapping[str, str], log: Path) -> Self:
        """Start `command` in the repository and wait until it says where it listens; its errors go to `log`.

        Raises:
            ChildFailed: It ended, or said nothing for 30 seconds.
        """
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C in a terminal is for the stack, which stops its children in order.
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        try:
            return cls(await _announced(process), process)
        except BaseException as error:
            process.kill()
            await process.wait()
            if isinstance(error, TimeoutError | ValueError | KeyError):
                raise ChildFailed(f"{command[-1]} did not start: see {log}") from error
            raise

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    async def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def _announced(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise ValueError("the child has no standard output")
    line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    return str(json.loads(line)["url"])
