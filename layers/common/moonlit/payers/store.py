"""Payers with the contracts that decide on their acceptance, and the services that can be booked with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.tables import (
    payers,
    provider_payer_networks,
    providers,
    service_instance_integrations,
    service_instances,
    services,
)
from moonlit.payers.rules import Contract, Payer


class Payers:
    """The payers as one transaction sees them."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def page(self, *, q: str | None, state: str | None, limit: int, after: tuple[str, UUID] | None) -> list[Payer]:
        """Return up to `limit` payers by name and id, those after the pair `after`; `q` is part of the name."""
        query = sa.select(payers.c.id, payers.c.name, payers.c.type, payers.c.status_code)
        if q:
            query = query.where(payers.c.name.icontains(q, autoescape=True))
        if state:
            query = query.where(sa.or_(payers.c.state == state, payers.c.state.is_(None)))
        if after:
            query = query.where(sa.tuple_(payers.c.name, payers.c.id) > sa.tuple_(*after))
        rows = self._connection.execute(query.order_by(payers.c.name, payers.c.id).limit(limit))
        return [Payer(*row) for row in rows]

    def exists(self, payer_id: UUID) -> bool:
        """Tell whether there is such a payer."""
        query = sa.select(sa.exists().where(payers.c.id == payer_id))
        return bool(self._connection.execute(query).scalar_one())

    def everyone(self) -> list[Payer]:
        """Return all payers by name and id."""
        query = sa.select(payers.c.id, payers.c.name, payers.c.type, payers.c.status_code)
        return [Payer(*row) for row in self._connection.execute(query.order_by(payers.c.name, payers.c.id))]

    def contracts(self, payer_ids: Collection[UUID] | None = None) -> dict[UUID, list[Contract]]:
        """Return by payer, for all without `payer_ids`, the active contracts with a date, of active providers."""
        query = (
            sa.select(
                provider_payer_networks.c.payer_id,
                provider_payer_networks.c.provider_id,
                provider_payer_networks.c.effective_date,
                provider_payer_networks.c.end_date,
            )
            .join(providers, providers.c.id == provider_payer_networks.c.provider_id)
            .where(
                provider_payer_networks.c.status == "active",
                provider_payer_networks.c.effective_date.is_not(None),
                providers.c.active,
            )
        )
        if payer_ids is not None:
            query = query.where(provider_payer_networks.c.payer_id.in_(payer_ids))
        found: defaultdict[UUID, list[Contract]] = defaultdict(list)
        for payer_id, provider_id, first, last in self._connection.execute(query):
            found[payer_id].append(Contract(provider_id, first, last))
        return found

    def bookable_services(self, payer_id: UUID) -> list[dict[str, Any]]:
        """Return id, name, kind, duration_minutes and modality of what has a live, mapped instance, by name."""
        mapped = (
            sa.select(service_instances.c.service_id)
            .join(
                service_instance_integrations,
                service_instance_integrations.c.service_instance_id == service_instances.c.id,
            )
            .where(service_instances.c.payer_id == payer_id, service_instances.c.retired_at.is_(None))
        )
        query = (
            sa.select(
                services.c.id,
                sa.func.btrim(services.c.name).label("name"),
                services.c.kind,
                services.c.duration_minutes,
                services.c.modality,
            )
            .where(services.c.is_active, ~services.c.dose_required, services.c.id.in_(mapped))
            .order_by(sa.func.btrim(services.c.name), services.c.id)
        )
        return [dict(row) for row in self._connection.execute(query).mappings()]
