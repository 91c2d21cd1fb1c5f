"""When the EHR last showed each row, and what it means when it does not show one any more."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

# Ends the hash of a row that the EHR never called deleted but does not show any more. That is our conclusion and not
# its word, so the mirror takes it back when the row shows up again.
MISSING = "#missing"

_SEEN = sa.text("""
    update ehr_appointments set seen_at = :now
    where account_id = :account_id and external_id = any(:external_ids) and not deleted_in_ehr and seen_at < :now
""").bindparams(sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)))

_STANDING = sa.text("""
    select external_id from ehr_appointments
    where account_id = :account_id and external_id = any(:external_ids) and not deleted_in_ehr
        and status in ('scheduled', 'confirmed') and moved_to is null
""").bindparams(sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)))

# A row that stands was shown by a page of this round. One that is gone already was taken off by a webhook meanwhile;
# what the sweep before this round took off has the instant at which the round began.
_DISAPPEARED = sa.text("""
    select exists (
        select from ehr_appointments
        where account_id = :account_id and external_id = any(:external_ids)
            and (seen_at > :since or (seen_at = :since and not deleted_in_ehr)))
""").bindparams(sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)))

# A visit is in the window when it starts there, as for the EHR.
_IN_WINDOW = """account_id = :account_id and span && tstzrange(:first, :last) and lower(span) >= :first
        and status in ('scheduled', 'confirmed') and not deleted_in_ehr"""

_MISSING = sa.text(f"""
    select count(*) filter (where seen_at < :since) as missing, count(*) as known
    from ehr_appointments where {_IN_WINDOW}
""")

_BURY = sa.text(f"""
    update ehr_appointments set deleted_in_ehr = true, content_hash = content_hash || '{MISSING}'
    where {_IN_WINDOW} and seen_at < :since
""")


class Sightings:
    """The rows of one account as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection, account_id: UUID) -> None:
        self._connection = connection
        self._account_id = account_id

    def seen(self, external_ids: Collection[str], now: datetime) -> None:
        """Note that the EHR shows these rows, changed or not."""
        self._execute(_SEEN, external_ids=list(external_ids), now=now)

    def standing(self, external_ids: Collection[str]) -> set[str]:
        """Return which of these are visits that stand, as far as we know."""
        return set(self._execute(_STANDING, external_ids=list(external_ids)).scalars())

    def any_disappeared(self, external_ids: Collection[str], since: datetime) -> bool:
        """Return whether any of these rows, which are deleted now, was still there at `since`, or seen after it."""
        return bool(self._execute(_DISAPPEARED, external_ids=list(external_ids), since=since).scalar_one())

    def missing(self, first: datetime, last: datetime, since: datetime) -> tuple[int, int]:
        """Return how many active rows that start in [first, last) were last seen before `since`, and how many exist."""
        row = self._execute(_MISSING, first=first, last=last, since=since).one()
        return row.missing, row.known

    def bury(self, first: datetime, last: datetime, since: datetime) -> None:
        """Take the rows that `missing` counts for deleted."""
        self._execute(_BURY, first=first, last=last, since=since)

    def _execute(self, statement: sa.TextClause, **values: Any) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, {"account_id": self._account_id, **values})
