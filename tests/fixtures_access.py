"""People who are signed in, as functions see them behind API Gateway's authorizer."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_booking import INES
from tests.fixtures_functions import Functions, sample

OPEN_HOUSE, CLOSED_HOUSE = UUID(int=0xA0), UUID(int=0xA1)
ROLES = ("admin", "biller", "provider", "partner_admin", "case_manager")


def add_staff(functions: Functions, role: str, sub: str, **values: Any) -> UUID:
    """Store somebody of the practice and return their id."""
    row = {"id": uuid4(), "email": f"{uuid4()}@example.org", "name": "Dora Finch", "role": role, "identity_sub": sub}
    if role == "provider":
        row["provider_id"] = INES
    with functions.begin() as connection:
        connection.execute(sa.insert(t.staff_users).values(**row | values))
    return UUID(str(row["id"]))


def add_partner(functions: Functions, role: str, sub: str, organization_id: UUID = OPEN_HOUSE) -> UUID:
    """Store somebody of a partner organization and return their id; the organization is made when it is new."""
    user_id, active = uuid4(), organization_id != CLOSED_HOUSE
    organization = {"id": organization_id, "name": "House", "active": active}
    row = {"id": user_id, "email": f"{uuid4()}@example.org", "name": "Amos Tilbury", "role": role, "identity_sub": sub}
    with functions.begin() as connection:
        known = connection.scalar(sa.select(t.organizations.c.id).where(t.organizations.c.id == organization_id))
        if known is None:
            connection.execute(sa.insert(t.organizations).values(**organization))
        connection.execute(sa.insert(t.partner_users).values(organization_id=organization_id, **row))
    return user_id


def as_user(name: str, /, **claims: Any) -> dict[str, Any]:
    """Return the sample event `name` as sent with these claims, such as `sub`; those that are None are left out."""
    event = sample(name)
    told = event["requestContext"]["authorizer"]["jwt"]
    told["claims"] = {key: value for key, value in (told["claims"] | claims).items() if value is not None}
    return event
