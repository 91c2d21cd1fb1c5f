"""Pages of a list: each row once, whatever comes and goes in between; cursors hold no name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from moonlit.db import tables as t
from moonlit.db.engine import Begin
from moonlit.db.paging import by_instant, by_name

NOON = datetime(2027, 3, 10, 19, tzinfo=UTC)


def add_leads(connection: sa.Connection, count: int) -> list[UUID]:
    """Store leads, two for each minute, and return their ids in the order of a list."""
    rows = [
        {
            "id": uuid4(), "payer_name": "Dune", "email": "x@example.org",
            "created_at": NOON + timedelta(minutes=number // 2), "updated_at": NOON,
        }
        for number in range(count)
    ]  # fmt: skip
    connection.execute(sa.insert(t.leads), rows)
    return [UUID(str(row["id"])) for row in sorted(rows, key=lambda row: (str(row["created_at"]), str(row["id"])))]


@pytest.mark.parametrize("newest_first", [False, True])
def test_every_row_comes_once_by_its_instant(begin: Begin, *, newest_first: bool) -> None:
    with begin() as connection:
        wanted = add_leads(connection, 7)
        seen: list[UUID] = []
        cursor: str | None = None
        for _ in range(4):
            page = by_instant(
                connection, sa.select(t.leads), t.leads.c.created_at, t.leads.c.id,
                limit=2, after=cursor, newest_first=newest_first,
            )  # fmt: skip
            seen += [row["id"] for row in page.rows]
            cursor = page.next_cursor
        assert cursor is None
        assert seen == (wanted[::-1] if newest_first else wanted)


def test_every_row_comes_once_by_its_name_and_the_cursor_holds_none(begin: Begin) -> None:
    with begin() as connection:
        rows = [{"id": uuid4(), "name": name, "type": "private"} for name in ("Oak", "Elm", "Oak", "Ash", "Yew")]
        connection.execute(sa.insert(t.payers), rows)
        seen: list[UUID] = []
        cursor: str | None = None
        for _ in range(3):
            page = by_name(connection, sa.select(t.payers), t.payers.c.name, t.payers.c.id, limit=2, after=cursor)
            seen += [row["id"] for row in page.rows]
            cursor = page.next_cursor
            assert cursor is None or UUID(cursor) == seen[-1]
        assert seen == [row["id"] for row in sorted(rows, key=lambda row: (str(row["name"]), row["id"]))]


@pytest.mark.parametrize("cursor", ["Oak", str(UUID(int=7))])
def test_a_cursor_that_leads_nowhere_is_refused(begin: Begin, cursor: str) -> None:
    with begin() as connection, pytest.raises(RequestValidationError):
        by_name(connection, sa.select(t.payers), t.payers.c.name, t.payers.c.id, limit=2, after=cursor)
