"""The processes that run one function: at most its limit, kept warm, killed when they are late."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from local.host.sandbox import Sandbox
from local.host.template import Function

DEFAULT_CONCURRENCY = 10
IDLE_HANDS_SECONDS = 30.0  # For a process to start, or to come back for work after its answer.

type Start = Callable[[Function, str], Awaitable[Sandbox]]
"""Starts a process of a function under a worker id."""


class Gone(LookupError):
    """A worker speaks that was buried, or about an event that it does not run."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned, or the error object that stands for its failure, as JSON."""

    payload: bytes
    failed: bool = False


@dataclass(slots=True, eq=False)
class Invocation:
    """One event on its way through a worker."""

    payload: bytes
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    deadline_ms: int = 0
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def finish(self, answer: Answer) -> None:
        """Give the answer to whoever still waits for it."""
        if not self.answer.done():
            self.answer.set_result(answer)


@dataclass(slots=True, eq=False)
class Worker:
    """One process of a function, from the moment it is wanted.

    Attributes:
        running: The invocation that it was given and has not answered. Without one it is free, or soon will be.
        waiting: Where its open request for work waits, when it has one.
    """

    id: str
    sandbox: Sandbox | None = None
    started: bool = False
    running: Invocation | None = None
    waiting: asyncio.Future[Invocation] | None = None
    late: asyncio.TimerHandle | None = None
    verdict: Answer | None = None

    @property
    def state(self) -> Literal["starting", "busy", "idle"]:
        """What it does at the moment."""
        if not self.started:
            return "starting"
        return "busy" if self.running else "idle"

    def give(self, invocation: Invocation) -> bool:
        """Hand over an event if it asks for one."""
        if self.waiting is None or self.waiting.done():
            return False
        self.running = invocation
        self.waiting.set_result(invocation)
        return True


