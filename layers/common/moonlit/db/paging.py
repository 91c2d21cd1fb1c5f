"""Lists a page at a time: where the next page begins is told by the last row, so that other rows may come and go.

A row that is the last of a page and is renamed or removed before the next one is asked for leads astray: `by_name` goes
on from its new name, and refuses the cursor when it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.web import cursors


@dataclass(frozen=True, slots=True)
class Paged:
    """The rows of one page, and the cursor of the next one, None after the last."""

    rows: Sequence[sa.RowMapping]
    next_cursor: str | None


def by_instant(
    connection: sa.Connection,
    query: sa.Select[Any],
    at: sa.Column[Any],
    key: sa.Column[Any],
    *,
    limit: int,
    after: str | None,
    newest_first: bool = False,
) -> Paged:
    """Return a page of `query` ordered by the instant `at`, then by `key`; both columns are among those selected.

    Raises:
        RequestValidationError: `after` is no cursor of such a list.
    """
    place = sa.tuple_(at, key)
    if after:
        last_seen = sa.tuple_(*cursors.read(after))
        query = query.where(place < last_seen if newest_first else place > last_seen)
    order = (at.desc(), key.desc()) if newest_first else (at, key)
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).mappings().all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Paged(rows[:limit], cursors.written((last[at.name], last[key.name])) if last else None)


def by_name(
    connection: sa.Connection,
    query: sa.Select[Any],
    name: sa.Column[Any],
    key: sa.Column[Any],
    *,
    limit: int,
    after: str | None,
) -> Paged:
    """Return a page of `query` ordered by `name`, then by `key`; `key` is among the columns selected.

    The cursor is the id alone: cursors travel in URLs, where no name may stand.

    Raises:
        RequestValidationError: `after` is no cursor of such a list, or its row is gone.
    """
    if after:
        row_id = _id(after)
        last_seen = connection.execute(sa.select(name, key).where(key == row_id)).one_or_none()
        if last_seen is None:
            raise cursors.refused()
        query = query.where(sa.tuple_(name, key) > sa.tuple_(*last_seen))
    rows = connection.execute(query.order_by(name, key).limit(limit + 1)).mappings().all()
    return Paged(rows[:limit], str(rows[limit - 1][key.name]) if len(rows) > limit else None)


def _id(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise cursors.refused() from None
