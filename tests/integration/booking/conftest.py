from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.fixtures_athena import start_athena
from tests.fixtures_booking import account, office
from tests.fixtures_house import clients, house, schedule, side, vendors
from tests.fixtures_intakeq import open_intakeq, start_intakeq

__all__ = [
    "account",
    "clients",
    "house",
    "office",
    "open_intakeq",
    "schedule",
    "side",
    "start_athena",
    "start_intakeq",
    "vendors",
]


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Repeat what fails as often as ever, but at once."""
    with stamina.set_testing(True, attempts=3):
        yield
