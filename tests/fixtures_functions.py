"""Every function in this process, called as Lambda would: the template's environment, secrets, a database, an EHR.

Import the fixtures into a test module: `from tests.fixtures_functions import functions, open_intakeq, start_intakeq`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from aws_lambda_powertools.utilities import parameters
from sqlalchemy.engine import make_url

from local.host.template import Template
from moonlit import settings, wiring
from moonlit.db import tables as t
from moonlit.db.engine import Begin, connect
from moonlit.ehr import athena, intakeq
from moonlit.events import Event, EventBus
from moonlit.partners import wiring as partners
from moonlit.queues import SqsQueue
from moonlit.sync import wiring as sync
from tests.conftest import ROOT, function_module
from tests.fixtures_athena import CLIENT_ID, CLIENT_SECRET, PRACTICE, AthenaServer
from tests.fixtures_booking import load_practice, make_clinic
from tests.fixtures_intakeq import KEY, IntakeqServer, MovableClock, StartIntakeq, make_account
from tests.fixtures_sync import MemoryQueue

WEBHOOK_SECRET = "the-secret-of-the-path"  # As in functions/webhook/events.
SIGNING_SECRET = "made-up-secret-of-webhooks"  # What the signature there is made with.
TOKEN_KEY = "0123456789abcdef0123456789abcdef"
QUEUES = ("EventQueue", "PullQueue", "SyncQueue")
_CACHED = (
    wiring.clock,
    wiring.begin,
    wiring.practice_zone,
    wiring.ehr_of,
    wiring.publisher,
    partners.begin,
    partners.zone,
    partners.dashboard,
    sync.queue,
    sync.nightly,
    sync.organizations,
    sync.applier,
    sync.queues,
)


class Context:
    """What Lambda tells a handler about its invocation."""

    function_name = "function"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:us-west-2:123456789012:function:function"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@cache
def loaded(name: str) -> ModuleType:
    """Import a function once: nothing of a test stays in its module."""
    return function_module(name)


def sample(name: str) -> dict[str, Any]:
    """Return a sample event, such as `book/appointment`."""
    function, event = name.split("/")
    return dict(json.loads((ROOT / "functions" / function / "events" / f"{event}.json").read_text()))


def records(messages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the event that SQS makes of messages."""
    return {
        "Records": [
            {"messageId": str(number), "body": json.dumps(message), "eventSource": "aws:sqs"}
            for number, message in enumerate(messages)
        ]
    }


@dataclass
class Functions:
    """The functions of template.yaml with the practice of tests/fixtures_booking.py behind them, at NOON."""

    template: Template
    begin: Begin
    clock: MovableClock
    intakeq: IntakeqServer
    parameters: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    queues: dict[str, MemoryQueue] = field(default_factory=lambda: {name: MemoryQueue() for name in QUEUES})

    def call(self, name: str, event: Mapping[str, Any]) -> Any:
        """Call a function in a fresh process, as far as this one can be: with its own environment and nothing kept."""
        function = self.template.function(name)
        assert function
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in function.environment.items():
                patch.setenv(variable, value)
            forget()
            return loaded(name).handler(dict(event), Context())

    def connect_athena(self, server: AthenaServer) -> UUID:
        """Give the practice an account at athenahealth, which this server plays, and return its id."""
        self.template = read_template(self.parameters | {"AthenaBaseUrl": server.base_url})
        account_id = uuid4()
        with self.begin() as connection:
            values = {"id": account_id, "system": "athena", "per_minute": 300}
            connection.execute(sa.insert(t.ehr_accounts).values(**values))
        return account_id

    def take(self, queue: str) -> dict[str, Any]:
        """Return the queue's messages as the event that SQS makes of them."""
        return records(self.queues[queue].take())

    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        with self.begin() as connection:
            return [dict(row) for row in connection.execute(sa.text(statement), values).mappings()]

    def execute(self, statement: str, **values: Any) -> None:
        with self.begin() as connection:
            connection.execute(sa.text(statement), values)


