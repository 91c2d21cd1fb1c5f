from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import stamina

from tests.fixtures_athena import StartAthena, start_athena
from tests.fixtures_intakeq import (
    NOON,
    MovableClock,
    StartIntakeq,
    make_account,
    make_visit,
    open_intakeq,
    start_intakeq,
)
from tests.integration.ehr.sites import AthenaSite, IntakeqSite, Site, athena_account

__all__ = ["open_intakeq", "start_athena", "start_intakeq"]


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Repeat as often as ever, but at once."""
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture(params=["intakeq", "athena"])
def site(request: pytest.FixtureRequest, start_intakeq: StartIntakeq, start_athena: StartAthena) -> Iterator[Site]:
    """Yield a small practice, once at each vendor."""
    clock = MovableClock()
    with ExitStack() as opened:
        if request.param == "intakeq":
            yield IntakeqSite(start_intakeq(make_account(appointments=[make_visit(1, NOON)]), clock), clock, opened)
        else:
            yield AthenaSite(start_athena(athena_account(), clock), clock, opened)


@pytest.fixture
def athena_site(start_athena: StartAthena) -> Iterator[AthenaSite]:
    """Yield a small practice at athenahealth."""
    clock = MovableClock()
    with ExitStack() as opened:
        yield AthenaSite(start_athena(athena_account(), clock), clock, opened)


type ServeAthena = Callable[..., AthenaSite]


@pytest.fixture
def serve_athena(start_athena: StartAthena) -> Iterator[ServeAthena]:
    """Return what starts the small practice at athenahealth with other rows."""
    clock = MovableClock()
    with ExitStack() as opened:
        yield lambda **fields: AthenaSite(start_athena(athena_account(**fields), clock), clock, opened)
