"""Workers of a function that are forked from a warm process instead of being started anew: see inside/warm.py."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from local.host.sandbox import Sandbox
from local.host.template import Function
from local.processes import die_with_parent

INSIDE = Path(__file__).parent / "inside"


@dataclass(eq=False)
class Forked:
    """A forked worker, with what `Sandbox` asks of a process."""

    pid: int
    returncode: int | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        await self.over.wait()


@dataclass(eq=False)
class WarmProcess:
    """The process that workers are forked from."""

    process: asyncio.subprocess.Process
    started: asyncio.Queue[Forked] = field(default_factory=asyncio.Queue)
    living: dict[int, Forked] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    deaths: list[int] = field(default_factory=list)
    reading: asyncio.Task[None] = field(init=False)

    @classmethod
    async def start(cls, function: Function, environment: Mapping[str, str], log: Path) -> WarmProcess:
        path = os.pathsep.join((str(INSIDE), environment["PYTHONPATH"]))
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-S", str(INSIDE / "warm.py"), function.handler,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=output,
                env={**environment, "PYTHONPATH": path}, cwd=function.code, start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )  # fmt: skip
        warm = cls(process)
        assert (await warm._said()).get("ready"), f"see {log}"
        warm.reading = asyncio.create_task(warm._read())
        return warm

    async def fork(self, environment: Mapping[str, str]) -> Sandbox:
        assert self.process.stdin
        async with self.turn:
            self.process.stdin.write(f"{json.dumps(dict(environment))}\n".encode())
            worker = await self.started.get()
        return Sandbox(cast(asyncio.subprocess.Process, worker))

    async def stop(self) -> None:
        self.reading.cancel()
        assert self.process.stdin
        self.process.stdin.close()
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def _said(self) -> dict[str, Any]:
        assert self.process.stdout
        line = await self.process.stdout.readline()
        return dict(json.loads(line)) if line else {}

    async def _read(self) -> None:
        while said := await self._said():
            if "started" in said:
                worker = self.living[said["started"]] = Forked(said["started"])
                self.started.put_nowait(worker)
            else:
                worker = self.living.pop(said["ended"])
                worker.returncode = said["status"]
                self.deaths.append(said["status"])
                worker.over.set()


@asynccontextmanager
async def forking(folder: str) -> AsyncIterator[list[WarmProcess]]:
    """Let the local host fork the workers of the function in that folder; yield the process that it forks from."""
    warm: list[WarmProcess] = []
    turn, real = asyncio.Lock(), Sandbox.start

    async def start(function: Function, environment: Mapping[str, str], log: Path) -> Sandbox:
        if function.folder != folder:
            return await real(function, environment, log)
        async with turn:
            if not warm:
                warm.append(await WarmProcess.start(function, environment, log))
        return await warm[0].fork(environment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sandbox, "start", start)
        try:
            yield warm
        finally:
            for process in warm:
                await process.stop()
