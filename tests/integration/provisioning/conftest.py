from __future__ import annotations

import pytest
import sqlalchemy as sa

from local import demo_data
from local.clinic import load
from local.demo_data.ids import AS_OF
from moonlit.clock import FixedClock
from moonlit.db.engine import Begin
from tests.integration.provisioning.clinics import Found


@pytest.fixture
def found(engine: sa.Engine, begin: Begin) -> Found:
    """Return the demo practice as it was found."""
    with engine.begin() as connection:
        load(connection, demo_data.clinic())
    return Found(begin, FixedClock(AS_OF))
