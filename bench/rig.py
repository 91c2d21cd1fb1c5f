"""What the functions stand on while they are measured: PostgreSQL, AWS's services, simulators of the EHR."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from bench.history import add_history, add_patients, tidy
from bench.instance import Instance, handle
from bench.practice import API_KEY, NOW, PROVIDERS, WEBHOOK_SECRET, clinic
from local.aws import create_queues, create_secret, start_moto
from local.clock import StackClock
from local.database import APP_ROLE, PARTNER_ROLE, Database
from local.host.sandbox import Libraries, worker_environment
from local.host.template import Template
from local.postgres import Server
from local.processes import ROOT, Child
from local.stack import INTAKEQ_API, SECRETS

PATIENTS = 5_000
_CALENDAR_IS_READ = "update ehr_accounts set window_first = '2026-12-01', window_last = '2027-05-30'"
_PASSWORD = uuid4().hex


class Rig:
    """Everything that outlives one measurement. Enter it in the main thread, which its processes end with."""

    def __init__(self) -> None:
        self._exit = ExitStack()
        self._practices: dict[tuple[int, int, int], Database] = {}

    def __enter__(self) -> Self:
        """Start it."""
        with ExitStack() as starting:
            self._folder = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="moonlit-bench-")))
            self.clock = StackClock(self._folder / "clock")
            self.clock.start_at(NOW)
            self._runner = starting.enter_context(asyncio.Runner())
            self._server = starting.enter_context(Server.start())
            self.aws_url = starting.enter_context(self._child(start_moto(self._environment(), self._log("aws")))).url
            self.template = self._template("")
            create_queues(self.aws_url, self.template.queues)
            intakeq = {"apiKey": API_KEY, "webhookSecrets": [WEBHOOK_SECRET]}
            create_secret(self.aws_url, SECRETS["IntakeqSecretArn"], intakeq)
            create_secret(self.aws_url, SECRETS["TokenSecretArn"], {"key": uuid4().hex * 2})
            self._migrate()
            self._exit = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._exit.close()

    def practice(self, stored: int = 0, patients: int = PATIENTS, providers: int = PROVIDERS) -> Database:
        """Return the database of the practice with so many visits, patients and providers, for reading only."""
        size = (stored, patients, providers)
        if size not in self._practices:
            self._practices[size] = self._made(*size)
        return self._practices[size]

    def copy(self, database: Database) -> Database:
        """Return a new database with the content of one that nobody is connected to."""
        name = f"bench_{uuid4().hex}"
        source = make_url(database.owner_url).database
        self._as_owner(f"create database {name} template {source} strategy file_copy")
        return self._database(name)

    @contextmanager
    def owner(self, database: Database) -> Iterator[sa.Engine]:
        """Yield an engine of the tables' owner."""
        engine = sa.create_engine(database.owner_url)
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def simulator(self, account: Mapping[str, Any]) -> Iterator[str]:
        """Serve an account of the EHR from a process of its own; yield the address of its API."""
        file = self._folder / f"{uuid4().hex}.json"
        file.write_text(json.dumps(account))
        command = (sys.executable, "-m", "local.simulators.intakeq", "--account", str(file))
        starting = Child.start(*command, environment=self._environment(), log=self._log("intakeq"))
        with self._child(starting) as child:
            yield child.url + INTAKEQ_API

    def function(self, folder: str, database: Database, intakeq_url: str = "") -> Instance:
        """Start an instance of functions/`folder`."""
        environment = self.environment(folder, database, intakeq_url)
        return Instance(environment, ROOT / "functions" / folder, self._log(folder))

    def environment(self, folder: str, database: Database, intakeq_url: str = "") -> dict[str, str]:
        """Return what the function has in its environment."""
        function = self._template(intakeq_url).function(folder)
        if function is None:
            raise LookupError(f"the template has no function {folder}")
        return worker_environment(
            function,
            runtime_api="",
            libraries=Libraries(),
            overrides={
                "AWS_ENDPOINT_URL": self.aws_url,
                "DATABASE_URL": database.owner_url if folder == "migrate" else database.app_url,
                "MOONLIT_CLOCK_FILE": str(self.clock.file),
            },
        )

    def _template(self, intakeq_url: str) -> Template:
        parameters = {**SECRETS, "IntakeqBaseUrl": intakeq_url}
        return Template.read(ROOT / "template.yaml", sqs_url=self.aws_url, parameters=parameters)

    def _made(self, stored: int, patients: int, providers: int) -> Database:
        made = self.copy(self._migrated)
        made.load(clinic(providers))
        with self.owner(made) as engine, engine.begin() as connection:
            connection.exec_driver_sql(_CALENDAR_IS_READ)
            add_patients(connection, patients)
            if stored:
                add_history(connection, stored)
        tidy(made.owner_url)
        return made

    def _migrate(self) -> None:
        self._as_owner("create database migrated")
        self._migrated = self._database("migrated")
        with self.function("migrate", self._migrated) as migrate:
            migrate.call(handle, {})
        for role in (APP_ROLE, PARTNER_ROLE):
            self._as_owner(f"alter role {role} login password '{_PASSWORD}'")

    def _database(self, name: str) -> Database:
        owner = make_url(self._server.url(name))
        logins = (owner, *(owner.set(username=role, password=_PASSWORD) for role in (APP_ROLE, PARTNER_ROLE)))
        return Database(*(login.render_as_string(hide_password=False) for login in logins))

    def _as_owner(self, statement: str) -> None:
        engine = sa.create_engine(self._server.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    @contextmanager
    def _child(self, starting: Any) -> Iterator[Child]:
        child = self._runner.run(starting)
        try:
            yield child
        finally:
            self._runner.run(child.stop())

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": str(ROOT / "layers" / "common"),
            "MOONLIT_CLOCK_FILE": str(self.clock.file),
        }

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
