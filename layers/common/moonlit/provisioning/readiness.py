"""How far a payer's intake is set up: what the overview, the payer's page and the backfill count."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.tables import service_instance_integrations, service_instances, services


@dataclass(frozen=True, slots=True)
class IntakeReadiness:
    """Whether a payer has a live instance of an intake that is in use, and whether such a one is mapped."""

    has_instance: bool
    is_mapped: bool


NOT_READY = IntakeReadiness(has_instance=False, is_mapped=False)


def readiness(connection: sa.Connection, payer_ids: Collection[UUID] | None = None) -> dict[UUID, IntakeReadiness]:
    """Return how far these payers' intake is, of all without `payer_ids`; who has no instance is left out."""
    query = (
        sa.select(service_instances.c.payer_id, sa.func.bool_or(service_instance_integrations.c.id.is_not(None)))
        .join(services, services.c.id == service_instances.c.service_id)
        .outerjoin(
            service_instance_integrations,
            service_instance_integrations.c.service_instance_id == service_instances.c.id,
        )
        .where(
            services.c.is_active,
            services.c.kind == "intake",
            service_instances.c.retired_at.is_(None),
            service_instances.c.payer_id.is_not(None),
        )
        .group_by(service_instances.c.payer_id)
    )
    if payer_ids is not None:
        query = query.where(service_instances.c.payer_id.in_(payer_ids))
    rows = connection.execute(query)
    return {payer_id: IntakeReadiness(has_instance=True, is_mapped=mapped) for payer_id, mapped in rows}
