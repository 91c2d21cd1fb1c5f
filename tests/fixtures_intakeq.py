"""A live IntakeQ simulator for any test: `start_intakeq()` serves an account, `open_intakeq(server)` is its adapter.

Import the fixtures into a conftest: `from tests.fixtures_intakeq import open_intakeq, start_intakeq`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from local.simulators.intakeq import make_app
from local.simulators.intakeq.wire import times, to_ms
from moonlit.clock import Clock
from moonlit.ehr.intakeq import Intakeq, open_account
from moonlit.ehr.port import Budget, Lane
from tests.simulator_server import SimulatorServer

KEY = "0123456789abcdef0123456789abcdef01234567"
DENVER = ZoneInfo("America/Denver")
NOON = datetime(2027, 3, 10, 19, 0, tzinfo=UTC)  # 12:00 in Denver, still on standard time.
PRACTITIONER, OTHER_PRACTITIONER = "6651f0a9c3d2e4b5a6978810", "6651f0a9c3d2e4b5a6978811"
SERVICE, SHORT_SERVICE = "5b0f6c1e-2f6d-4a55-9d0a-0c1b7c9e2a10", "5b0f6c1e-2f6d-4a55-9d0a-0c1b7c9e2a11"
CLIENT = 4821


@dataclass
class MovableClock:
    """A clock that stands still until it is moved; safe to move while a simulator's thread reads it."""

    instant: datetime = NOON

    def now(self) -> datetime:
        return self.instant

    def advance(self, **amount: float) -> None:
        self.instant += timedelta(**amount)


@dataclass
class OpenBudget:
    """A budget without limits that remembers what was asked of it."""

    taken: list[Lane] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def take(self, lane: Lane) -> None:
        self.taken.append(lane)

    def back_off(self, seconds: float) -> None:
        self.pauses.append(seconds)


def make_client(client_id: Any = CLIENT, **fields: Any) -> dict[str, Any]:
    """Return a client as an account file has them."""
    return {
        "ClientId": client_id,
        "Name": f"{fields.get('FirstName', 'Dana')} {fields.get('LastName', 'Whitlock')}",
        "FirstName": "Dana",
        "LastName": "Whitlock",
        "Email": "dana.whitlock@example.org",
        "Phone": "(801) 555-0142",
        "DateOfBirth": "1988-05-23",
    } | fields


def make_visit(number: int, starts_at: datetime, minutes: int = 60, **fields: Any) -> dict[str, Any]:
    """Return a visit as an account file has it: a full list row whose id is made from `number`."""
    return {
        "Id": f"{number:024x}",
        "ClientId": CLIENT,
        "ClientName": "Dana Whitlock",
        "ClientEmail": "dana.whitlock@example.org",
        "ClientPhone": "(801) 555-0142",
        "ClientDateOfBirth": "1988-05-23",
        "Status": "Confirmed",
        **times(to_ms(starts_at), minutes, DENVER),
        "ServiceName": "New Patient Visit",
        "ServiceId": SERVICE,
        "LocationName": "Telehealth (UT)",
        "LocationId": "4",
        "Price": 300,
        "PractitionerName": "Ines Okafor",
        "PractitionerEmail": "ines.okafor@example.org",
        "PractitionerId": PRACTITIONER,
        "IntakeId": None,
        "DateCreated": to_ms(NOON - timedelta(days=30)),
        "CreatedBy": "Front Desk",
        "BookedByClient": False,
        "InvoiceId": None,
        "InvoiceNumber": None,
        "ClientNote": None,
        "PractitionerNote": None,
        "TelehealthInfo": None,
        "AttendanceConfirmationResponse": "None",
        "ReminderType": "Email",
        "CustomFields": [],
        "SessionStart": None,
        "SessionEnd": None,
        "ExternalClientId": None,
        "ExternalPractitionerId": None,
        "ExternalServiceId": None,
        "LastModified": to_ms(NOON - timedelta(days=30)),
        "AdditionalClients": [],
        "PlaceOfService": "10",
        "FullCancellationReason": "",
        "CancellationReasonNote": None,
        "CancellationDate": "",
    } | fields


