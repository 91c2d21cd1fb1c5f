from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.fixtures_athena import AthenaServer, StartAthena, make_athena_account, start_athena
from tests.fixtures_intakeq import IntakeqServer, MovableClock, StartIntakeq, make_account, start_intakeq

__all__ = ["start_athena", "start_intakeq"]

type Serve = Callable[..., tuple[IntakeqServer, httpx.Client]]
type ServeAthena = Callable[..., tuple[AthenaServer, httpx.Client]]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def serve(start_intakeq: StartIntakeq, clock: MovableClock) -> Iterator[Serve]:
    """Start a simulator by the test's clock, its small account changed by keywords, and a client that has its key."""
    with ExitStack() as clients:

        def start(**account: Any) -> tuple[IntakeqServer, httpx.Client]:
            server = start_intakeq(make_account(**account), clock)
            client = httpx.Client(base_url=server.base_url, headers={"X-Auth-Key": server.key}, trust_env=False)
            return server, clients.enter_context(client)

        yield start


@pytest.fixture
def athena(start_athena: StartAthena, clock: MovableClock) -> Iterator[ServeAthena]:
    """Start athenahealth by the test's clock, its small account changed by keywords, and a client that has a token."""
    with ExitStack() as clients:

        def start(**account: Any) -> tuple[AthenaServer, httpx.Client]:
            server = start_athena(make_athena_account(**account), clock)
            headers = {"Authorization": f"Bearer {server.token()}"}
            client = httpx.Client(base_url=server.api_url, headers=headers, trust_env=False)
            return server, clients.enter_context(client)

        yield start
