"""Whose turn it is: changes that look at more rows than they write wait for one another, each kind in its own line.

Who needs several takes them in this order. The lines of people's time, which bookings wait in, are in booking/claims.py
and come after these.
"""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

type Line = Literal["catalog", "payers", "provisioning"]


def take_turn(connection: sa.Connection, line: Line) -> None:
    """Wait for everybody else in the line; it is the transaction's until it ends."""
    connection.execute(_TURN, {"line": line})


_TURN = sa.text("select pg_advisory_xact_lock(hashtextextended(:line, 0))")
