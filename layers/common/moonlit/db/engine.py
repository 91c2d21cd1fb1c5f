"""The connection to PostgreSQL: one for each process, one short transaction at a time."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from moonlit.errors import MoonlitError

DEADLOCK, SERIALIZATION_FAILURE, LOCK_NOT_AVAILABLE = "40P01", "40001", "55P03"
CONTENDED = (DEADLOCK, SERIALIZATION_FAILURE, LOCK_NOT_AVAILABLE)
FOREIGN_KEY_VIOLATION = "23503"
_STATEMENTS_KEPT = 512
_LOOPBACK = (None, "localhost", "127.0.0.1", "::1")  # None: the URL names a socket of this machine.
_TOLD = ("C", "t", "c", "n")  # Of the fields of PostgreSQL's errors: SQLSTATE, table, column and constraint.

type Begin = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens a transaction: commits when the block ends, rolls back when it raises."""


def connect(url: str, *, tls: bool = False) -> sa.Engine:
    """Return an engine of one connection, opened on first use and checked before each transaction.

    With `tls` the server has to prove who it is; without, pg8000 would go on in plain text where TLS is declined.
    """
    _translate_statements_once()
    engine = sa.create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,  # A frozen Lambda wakes up on a connection that the proxy has closed.
        hide_parameters=True,
        connect_args=_encryption(url, tls=tls),
        json_serializer=lambda value: json.dumps(value, separators=(",", ":")),
    )
    sa.event.listen(engine, "handle_error", _forget_values)
    sa.event.listen(engine, "connect", _send_at_once)
    return engine


def _encryption(url: str, *, tls: bool) -> dict[str, Any]:
    """Return what pg8000 is told of TLS. On this machine itself nobody asks for it: that takes 20 ms to prepare."""
    if tls:
        return {"ssl_context": ssl.create_default_context()}
    return {"ssl_context": False} if sa.make_url(url).host in _LOOPBACK else {}


@cache
def _translate_statements_once() -> None:
    """Let pg8000 translate the placeholders of a statement once: it reads the text letter by letter, at every call."""
    from pg8000 import legacy  # Who does not connect does not need it.

    translate = legacy.convert_paramstyle
    kept = lru_cache(_STATEMENTS_KEPT)(lambda statement: translate("format", statement, ())[0])

    def translated(style: str, statement: str, values: Any) -> tuple[str, Any]:
        return (kept(statement), values) if style == "format" else translate(style, statement, values)

    legacy.convert_paramstyle = translated


def _send_at_once(connection: Any, _: object) -> None:
    """Let no part of a long statement wait for an acknowledgement, which the server delays by up to 40 ms."""
    wire: socket.socket = connection._usock  # noqa: SLF001  # pg8000 has no option for it.
    if wire.family != socket.AF_UNIX:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _forget_values(context: ExceptionContext) -> None:
    """Strip an error of all but codes and names: PostgreSQL quotes rows, and Lambda's runtime prints what it is let."""
    arguments = context.original_exception.args
    if arguments and isinstance(arguments[0], dict):
        told = {name: arguments[0][name] for name in _TOLD if name in arguments[0]}
        context.original_exception.args = (told,)
        if context.sqlalchemy_exception:
            context.sqlalchemy_exception.args = (str(told),)


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
    """Run `work`, a whole transaction; again after a deadlock or serialization failure; then raise `otherwise`.

    A lock that was waited for in vain (the role's `lock_timeout`) is not waited for again. What a row was to refer to
    may have been deleted since it was read, as what an undone run had made: whoever reads anew sees that it is gone,
    and a reference that leads nowhere even then is a mistake, and raised as it is.
    """
    for is_last in (False, True):
        try:
            return work()
        except DBAPIError as error:
            code = sqlstate(error)
            if code == LOCK_NOT_AVAILABLE:
                raise otherwise from None
            if code == FOREIGN_KEY_VIOLATION and not is_last:
                continue
            if code not in (DEADLOCK, SERIALIZATION_FAILURE):
                raise
    raise otherwise