def make_account(**fields: Any) -> dict[str, Any]:
    """Return a small valid account file: two practitioners, two services, two places, one client, no visits."""
    return {
        "practice_id": "63f0c0ffee0c0ffee0c0ffee",
        "api_key": KEY,
        "limits": {"per_minute": 1000, "per_day": None},
        "fresh_client_seconds": 0,
        "settings": {
            "Locations": [
                {"Id": "4", "Name": "Telehealth (UT)", "Address": None},
                {"Id": "7", "Name": "Main Street Clinic", "Address": "12 Main St"},
            ],
            "Services": [
                {"Id": SERVICE, "Name": "New Patient Visit", "Duration": 60, "Price": 300.0},
                {"Id": SHORT_SERVICE, "Name": "Follow-up Short", "Duration": 30, "Price": 150.0},
            ],
            "Practitioners": [
                _practitioner(PRACTITIONER, "Ines", "Okafor"),
                _practitioner(OTHER_PRACTITIONER, "Emil", "Varga"),
            ],
        },
        "clients": [make_client()],
        "appointments": [],
        "deleted": [],
        "changes": [],
    } | fields


def _practitioner(practitioner_id: str, first: str, last: str) -> dict[str, Any]:
    email = f"{first}.{last}@example.org".lower()
    name = {"CompleteName": f"{first} {last}", "FirstName": first, "LastName": last}
    return {"Id": practitioner_id, **name, "Email": email}


@dataclass(frozen=True)
class IntakeqServer(SimulatorServer):
    """A running simulator. `base_url` is what INTAKEQ_BASE_URL would be."""

    key: str = KEY
    base_url: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", f"{self.url}/api/v1")

    def staff(self, action: str, **rest: Any) -> dict[str, Any]:
        """Change the calendar as staff would: create, update, cancel, delete."""
        return dict(self.control("POST", "visits", {"action": action, **rest}))


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """Serve an application from a thread of its own on a free port; yield its URL."""
    port: Future[int] = Future()
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.set_result(runner.addresses[0][1])
        await stop.wait()
        await runner.cleanup()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except Exception as error:
            if port.done():
                raise
            port.set_exception(error)
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="simulator")
    thread.start()
    try:
        yield f"http://127.0.0.1:{port.result(10)}"
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@contextmanager
def intakeq_server(account: dict[str, Any], clock: Clock) -> Iterator[IntakeqServer]:
    """Serve an account by a clock."""
    with serving(make_app(account, clock)) as url:
        yield IntakeqServer(url, clock, account["api_key"])


class OpenIntakeq(Protocol):
    """Opens the adapter on a simulator, with an open budget unless told otherwise; closed with the test."""

    def __call__(self, server: IntakeqServer, budget: Budget | None = None, **options: Any) -> Intakeq: ...


class StartIntakeq(Protocol):
    """Starts simulators that stop with the test; a small account and a clock at `NOON` unless told otherwise."""

    def __call__(self, account: dict[str, Any] | None = None, clock: Clock | None = None) -> IntakeqServer: ...


@pytest.fixture
def start_intakeq() -> Iterator[StartIntakeq]:
    with ExitStack() as servers:

        def start(account: dict[str, Any] | None = None, clock: Clock | None = None) -> IntakeqServer:
            return servers.enter_context(intakeq_server(account or make_account(), clock or MovableClock()))

        yield start


@pytest.fixture
def open_intakeq() -> Iterator[OpenIntakeq]:
    with ExitStack() as accounts:

        def opened(server: IntakeqServer, budget: Budget | None = None, **options: Any) -> Intakeq:
            options = dict[str, Any](key=server.key, zone=DENVER) | options
            return accounts.enter_context(
                closing(open_account(server.base_url, budget=budget or OpenBudget(), **options))
            )

        yield opened
