"""Payers as staff see them, one with all its rows or many by name, each with what follows from the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.answers import AcceptanceAnswer
from moonlit.availability.store import Availability
from moonlit.contracting.answers import PayerItem, PayerItems, PayerShown, kept, supervision_shown
from moonlit.contracting.rules import PayerTerms
from moonlit.contracting.store import PayerTables
from moonlit.db.paging import by_name
from moonlit.db.tables import payers
from moonlit.payers.rules import Contract, Payer, acceptance
from moonlit.payers.store import Payers
from moonlit.provisioning.readiness import NOT_READY, readiness
from moonlit.web.models import Named


@dataclass(frozen=True, slots=True)
class Filter:
    """Which payers: `q` is part of the name, the others are as stored; each None for any."""

    q: str | None = None
    type: str | None = None
    status_code: str | None = None
    state: str | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the filter in SQL."""
        wanted = (
            (self.q, payers.c.name.icontains(self.q or "", autoescape=True)),
            (self.type, payers.c.type == self.type),
            (self.status_code, payers.c.status_code == self.status_code),
            (self.state, payers.c.state == self.state),
        )
        return [condition for value, condition in wanted if value is not None]


def shown(connection: sa.Connection, payer: PayerTerms, now: datetime) -> PayerShown:
    """Return a payer as an answer shows it."""
    tables, today = PayerTables(connection), Availability(connection).today(now)
    for_any_payer = tables.supervision_for_any_payer()
    mentioned = {each.provider_id for each in payer.contracts}
    for row in (*payer.supervision, *for_any_payer):
        mentioned |= {row.resident_id, row.attending_id}
    status = Payer(payer.id, payer.name, payer.type, payer.status_code)
    return PayerShown(
        **kept(payer).model_dump(by_alias=False),
        supervision_for_any_payer=[supervision_shown(row) for row in for_any_payer],
        providers=[Named(id=provider_id, name=name) for provider_id, name in tables.names(mentioned)],
        acceptance=accepted(status, Payers(connection).contracts([payer.id]).get(payer.id, []), today),
        service_ready=readiness(connection, [payer.id]).get(payer.id, NOT_READY).is_mapped,
    )


def page(connection: sa.Connection, now: datetime, wanted: Filter, *, limit: int, after: str | None) -> PayerItems:
    """Return a page of payers by name; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    query = sa.select(payers).where(*wanted.conditions())
    found = by_name(connection, query, payers.c.name, payers.c.id, limit=limit, after=after)
    ids: Sequence[UUID] = [row["id"] for row in found.rows]
    contracts, ready = Payers(connection).contracts(ids), readiness(connection, ids)
    today = Availability(connection).today(now)
    items = []
    for row in found.rows:
        payer = Payer(row["id"], row["name"].strip(), row["type"], row["status_code"])
        items.append(
            PayerItem(
                **dict(row) | {"name": payer.name},
                acceptance=accepted(payer, contracts.get(payer.id, []), today),
                service_ready=ready.get(payer.id, NOT_READY).is_mapped,
            )
        )
    return PayerItems(items=items, next_cursor=found.next_cursor)


def accepted(payer: Payer, contracts: Sequence[Contract], today: date) -> AcceptanceAnswer:
    """Return whether the practice takes the payer, by its contracts with active providers."""
    status, begins = acceptance(payer, contracts, {contract.provider_id for contract in contracts}, today)
    return AcceptanceAnswer(status=status, from_=begins)
