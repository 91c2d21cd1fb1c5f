"""The connection that every function has to the database."""

from __future__ import annotations

import socket

import sqlalchemy as sa
from pg8000 import legacy


def test_no_part_of_a_long_statement_waits_for_an_acknowledgement(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        wire = connection.connection.driver_connection._usock  # type: ignore[union-attr]
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_statement_is_translated_once_and_takes_its_values_each_time(engine: sa.Engine) -> None:
    statement = sa.text("select :first || '%' || :second")
    with engine.connect() as connection:
        said = [connection.execute(statement, {"first": n, "second": "b"}).scalar_one() for n in ("a", "c")]
    assert said == ["a%b", "c%b"]
    before = legacy.convert_paramstyle("format", "select %s", ("a",))
    assert before == ("select $1", ("a",))
    assert legacy.convert_paramstyle("format", "select %s", ("b",))[0] is before[0]
    assert legacy.convert_paramstyle("named", "select :x", {"x": 1}) == ("select $1", (1,))
