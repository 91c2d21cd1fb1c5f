"""The connection to PostgreSQL: one for each process, one short transaction at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.errors import MoonlitError

DEADLOCK, SERIALIZATION_FAILURE = "40P01", "40001"

type Begin = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens a transaction: commits when the block ends, rolls back when it raises."""


def connect(url: str) -> sa.Engine:
    """Return an engine of one connection, opened on first use and checked before each transaction."""
    return sa.create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,  # A frozen Lambda wakes up on a connection that the proxy has closed.
        hide_parameters=True,
        json_serializer=lambda value: json.dumps(value, separators=(",", ":")),
    )


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open one transaction on `engine`."""
    with engine.begin() as connection:
        yield connection


def beginner(engine: sa.Engine) -> Begin:
    """Return what use cases are handed to open their own short transactions."""
    return lambda: transaction(engine)


def sqlstate(error: DBAPIError) -> str | None:
    """Return the SQLSTATE behind `error`; pg8000 puts it under "C" of its first argument."""
    return _field(error, "C")


def violated_constraint(error: DBAPIError) -> str | None:
    """Return the name of the constraint that refused, whichever class pg8000 raised it as."""
    return _field(error, "n")


def _field(error: DBAPIError, name: str) -> str | None:
    arguments = getattr(error.orig, "args", ())
    fields: Any = arguments[0] if arguments else None
    return fields.get(name) if isinstance(fields, dict) else None


def retried_once[Result](work: Callable[[], Result], otherwise: MoonlitError) -> Result:
    """Run `work`, a whole transaction; again after a deadlock or serialization failure; then raise `otherwise`."""
    for _ in range(2):
        try:
            return work()
        except DBAPIError as error:
            if sqlstate(error) not in (DEADLOCK, SERIALIZATION_FAILURE):
                raise
    raise otherwise
