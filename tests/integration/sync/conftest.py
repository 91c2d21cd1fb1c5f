from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.fixtures_athena import start_athena
from tests.fixtures_athena_sync import athena, open_athena, start_athena_night
from tests.fixtures_intakeq import open_intakeq, start_intakeq
from tests.fixtures_sync import practice, start_night

__all__ = [
    "athena",
    "open_athena",
    "open_intakeq",
    "practice",
    "start_athena",
    "start_athena_night",
    "start_intakeq",
    "start_night",
]


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Repeat what fails as often as ever, but at once."""
    with stamina.set_testing(True, attempts=3):
        yield
