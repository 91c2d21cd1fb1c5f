from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.fixtures_intakeq import open_intakeq, start_intakeq

__all__ = ["open_intakeq", "start_intakeq"]


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Repeat as often as ever, but at once."""
    with stamina.set_testing(True, attempts=3):
        yield
