"""The people who may sign in, found by what the sign-in calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.tables import organizations, partner_users, staff_users

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
        nothing = sa.cast(sa.null(), sa.Uuid)
        staff = sa.select(
            staff_users.c.id,
            sa.literal("staff").label("kind"),
            staff_users.c.role,
            nothing,
            staff_users.c.provider_id,
            sa.false(),
        ).where(staff_users.c.identity_sub == sub)
        partner = (
            sa.select(
                partner_users.c.id,
                sa.literal("partner"),
                partner_users.c.role,
                organizations.c.id,
                nothing,
                ~organizations.c.active,
            )
            .join(organizations, organizations.c.id == partner_users.c.organization_id)
            .where(partner_users.c.identity_sub == sub)
        )
        rows = self._connection.execute(sa.union_all(staff, partner).order_by(sa.desc("kind")))
        return [Principal(*row) for row in rows]
