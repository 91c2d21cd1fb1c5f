"""The whole bundle on one machine: database, AWS services, EHR simulators and the Lambda host, as one thing."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from local.aws import create_queues, create_rules, create_secret, start_moto
from local.clinic import LoadReport
from local.clock import StackClock
from local.database import Database
from local.host.host import Host, free_socket
from local.host.template import Template
from local.identities import Identities
from local.options import Options
from local.postgres import Server
from local.processes import ROOT, Child

MIGRATION, DASHBOARD = "MigrateFunction", "DashboardFunction"
INTAKEQ_API = "/api/v1"
WIDGET_ORIGINS = "http://localhost:3000"
SECRETS = {  # By the template's parameters.
    "IntakeqSecretArn": "moonlit/intakeq",
    "AthenaSecretArn": "moonlit/athena",
    "TokenSecretArn": "moonlit/token",
}
HEALTH = "/health"
LOAD_REPORT = "clinic.log"
_HEALTH_SECONDS = 30
_RENEWAL_SECONDS = 1800.0  # Half of what an access token lives.


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
    identities: Identities

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = StackClock(options.state.clock_file)
        self._webhook_secret = secrets.token_urlsafe(24)
        self._athena_webhook_secret = secrets.token_urlsafe(24)
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
        moto, simulators = await self._servers()
        template = Template.read(
            self.options.template,
            sqs_url=moto.url,
            parameters={
                **SECRETS,
                "IntakeqBaseUrl": self.options.intakeq_base_url or simulators["intakeq"] + INTAKEQ_API,
                "AthenaBaseUrl": self.options.athena_base_url or simulators["athena"],
                "WidgetOrigins": WIDGET_ORIGINS,
                "TokenIssuer": self.identities.issuer,
                "TokenAudience": self.identities.client_id,
            },
        )
        self.host = Host(
            template,
            self.clock,
            moto.url,
            self.options.state.logs,
            environment={"DATABASE_URL": self.database.app_url},
            libraries=self.options.libraries,
            environments={
                MIGRATION: {"DATABASE_URL": self.database.owner_url},
                DASHBOARD: {"PARTNER_DATABASE_URL": self.database.partner_url},
            },
            api_socket=api_socket,
        )
        await self._exit.enter_async_context(self.host)
        await asyncio.gather(
            self.host.invoke(MIGRATION), asyncio.to_thread(self._create_aws_resources, template, moto.url)
        )
        self.database.let_functions_in()
        self.report = self.database.load(self.options.clinic)
        (self.options.state.logs / LOAD_REPORT).write_text(f"{self.report}\n")
        await asyncio.to_thread(self.identities.enrol, self.database.owner_url)
        await self.host.start_sources()
        await self._check_health(template)
        self.description = self._describe(simulators)
        await self._publish_tokens()
        self._exit.callback(asyncio.create_task(self._renew_tokens()).cancel)

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

    async def _servers(self) -> tuple[Child, dict[str, str]]:
        """Start the servers that the functions talk to; return the AWS services and the simulators' URLs by vendor."""
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "layers" / "common"),
            "MOONLIT_CLOCK_FILE": str(self.clock.file),
        }
        logs = self.options.state.logs
        moto = asyncio.create_task(self._aws(environment, logs / "aws.log"))
        simulators = asyncio.create_task(self._simulators(environment))
        await asyncio.sleep(0)  # They are off and import for a second; the database starts meanwhile, blocking us.
        try:
            self._start_database()
        except BaseException:
            # Whoever is stopped half-way through starting is not stopped: let them arrive first.
            await asyncio.gather(moto, simulators, return_exceptions=True)
            raise
        return await moto, await simulators

    async def _aws(self, environment: dict[str, str], log: Path) -> Child:
        moto = await self._child(start_moto(environment, log))
        self.identities = await asyncio.to_thread(Identities.create, moto.url)
        return moto

    async def _simulators(self, environment: dict[str, str]) -> dict[str, str]:
        """Start the simulator of every vendor whose place no other server takes."""
        options = self.options
        accounts = {
            **({} if options.intakeq_base_url else {"intakeq": options.intakeq_account}),
            **({} if options.athena_base_url else {"athena": options.athena_account}),
        }
        starting = [self._simulator(vendor, account, environment) for vendor, account in accounts.items()]
        started = await asyncio.gather(*starting, return_exceptions=True)  # All arrive, so that all are stopped.
        for failed in (each for each in started if isinstance(each, BaseException)):
            raise failed
        return {vendor: str(url) for vendor, url in zip(accounts, started, strict=True)}

    async def _simulator(self, vendor: str, account: Mapping[str, Any], environment: dict[str, str]) -> str:
        file = self.options.state.folder / f"{vendor}-account.json"
        file.write_text(json.dumps(account))
        command = (sys.executable, "-m", f"local.simulators.{vendor}", "--account", str(file))
        log = self.options.state.logs / f"{vendor}.log"
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
        create_rules(url, template.rules)
        account = self.options.intakeq_account
        intakeq = {"apiKey": account["api_key"], "webhookSecrets": [self._webhook_secret]}
        practice = {"practiceId": str(account["practice_id"])} if account.get("practice_id") else {}
        create_secret(url, SECRETS["IntakeqSecretArn"], intakeq | practice)
        athena = self.options.athena_account
        names = {"clientId": "client_id", "clientSecret": "client_secret", "practiceId": "practice_id"}
        login = {key: str(athena[name]) for key, name in names.items()}
        signing = {"webhookSecrets": [self._athena_webhook_secret]}
        create_secret(url, SECRETS["AthenaSecretArn"], login | signing)
        create_secret(url, SECRETS["TokenSecretArn"], {"key": secrets.token_hex(32)})

    async def _publish_tokens(self) -> None:
        self.description["tokens"] = await asyncio.to_thread(self.identities.tokens)
        self.options.state.publish(self.description)

    async def _renew_tokens(self) -> None:
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            await self._publish_tokens()

    async def _check_health(self, template: Template) -> None:
        if not any(route.path == HEALTH for route in template.routes):
            return
        timeout = aiohttp.ClientTimeout(total=_HEALTH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.host.api_url + HEALTH) as answer:
            if not answer.ok:
                raise StackFailed(f"GET {HEALTH} answers {answer.status}: see {self.options.state.logs}")

    def _describe(self, simulators: dict[str, str]) -> dict[str, Any]:
        api_url = self.host.api_url
        return {
            "apiUrl": api_url,
            "lambdaUrl": self.host.lambda_url,
            "awsUrl": self.host.aws_url,  # SQS, EventBridge and the other services, for whoever wants to look.
            "databaseUrl": self.database.owner_url,
            "tokens": {},  # Filled in, and renewed, when it is published.
            "webhooks": {
                "intakeq": f"{api_url}/webhooks/intakeq/{self._webhook_secret}",
                "athena": f"{api_url}/webhooks/athena",
            },
            # IntakeQ's is in its URL; this one signs bodies (X-Hub-Signature), for whoever sends some by hand.
            "webhookSecrets": {"athena": self._athena_webhook_secret},
            "simulators": simulators,
        }
