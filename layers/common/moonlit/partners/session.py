"""The transactions of partners: the database itself shows them their own patients alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.engine import Begin

# For this transaction only: the connection may serve another organization next.
_SEES = sa.text("""
    select set_config('app.organization_id', :organization_id, true), set_config('app.today', :today, true)
""")


@contextmanager
def seen_by(begin: Begin, organization_id: UUID, today: date) -> Iterator[sa.Connection]:
    """Open a transaction that sees an organization's patients, and visits whose consent is valid on the day `today`.

    `begin` has to open it under the login of partners: the policies are about nobody else.
    """
    with begin() as connection:
        connection.execute(_SEES, {"organization_id": str(organization_id), "today": today.isoformat()})
        yield connection
