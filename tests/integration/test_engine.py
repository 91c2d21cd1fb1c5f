"""The connection that every function has to the database."""

from __future__ import annotations

import socket

import sqlalchemy as sa


def test_no_part_of_a_long_statement_waits_for_an_acknowledgement(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        wire = connection.connection.driver_connection._usock  # type: ignore[union-attr]
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
