"""The whole host: workers, HTTP API, Invoke API, queue sources, rules and schedules of one template."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

from local.clock import StackClock
from local.host.control import add_control
from local.host.gateway import Gateway
from local.host.invoke_api import MAX_PAYLOAD_BYTES, add_invoke_api
from local.host.queue_source import QueuePoller
from local.host.rules import run_rule
from local.host.runtime import runtime_app
from local.host.sandbox import Libraries, Sandbox, worker_environment
from local.host.schedules import run_schedule
from local.host.sqs import Sqs
from local.host.template import Function, Template
from local.host.workers import Pool

LOOPBACK = "127.0.0.1"
_KEEP_ALIVE_SECONDS = 75.0
_SHUTDOWN_SECONDS = 0.5
_BACKLOG = 1024


class FunctionFailed(RuntimeError):
    """A function that the stack itself called did not succeed."""


@dataclass(slots=True)
class Host:
    """Runs the functions of `template` until the block that it is entered with ends.

    Enter it in the main thread: its workers live as long as the thread that starts them.

    Attributes:
        aws_url: The local AWS services, SQS and Cognito among them.
        logs: The folder for `<function>.log`, where the output of a function's workers goes.
        environment: Given to every function, over what the template says; `environments` to one, by its logical id.
        api_socket: A bound socket for the HTTP API; None for any free port.
    """

    template: Template
    clock: StackClock
    aws_url: str
    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    libraries: Libraries = field(default_factory=Libraries)
    api_socket: socket.socket | None = None
    api_url: str = field(init=False)
    lambda_url: str = field(init=False)
    _runtime: str = field(init=False)
    _pools: dict[str, Pool] = field(init=False)
    _stack: AsyncExitStack = field(init=False, default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        """Start serving; queues are polled from `start_sources` on."""
        self._pools = {
            logical_id: Pool(function, self._start, self._log(function))
            for logical_id, function in self.template.functions.items()
        }
        try:
            runtime = await self._serve(runtime_app(self._pools))
            self._runtime = runtime.removeprefix("http://")
            self.api_url = await self._serve(self._gateway().app(), self.api_socket)
            self.lambda_url = await self._serve(self._lambda_app())
            for pool in self._pools.values():
                self._stack.push_async_callback(pool.stop)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, what runs included."""
        await self._stack.aclose()

    async def start_sources(self) -> None:
        """Start polling queues and running schedules: once there is something for them to work on."""
        session = await self._stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()))
        sqs = Sqs(session, self.aws_url)
        for source in self.template.queue_sources:
            self._run(QueuePoller(source, self._pools[source.function], sqs).run())
        for rule in self.template.rules:
            self._run(run_rule(rule, self._pools[rule.function], sqs))
        for schedule in self.template.schedules:
            self._run(run_schedule(schedule, self._pools[schedule.function], self.clock))

    async def invoke(self, name: str, payload: bytes = b"{}") -> bytes:
        """Call a function and return its answer.

        Raises:
            FunctionFailed: It failed, or there is no such function.
        """
        function = self.template.function(name)
        if function is None:
            raise FunctionFailed(f"the template has no function {name}")
        _, answer = await self._pools[function.logical_id].invoke(payload)
        if answer.failed:
            raise FunctionFailed(f"{name} failed: see {self._log(function)}")
        return answer.payload

    async def _start(self, function: Function, worker_id: str) -> Sandbox:
        environment = worker_environment(
            function,
            runtime_api=f"{self._runtime}/{function.logical_id}/{worker_id}",
            libraries=self.libraries,
            overrides={
                "AWS_ENDPOINT_URL": self.aws_url,
                "MOONLIT_CLOCK_FILE": str(self.clock.file),
                **self.environment,
                **self.environments.get(function.logical_id, {}),
            },
        )
        return await Sandbox.start(function, environment, self._log(function))

    def _log(self, function: Function) -> Path:
        return self.logs / f"{function.folder}.log"

    def _gateway(self) -> Gateway:
        return Gateway(self.template, self._pools, self.clock, self.aws_url)

    def _lambda_app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_PAYLOAD_BYTES)
        add_invoke_api(app, self.template, self._pools)
        add_control(app, self.template, self._pools.values(), self.clock)
        return app

    async def _serve(self, app: web.Application, bound: socket.socket | None = None) -> str:
        """Serve `app` on a socket of its own and return its URL."""
        runner = web.AppRunner(
            app,
            access_log=None,  # Its lines would hold queries.
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, bound or free_socket(), backlog=_BACKLOG).start()
        return f"http://{LOOPBACK}:{runner.addresses[0][1]}"

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_report)

        async def stop() -> None:
            task.cancel()
            await asyncio.wait([task])

        self._stack.push_async_callback(stop)


def free_socket(port: int = 0) -> socket.socket:
    """Return a socket bound to `port` of this machine alone, 0 for any free one.

    Raises:
        OSError: The port is taken.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound


def _report(task: asyncio.Task[None]) -> None:
    """Say at once when a source of events has stopped by a mistake of ours, not only when the host ends."""
    if not task.cancelled() and (error := task.exception()):
        context = {"message": "A source of events stopped", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
