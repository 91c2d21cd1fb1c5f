"""Providers, and what refers to them: the only SQL by which staff change the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.paging import Paged, by_name
from moonlit.db.tables import (
    appointments,
    patients,
    provider_athena_settings,
    provider_hours,
    provider_intakeq_settings,
    provider_payer_networks,
    providers,
    supervision_relationships,
)
from moonlit.errors import NotFound
from moonlit.people.provider_answers import Provider, ProviderEhr, ProviderSummary

_intakeq, _athena = provider_intakeq_settings, provider_athena_settings
_COLUMNS = [column for column in providers.c if column.name != "person_id"]


def _count_of(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    query = sa.select(sa.func.count()).select_from(table).where(table.c.provider_id == providers.c.id, *conditions)
    return query.scalar_subquery()


_SHOWN = (
    sa.select(
        *_COLUMNS,
        sa.func.coalesce(_intakeq.c.practitioner_id, _athena.c.athena_provider_id).label("practitioner_id"),
        _intakeq.c.practitioner_email,
        sa.func.coalesce(_intakeq.c.location_id, _athena.c.department_id).label("ehr_location_id"),
        _count_of(provider_hours).label("hours"),
        _count_of(provider_payer_networks, provider_payer_networks.c.status == "active").label("contracts"),
    )
    .outerjoin(_intakeq, sa.and_(_intakeq.c.provider_id == providers.c.id, providers.c.ehr_system == "intakeq"))
    .outerjoin(_athena, sa.and_(_athena.c.provider_id == providers.c.id, providers.c.ehr_system == "athena"))
)


class ProviderStore:
    """The providers as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def page(self, q: str | None, *, active: bool | None, limit: int, after: str | None) -> Paged:
        """Return a page of rows for `provider`, by name: those whose name holds `q`, and only active ones or others."""
        query = _SHOWN
        if q:
            query = query.where(providers.c.name.icontains(q, autoescape=True))
        if active is not None:
            query = query.where(providers.c.active.is_(active))
        return by_name(self._connection, query, providers.c.name, providers.c.id, limit=limit, after=after)

    def get(self, provider_id: UUID) -> Provider:
        """Return a provider.

        Raises:
            NotFound: There is none.
        """
        row = self._connection.execute(_SHOWN.where(providers.c.id == provider_id)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"provider {provider_id}")
        return provider(row)

    def locked(self, provider_id: UUID) -> Provider:
        """Return a provider whom nobody else changes, with their hours and time off, before this transaction ends.

        Raises:
            NotFound: There is none.
        """
        lock = sa.select(providers.c.id).where(providers.c.id == provider_id).with_for_update(key_share=True)
        self._connection.execute(lock)  # Read in a statement of its own: it sees what was waited for.
        return self.get(provider_id)

    def person(self, provider_id: UUID) -> UUID:
        """Return the human behind a provider.

        Raises:
            NotFound: There is none.
        """
        found = self._connection.scalar(sa.select(providers.c.person_id).where(providers.c.id == provider_id))
        if found is None:
            raise NotFound(f"provider {provider_id}")
        return UUID(str(found))

    def same_person(self, person_id: UUID) -> list[UUID]:
        """Return every id of a human."""
        query = sa.select(providers.c.id).where(providers.c.person_id == person_id).order_by(providers.c.id)
        return list(self._connection.execute(query).scalars())

    def residents(self, provider_id: UUID) -> list[UUID]:
        """Return whom a provider supervises, on whatever days."""
        of = supervision_relationships.c
        query = sa.select(of.resident_id).where(of.attending_id == provider_id).distinct().order_by(of.resident_id)
        return list(self._connection.execute(query).scalars())

    def person_of_key(self, provider_id: UUID, person_key: str | None) -> UUID:
        """Return the human whom a provider with that key is, as the database counts it."""
        text, key = sa.Text(), sa.bindparam("key", person_key, type_=sa.Text())
        of_key = sa.cast(sa.func.md5(sa.cast(key, text)), sa.UUID)
        found: UUID = self._connection.execute(sa.select(sa.func.coalesce(of_key, provider_id))).scalar_one()
        return found

    def add(self, provider_id: UUID, values: Mapping[str, Any]) -> None:
        """Store a provider, named by the columns."""
        self._connection.execute(sa.insert(providers).values(id=provider_id, **values))

    def set(self, provider_id: UUID, values: Mapping[str, Any]) -> None:
        """Change a provider's columns."""
        self._connection.execute(sa.update(providers).where(providers.c.id == provider_id).values(**values))

    def is_in_use(self, provider_id: UUID) -> bool:
        """Return whether visits or a mapping say in which EHR the provider's calendar is."""
        uses = [
            sa.select(sa.literal(1)).where(table.c[name] == provider_id)
            for table, name in (
                (_intakeq, "provider_id"),
                (_athena, "provider_id"),
                (appointments, "provider_id"),
            )
        ]
        return bool(self._connection.scalar(sa.select(sa.or_(*(use.exists() for use in uses)))))

    def states(self, patient_ids: Collection[UUID]) -> dict[UUID, str | None]:
        """Return where patients live, for visits that do not say where the patient will be."""
        query = sa.select(patients.c.id, patients.c.state).where(patients.c.id.in_(patient_ids))
        return {row.id: row.state for row in self._connection.execute(query)}


def provider(row: sa.RowMapping) -> Provider:
    """Return a row of `ProviderStore.page` as staff see it."""
    ehr = ProviderEhr(
        system=row["ehr_system"],
        practitioner_id=row["practitioner_id"],
        practitioner_email=row["practitioner_email"],
        location_id=row["ehr_location_id"],
    )
    summary = ProviderSummary(hours=row["hours"], contracts=row["contracts"])
    return Provider(**{column.name: row[column.name] for column in _COLUMNS}, ehr=ehr, summary=summary)