def read_template(parameters: Mapping[str, str]) -> Template:
    """Return the template with queues that nobody serves."""
    return Template.read(ROOT / "template.yaml", sqs_url="https://sqs.example.org", parameters=dict(parameters))


def forget() -> None:
    """Empty what a process keeps between invocations."""
    for part in _CACHED:
        part.cache_clear()


def partner_login(database_url: str) -> str:
    """Let the login of partners sign in, and return its URL of the same database."""
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("alter role moonlit_partner login password 'for-tests-only'")
    engine.dispose()
    login = make_url(database_url).set(username="moonlit_partner", password="for-tests-only")
    return login.render_as_string(hide_password=False)


def stored_login(url: str) -> dict[str, Any]:
    """Return a login as its secret holds it."""
    parts = make_url(url)
    return {
        "username": parts.username,
        "password": parts.password or "",
        "host": parts.host,
        "port": parts.port,
        "dbname": parts.database,
    }


@pytest.fixture
def functions(
    database_url: str,
    app_url: str,
    begin: Begin,
    start_intakeq: StartIntakeq,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Functions]:
    """Wire the functions to the test's database under their own login, to a simulator, to queues and a bus in memory."""
    load_practice(begin, make_clinic())
    clock = MovableClock()
    server = start_intakeq(make_account(), clock)
    secrets = {
        "database": stored_login(app_url),
        "partner": stored_login(partner_login(database_url)),
        "migration": stored_login(database_url),
        "intakeq": {"apiKey": KEY, "webhookSecrets": [WEBHOOK_SECRET]},
        "athena": {
            "clientId": CLIENT_ID,
            "clientSecret": CLIENT_SECRET,
            "practiceId": PRACTICE,
            "webhookSecrets": [SIGNING_SECRET],
        },
        "token": {"key": TOKEN_KEY},
    }
    given = {
        "DatabaseSecretArn": "database",
        "PartnerDatabaseSecretArn": "partner",
        "MigrationSecretArn": "migration",
        "IntakeqSecretArn": "intakeq",
        "AthenaSecretArn": "athena",
        "TokenSecretArn": "token",
        "IntakeqBaseUrl": server.base_url,
    }
    wired = Functions(read_template(given), begin, clock, server, given)

    def send(queue: SqsQueue, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
        wired.queues[queue.url.rsplit("/", 1)[-1]].send(messages, delay_seconds)

    with ExitStack() as opened:
        monkeypatch.delenv("DATABASE_URL", raising=False)
        monkeypatch.setattr(parameters, "get_secret", lambda name, **_: secrets[name])
        monkeypatch.setattr(SqsQueue, "send", send)
        monkeypatch.setattr(EventBus, "publish", lambda _, events: wired.events.extend(events))
        monkeypatch.setattr(wiring, "system_clock", lambda: clock)
        _close_in_the_end(opened, monkeypatch)
        yield wired
        forget()


def _close_in_the_end(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every connection that a function opens closed with the test: a real process just ends."""
    for vendor in (intakeq, athena):
        real_open = vendor.open_account

        def open_account(*arguments: Any, real_open: Any = real_open, **options: Any) -> Any:
            return opened.enter_context(closing(real_open(*arguments, **options)))

        monkeypatch.setattr(vendor, "open_account", open_account)

    def open_engine(url: str, *, tls: bool) -> sa.Engine:
        assert tls == ("DATABASE_URL" not in os.environ)  # The test's own server speaks plain text.
        engine = connect(url)
        opened.callback(engine.dispose)
        return engine

    monkeypatch.setattr(wiring, "connect", open_engine)
    monkeypatch.setattr(partners, "connect", open_engine)
    monkeypatch.setattr(settings, "database_tls", lambda: False)  # For migrate, which opens its own connection.
