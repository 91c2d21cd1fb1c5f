"""Payers, contracts and supervision as staff change them: the only SQL that writes their tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.contracting.rules import ContractTerms, Difference, PayerTerms, SupervisionTerms, Terms
from moonlit.db.tables import (
    payers,
    provider_payer_networks,
    providers,
    supervision_relationships,
)
from moonlit.db.turns import take_turn
from moonlit.errors import NotFound

_TABLES: Mapping[str, sa.Table] = {
    "payer": payers,
    "contract": provider_payer_networks,
    "supervision": supervision_relationships,
}
_CONTRACT = [provider_payer_networks.c[name] for name in ContractTerms.__dataclass_fields__]
_SUPERVISION = [supervision_relationships.c[name] for name in SupervisionTerms.__dataclass_fields__]


class PayerTables:
    """Payers with what hangs on them, as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def queue(self) -> None:
        """Wait until nobody else changes payers: names and circles of supervision reach over several of them."""
        take_turn(self._connection, "payers")

    def kept(self, payer_id: UUID) -> PayerTerms:
        """Return a payer as it stands.

        Raises:
            NotFound: There is no such payer.
        """
        row = self._connection.execute(sa.select(payers).where(payers.c.id == payer_id)).mappings().one_or_none()
        if row is None:
            raise NotFound("no such payer")
        table = provider_payer_networks.c
        contracts = self._connection.execute(
            sa.select(*_CONTRACT)
            .where(table.payer_id == payer_id)
            .order_by(table.provider_id, table.effective_date, table.id)
        )
        return PayerTerms(
            **dict(row) | {"name": row["name"].strip(), "plan_codes": tuple(row["plan_codes"])},
            contracts=tuple(ContractTerms(*each) for each in contracts),
            supervision=self._supervision(supervision_relationships.c.payer_id == payer_id),
        )

    def supervision_for_any_payer(self) -> tuple[SupervisionTerms, ...]:
        """Return the supervision that counts for every payer."""
        return self._supervision(supervision_relationships.c.payer_id.is_(None))

    def supervision_elsewhere(self, payer_id: UUID) -> tuple[SupervisionTerms, ...]:
        """Return the supervision that is not this payer's own."""
        return self._supervision(supervision_relationships.c.payer_id.is_distinct_from(payer_id))

    def _supervision(self, condition: sa.ColumnElement[bool]) -> tuple[SupervisionTerms, ...]:
        table = supervision_relationships.c
        query = sa.select(*_SUPERVISION).where(condition).order_by(table.resident_id, table.effective_date, table.id)
        return tuple(SupervisionTerms(*row) for row in self._connection.execute(query))

    def is_taken(self, name: str, payer_id: UUID) -> bool:
        """Tell whether a payer other than this one has the name; letters and spaces around it make no difference."""
        # Compared here: the database's own lower() knows the letters of its locale only.
        rows = self._connection.execute(sa.select(payers.c.name).where(payers.c.id != payer_id)).scalars()
        return any(_compared(other) == _compared(name) for other in rows)

    def persons(self) -> dict[UUID, UUID]:
        """Return the human behind each provider."""
        rows = self._connection.execute(sa.select(providers.c.id, providers.c.person_id))
        return {row.id: row.person_id for row in rows}

    def names(self, provider_ids: Collection[UUID]) -> list[tuple[UUID, str]]:
        """Return the providers' ids and names, by name."""
        name = sa.func.btrim(providers.c.name)
        query = sa.select(providers.c.id, name).where(providers.c.id.in_(provider_ids)).order_by(name, providers.c.id)
        return [(provider_id, name) for provider_id, name in self._connection.execute(query)]

    def write(self, payer_id: UUID, differences: Sequence[Difference]) -> None:
        """Store what is different: the payer itself first, since its rows refer to it."""
        for entity, table in _TABLES.items():
            some = [each for each in differences if each.entity == entity]
            gone = [each.id for each in some if each.after is None]
            rows = [_columns(each.after, payer_id) for each in some if each.after]
            if gone:
                self._connection.execute(sa.delete(table).where(table.c.id.in_(gone)))
            if rows:
                stored = insert(table).values(rows)
                # Not the key, even if to itself: bookings that refer to the row would have to wait.
                new = {name: stored.excluded[name] for name in rows[0] if name != "id"}
                self._connection.execute(stored.on_conflict_do_update(index_elements=["id"], set_=new))


def _columns(terms: Terms, payer_id: UUID) -> dict[str, Any]:
    values = asdict(terms)
    if isinstance(terms, PayerTerms):
        return {name: value for name, value in values.items() if name in payers.c} | {
            "plan_codes": list(terms.plan_codes)
        }
    return values | {"payer_id": payer_id}


def _compared(name: str) -> str:
    return name.strip().casefold()
