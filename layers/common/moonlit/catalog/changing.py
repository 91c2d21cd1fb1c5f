"""One change of the catalog at a time: its rules look at more rows than the one that is changed."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from moonlit.catalog.errors import CatalogContended
from moonlit.db.engine import Begin, retried_once
from moonlit.db.turns import take_turn


def one_at_a_time[Result](begin: Begin, change: Callable[[sa.Connection], Result]) -> Result:
    """Run `change` in a transaction of its own, after every other one of the catalog and the practice's settings.

    Raises:
        CatalogContended: Another one took longer than the login waits for a lock.
    """

    def alone() -> Result:
        with begin() as connection:
            take_turn(connection, "catalog")
            return change(connection)

    return retried_once(alone, CatalogContended("try it again"))
