"""Partner organizations and their people: the only SQL by which staff change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.db.engine import violated_constraint
from moonlit.db.paging import Paged, by_name
from moonlit.db.tables import organizations, partner_users, patient_organization_affiliations
from moonlit.errors import NotFound
from moonlit.people.errors import EmailTaken, IdentityTaken

_affiliations = patient_organization_affiliations
_patients_active = (
    sa.select(sa.func.count(sa.distinct(_affiliations.c.patient_id)))
    .where(_affiliations.c.organization_id == organizations.c.id, _affiliations.c.status == "active")
    .scalar_subquery()
)
_ORGANIZATION = sa.select(organizations, _patients_active.label("patients_active"))
_USER = sa.select(partner_users, organizations.c.active.label("organization_active")).join(
    organizations, organizations.c.id == partner_users.c.organization_id
)
_TAKEN = {"uq_partner_users_email": EmailTaken, "uq_partner_users_identity_sub": IdentityTaken}


class OrganizationStore:
    """The organizations as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def page(self, *, limit: int, after: str | None) -> Paged:
        """Return a page of rows, by name."""
        of = organizations.c
        return by_name(self._connection, _ORGANIZATION, of.name, of.id, limit=limit, after=after)

    def get(self, organization_id: UUID, *, lock: bool = False) -> sa.RowMapping:
        """Return a row, locked if it is to be changed.

        Raises:
            NotFound: There is none.
        """
        query = _ORGANIZATION.where(organizations.c.id == organization_id)
        locking = query.with_for_update(of=organizations, key_share=True)
        row = self._connection.execute(locking if lock else query).mappings().one_or_none()
        if row is None:
            raise NotFound(f"organization {organization_id}")
        return row

    def is_known(self, organization_id: UUID) -> bool:
        """Return whether there is such an organization."""
        query = sa.select(organizations.c.id).where(organizations.c.id == organization_id)
        return self._connection.scalar(query) is not None

    def add(self, organization_id: UUID, values: Mapping[str, Any]) -> None:
        """Store an organization, named by the columns."""
        self._connection.execute(sa.insert(organizations).values(id=organization_id, **values))

    def set(self, organization_id: UUID, values: Mapping[str, Any]) -> None:
        """Change an organization's columns."""
        self._connection.execute(sa.update(organizations).where(organizations.c.id == organization_id).values(**values))


class PartnerUserStore:
    """The partners' people as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def page(self, organization_id: UUID | None, *, limit: int, after: str | None) -> Paged:
        """Return a page of rows, by name: of one organization, or of all."""
        query = _USER if organization_id is None else _USER.where(partner_users.c.organization_id == organization_id)
        of = partner_users.c
        return by_name(self._connection, query, of.name, of.id, limit=limit, after=after)

    def get(self, user_id: UUID, *, lock: bool = False) -> sa.RowMapping:
        """Return a row, locked if it is to be changed.

        Raises:
            NotFound: There is none.
        """
        mine = partner_users.c.id == user_id
        if lock:  # In a statement of its own: who moves house while it waits would have no row in a join begun before.
            self._connection.execute(sa.select(partner_users.c.id).where(mine).with_for_update(key_share=True))
        row = self._connection.execute(_USER.where(mine)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"partner user {user_id}")
        return row

    def add(self, user_id: UUID, values: Mapping[str, Any]) -> None:
        """Store somebody, named by the columns.

        Raises:
            EmailTaken: Somebody else has the address, however it is written there.
            IdentityTaken: Somebody else signs in as that.
        """
        self._write(sa.insert(partner_users).values(id=user_id, **values), user_id, values)

    def set(self, user_id: UUID, values: Mapping[str, Any]) -> None:
        """Change somebody's columns; see `add`."""
        self._write(sa.update(partner_users).where(partner_users.c.id == user_id).values(**values), user_id, values)

    def release_patients(self, user_id: UUID, organization_id: UUID) -> int:
        """Let the organization's patients have no case manager in somebody who left it; return how many did."""
        released = (
            sa.update(_affiliations)
            .where(_affiliations.c.case_manager_id == user_id, _affiliations.c.organization_id == organization_id)
            .values(case_manager_id=None)
        )
        return self._connection.execute(released).rowcount

    def _write(self, statement: sa.Insert | sa.Update, user_id: UUID, values: Mapping[str, Any]) -> None:
        same = sa.func.lower(partner_users.c.email) == str(values["email"]).lower()
        if self._connection.scalar(sa.select(sa.exists().where(same, partner_users.c.id != user_id))):
            raise EmailTaken("the address is another person's")
        try:
            self._connection.execute(statement)
        except DBAPIError as error:
            if taken := _TAKEN.get(violated_constraint(error) or ""):
                raise taken("another person has it") from None
            raise
