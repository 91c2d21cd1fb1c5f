from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.fixtures_functions import functions
from tests.fixtures_intakeq import open_intakeq, start_intakeq
from tests.fixtures_partners import houses

__all__ = ["functions", "houses", "open_intakeq", "start_intakeq"]


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Repeat what fails as often as ever, but at once."""
    with stamina.set_testing(True, attempts=3):
        yield
