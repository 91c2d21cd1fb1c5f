"""The whole bundle on one machine: database, AWS services, EHR simulator and the Lambda host, as one thing."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import aiohttp

from local.aws import create_queues, create_secret, start_moto
from local.clinic import LoadReport
from local.clock import StackClock
from local.database import Database
from local.host.host import Host, free_socket
from local.host.template import Template
from local.options import Options
from local.postgres import Server
from local.processes import ROOT, Child

MIGRATION = "MigrateFunction"
INTAKEQ_API = "/api/v1"
WIDGET_ORIGINS = "http://localhost:3000"
SECRETS = {"IntakeqSecretArn": "moonlit/intakeq", "TokenSecretArn": "moonlit/token"}  # By the template's parameters.
HEALTH = "/health"
LOAD_REPORT = "clinic.log"
_HEALTH_SECONDS = 30


class PortTaken(RuntimeError):
    """Something else listens where the HTTP API should."""


class StackFailed(RuntimeError):
    """The stack started and does not answer."""


class Stack:
    """Everything that `make up` starts, for as long as the block that it is entered with.

    Enter it in the main thread: its processes live as long as the thread that starts them.

    Attributes:
        description: How to reach it, as stack.json has it.
        report: What the clinic loader found.
    """

    description: dict[str, Any]
    report: LoadReport
    database: Database
    host: Host

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = StackClock(options.state.clock_file)
        self._webhook_secret = secrets.token_urlsafe(24)
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start it and return when everything answers.

        Raises:
            StackRunning: Another stack runs on the same state.
            PortTaken: The API's port is in use.
            ClinicRefused: The clinic file is wrong.
            StackFailed: A part of it does not answer; so do ChildFailed, FunctionFailed and PostgresFailed.
        """
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self._exit.aclose()

    async def _start(self) -> None:
        self._exit.enter_context(self.options.state.held())
        api_socket = self._exit.enter_context(self._api_socket())
        self._set_clock()
        moto, intakeq_url = await self._servers()
        template = Template.read(
            self.options.template,
            sqs_url=moto.url,
            parameters={
                **SECRETS,
                "IntakeqBaseUrl": self.options.intakeq_base_url or intakeq_url + INTAKEQ_API,
                "WidgetOrigins": WIDGET_ORIGINS,
            },
        )
        self.host = Host(
            template,
            self.clock,
            moto.url,
            self.options.state.logs,
            environment={"DATABASE_URL": self.database.app_url},
            libraries=self.options.libraries,
            environments={MIGRATION: {"DATABASE_URL": self.database.owner_url}},
            api_socket=api_socket,
        )
        await self._exit.enter_async_context(self.host)
        await asyncio.gather(
            self.host.invoke(MIGRATION), asyncio.to_thread(self._create_aws_resources, template, moto.url)
        )
        self.database.let_functions_in()
        self.report = self.database.load(self.options.clinic)
        (self.options.state.logs / LOAD_REPORT).write_text(f"{self.report}\n")
        await self.host.start_sources()
        await self._check_health(template)
        self.description = self._describe(intakeq_url)
        self.options.state.publish(self.description)

    def _api_socket(self) -> Any:
        try:
            return free_socket(self.options.port)
        except OSError:
            raise PortTaken(
                f"Port {self.options.port} is taken. Choose another: PORT=8001, or PORT=0 for any."
            ) from None

    def _set_clock(self) -> None:
        self.clock.file.unlink(missing_ok=True)
        if self.options.now is not None:
            self.clock.start_at(self.options.now)

    async def _servers(self) -> tuple[Child, str]:
        """Start the servers that the functions talk to; return the AWS services and the EHR simulator's URL, if any."""
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "layers" / "common"),
            "MOONLIT_CLOCK_FILE": str(self.clock.file),
        }
        logs = self.options.state.logs
        moto = asyncio.create_task(self._child(start_moto(environment, logs / "aws.log")))
        intakeq = asyncio.create_task(self._intakeq(environment))
        await asyncio.sleep(0)  # Both are off and import for a second; the database starts meanwhile, blocking us.
        try:
            self._start_database()
        except BaseException:
            # Whoever is stopped half-way through starting is not stopped: let them arrive first.
            await asyncio.gather(moto, intakeq, return_exceptions=True)
            raise
        return await moto, await intakeq

    async def _intakeq(self, environment: dict[str, str]) -> str:
        if self.options.intakeq_base_url:
            return ""
        account = self.options.state.folder / "intakeq-account.json"
        account.write_text(json.dumps(self.options.intakeq_account))
        command = (sys.executable, "-m", "local.simulators.intakeq", "--account", str(account))
        log = self.options.state.logs / "intakeq.log"
        return (await self._child(Child.start(*command, environment=environment, log=log))).url

    async def _child(self, starting: Awaitable[Child]) -> Child:
        child = await starting
        self._exit.push_async_callback(child.stop)
        return child

    def _start_database(self) -> None:
        server = self._exit.enter_context(Server.start())
        self._exit.enter_context(self.options.state.server_folder(server.folder))
        self.database = Database.create(server)

    def _create_aws_resources(self, template: Template, url: str) -> None:
        create_queues(url, template.queues)
        webhooks = [self._webhook_secret]
        intakeq = {"apiKey": self.options.intakeq_account["api_key"], "webhookSecrets": webhooks}
        create_secret(url, SECRETS["IntakeqSecretArn"], intakeq)
        create_secret(url, SECRETS["TokenSecretArn"], {"key": secrets.token_hex(32)})

    async def _check_health(self, template: Template) -> None:
        if not any(route.path == HEALTH for route in template.routes):
            return
        timeout = aiohttp.ClientTimeout(total=_HEALTH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.host.api_url + HEALTH) as answer:
            if not answer.ok:
                raise StackFailed(f"GET {HEALTH} answers {answer.status}: see {self.options.state.logs}")

    def _describe(self, intakeq_url: str) -> dict[str, Any]:
        api_url = self.host.api_url
        return {
            "apiUrl": api_url,
            "lambdaUrl": self.host.lambda_url,
            "databaseUrl": self.database.owner_url,
            "tokens": {},
            "webhooks": {"intakeq": f"{api_url}/webhooks/intakeq/{self._webhook_secret}"},
            "simulators": {"intakeq": intakeq_url} if intakeq_url else {},
        }