class Pool:
    """Hands a function's events to its workers.

    A worker counts as free from its answer on, before it asks for more work, and from its start on, before it can
    work: whoever counted only those that are asking would start a second process for a single caller, and more than
    the limit for many.
    """

    def __init__(self, function: Function, start: Start, log: Path) -> None:
        self.function = function
        self.limit = DEFAULT_CONCURRENCY if function.concurrency is None else function.concurrency
        self._start = start
        self._log = log
        self._workers: dict[str, Worker] = {}
        self._backlog: deque[Invocation] = deque()
        self._ids = itertools.count(1)
        self._lives: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def workers(self) -> list[Worker]:
        """The workers that live, oldest first."""
        return list(self._workers.values())

    async def invoke(self, payload: bytes) -> tuple[str, Answer]:
        """Run the function on one event; return the request id and the answer.

        Whoever stops waiting takes back what no worker has begun; what runs runs on, as in the cloud.
        """
        invocation = Invocation(payload)
        self._backlog.append(invocation)
        self._balance()
        try:
            return invocation.request_id, await invocation.answer
        finally:
            with suppress(ValueError):
                self._backlog.remove(invocation)

    async def next(self, worker_id: str) -> Invocation:
        """Wait for the next event of a worker that asks for one.

        Raises:
            Gone: There is no such worker, or it ended meanwhile.
        """
        worker = self._worker(worker_id)
        worker.started = True
        self._expect(worker, None)
        worker.waiting = asyncio.get_running_loop().create_future()
        self._balance()
        return await worker.waiting

    def answered(self, worker_id: str, request_id: str, answer: Answer) -> None:
        """Take a worker's answer to the event that it runs.

        Raises:
            Gone: It runs no such event.
        """
        worker = self._worker(worker_id)
        if worker.running is None or worker.running.request_id != request_id:
            raise Gone(request_id)
        invocation, worker.running = worker.running, None
        self._expect(worker, IDLE_HANDS_SECONDS)
        invocation.finish(answer)

    def init_failed(self, worker_id: str, answer: Answer) -> None:
        """Take the reason why a worker cannot start; it ends by itself.

        Raises:
            Gone: There is no such worker.
        """
        self._worker(worker_id).verdict = answer

    async def stop(self) -> None:
        """End all workers at once; whoever waits is told that the function failed."""
        self._stopping = True
        for worker in self.workers:
            self._kill(worker)
        await asyncio.gather(*self._lives, return_exceptions=True)
        while self._backlog:
            self._backlog.popleft().finish(_error("Host.Stopped", "The host was stopped"))

    def _worker(self, worker_id: str) -> Worker:
        try:
            return self._workers[worker_id]
        except KeyError:
            raise Gone(worker_id) from None

    def _balance(self) -> None:
        """Give waiting events to asking workers, and start workers for those that nobody will be free for."""
        for worker in reversed(self.workers):
            if self._backlog and worker.give(self._backlog[0]):
                self._begin(worker, self._backlog.popleft())
        free = sum(worker.running is None for worker in self._workers.values())
        wanted = min(len(self._backlog) - free, self.limit - len(self._workers))
        for _ in range(0 if self._stopping else wanted):
            self._launch()

    def _begin(self, worker: Worker, invocation: Invocation) -> None:
        invocation.deadline_ms = int((time.time() + self.function.timeout_seconds) * 1000)
        self._expect(worker, self.function.timeout_seconds)

    def _launch(self) -> None:
        worker = Worker(str(next(self._ids)))
        self._workers[worker.id] = worker
        life = asyncio.create_task(self._live(worker))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _live(self, worker: Worker) -> None:
        try:
            worker.sandbox = await self._start(self.function, worker.id)
            self._expect(worker, IDLE_HANDS_SECONDS)
            if self._stopping:
                worker.sandbox.kill()
            await worker.sandbox.wait()
        except OSError as error:
            worker.verdict = _error("Runtime.InvalidEntrypoint", f"The process did not start: {error.strerror}")
        finally:
            self._buried(worker)

    def _buried(self, worker: Worker) -> None:
        """Tell whoever waits for the worker, and let another take its place."""
        self._expect(worker, None)
        del self._workers[worker.id]
        if worker.waiting is not None and not worker.waiting.done():
            worker.waiting.set_exception(Gone(worker.id))
        lost = worker.running
        if lost is None and not worker.started and self._backlog:
            lost = self._backlog.popleft()  # It was started for an event, which must not start another for ever.
        if lost is not None:
            status = worker.sandbox.status if worker.sandbox else "not started"
            answer = worker.verdict or _error("Runtime.ExitError", f"Runtime exited with error: {status}", lost)
            self._note(answer)
            lost.finish(answer)
        self._balance()

    def _expect(self, worker: Worker, seconds: float | None) -> None:
        """Give the worker `seconds` for its next step; None for all the time it wants."""
        if worker.late is not None:
            worker.late.cancel()
        loop = asyncio.get_running_loop()
        worker.late = None if seconds is None else loop.call_later(seconds, self._expired, worker)

    def _expired(self, worker: Worker) -> None:
        if worker.running is not None:
            message = f"Task timed out after {self.function.timeout_seconds:.2f} seconds"
            worker.verdict = _error("Sandbox.Timedout", message, worker.running)
        else:
            worker.verdict = _error("Sandbox.Timedout", f"Not ready for work after {IDLE_HANDS_SECONDS:.0f} seconds")
        self._kill(worker)

    @staticmethod
    def _kill(worker: Worker) -> None:
        if worker.sandbox is not None:
            worker.sandbox.kill()

    def _note(self, answer: Answer) -> None:
        with self._log.open("ab") as log:
            log.write(b"host: " + answer.payload + b"\n")


def _error(kind: str, message: str, invocation: Invocation | None = None) -> Answer:
    about = f"RequestId: {invocation.request_id} Error: " if invocation else ""
    return Answer(json.dumps({"errorType": kind, "errorMessage": about + message}).encode(), failed=True)
