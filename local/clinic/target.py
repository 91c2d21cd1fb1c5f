"""The database that a command works on, and the clock that goes with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from local.clinic.problems import ClinicRefused, Problem
from local.state import NoStack, State
from moonlit.clock import Clock, SystemClock, system_clock
from moonlit.db.engine import connect, sqlstate, violated_constraint

_SCHEMES = ("postgresql+pg8000", "postgresql", "postgres")


@contextmanager
def transaction() -> Iterator[sa.Connection]:
    """Open one transaction on DATABASE_URL, in one snapshot; it commits when the block ends well.

    Raises:
        ClinicRefused: The URL is missing or is no PostgreSQL URL.
    """
    engine = connect(database_url().render_as_string(hide_password=False))
    try:
        with engine.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
            yield connection
    finally:
        engine.dispose()


def clock() -> Clock:
    """Return the clock of DATABASE_URL: that of the stack which runs on it, else the machine's."""
    if "MOONLIT_CLOCK_FILE" in os.environ:
        return system_clock()
    state = State.of(os.environ)
    try:
        served = make_url(state.description()["databaseUrl"])
    except NoStack:
        return SystemClock()
    return SystemClock(state.clock_file if _place(served) == _place(database_url()) else None)


def unreachable(error: SQLAlchemyError) -> str:
    """Say what failed in the database in codes, since its own words may hold a row's values."""
    if not isinstance(error, DBAPIError):
        return f"the database cannot be used: {type(error).__name__}"
    codes = [code for code in (sqlstate(error), violated_constraint(error)) if code]
    return f"the database refused or cannot be reached: {' '.join(codes) or type(error.orig).__name__}"


def database_url() -> URL:
    """Return DATABASE_URL for our driver, whichever of PostgreSQL's usual schemes it is written with.

    Raises:
        ClinicRefused: It is missing or is no PostgreSQL URL; it is not repeated, for it may hold a password.
    """
    try:
        url = make_url(os.environ["DATABASE_URL"])
    except KeyError:
        raise ClinicRefused([Problem("DATABASE_URL", None, None, "is not set")]) from None
    except (ArgumentError, ValueError):
        raise ClinicRefused([Problem("DATABASE_URL", None, None, "is not a URL")]) from None
    if url.drivername not in _SCHEMES:
        raise ClinicRefused([Problem("DATABASE_URL", None, None, "is not a PostgreSQL URL")])
    return url.set(drivername="postgresql+pg8000")


def _place(url: URL) -> tuple[str | None, int, str | None]:
    return url.host, url.port or 5432, url.database
