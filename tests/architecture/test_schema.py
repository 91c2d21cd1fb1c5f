"""The database keeps its promises by constraints: what `alembic check` does not see is named here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command

from tests.conftest import function_module


def test_models_and_migrations_agree(engine: sa.Engine) -> None:
    config = function_module("migrate").configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)
