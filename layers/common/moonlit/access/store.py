"""The people who may sign in, found by what the sign-in calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.tables import staff_users

type Role = Literal["admin", "biller", "provider", "partner_admin", "case_manager"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, by ids alone: what is not here cannot reach a log.

    Attributes:
        organization_id: Whose patients a partner may see; None for staff.
        provider_id: The provider that a member of staff is, if any.
        closed: Their organization is no longer active, so they may do nothing.
    """

    user_id: UUID
    kind: Literal["staff", "partner"]
    role: Role
    organization_id: UUID | None = None
    provider_id: UUID | None = None
    closed: bool = False


class Users:
    """The people as one transaction sees them."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def known_as(self, sub: str) -> list[Principal]:
        """Return everyone whom this `sub` of the sign-in stands for, staff first: nobody, or one of each kind."""
        rows = self._connection.execute(_KNOWN_AS, {"sub": sub})
        return [Principal(*row) for row in rows]

    def admin_at(self, email: str) -> UUID | None:
        """Return the admin with this address, however it is capitalized; None when there is none."""
        wanted = sa.func.lower(staff_users.c.email) == email.strip().lower()
        query = sa.select(staff_users.c.id).where(wanted, staff_users.c.role == "admin").order_by(staff_users.c.id)
        admin: UUID | None = self._connection.execute(query.limit(1)).scalar_one_or_none()
        return admin


# A function of the database, so that the login of partners can ask it too and see nobody else.
_KNOWN_AS = sa.text("""
    select user_id, kind, role, organization_id, provider_id, closed from known_as(:sub) order by kind desc
""")
