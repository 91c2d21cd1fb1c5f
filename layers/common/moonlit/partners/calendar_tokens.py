"""The tokens by which calendar programs fetch a partner's feed: one for each person, kept as a hash, revocable."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.db.tables import calendar_tokens

_BYTES = 32

# A function of the database: whose token it is has to be known before it is known whose patients may be seen.
_OWNER = sa.text("select user_id, organization_id from calendar_of(:hash)")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose token it is: somebody who may still sign in, of an organization that is open."""

    user_id: UUID
    organization_id: UUID


class CalendarTokens:
    """The tokens as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def issue(self, owner: Owner, now: datetime) -> str:
        """Return a new token for `owner`; the one they had opens nothing any more."""
        token = secrets.token_urlsafe(_BYTES)
        values = {"organization_id": owner.organization_id, "token_hash": _hash(token), "created_at": now}
        issued = insert(calendar_tokens).values(user_id=owner.user_id, **values)
        self._connection.execute(issued.on_conflict_do_update(index_elements=["user_id"], set_=values))
        return token

    def revoke(self, owner: Owner) -> bool:
        """Let the owner's token open nothing any more; return whether there was one."""
        gone = sa.delete(calendar_tokens).where(
            calendar_tokens.c.user_id == owner.user_id, calendar_tokens.c.organization_id == owner.organization_id
        )
        return self._connection.execute(gone).rowcount > 0

    def owner(self, token: str) -> Owner | None:
        """Return whose token it is, None when it is nobody's."""
        row = self._connection.execute(_OWNER, {"hash": _hash(token)}).one_or_none()
        return None if row is None else Owner(*row)


def _hash(token: str) -> str:
    # A token is as long and random as a key, so a plain hash cannot be guessed back.
    return hashlib.sha256(token.encode()).hexdigest()
