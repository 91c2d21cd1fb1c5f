"""What the audit log keeps of a visit that staff change: times, states and ids, nobody's name and no free text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from moonlit.audit.store import Actor, Audit

_TOLD = {
    "start": "start",
    "end": "end",
    "status": "status",
    "status_reason": "statusReason",
    "provider_id": "providerId",
    "rendering_provider_id": "renderingProviderId",
    "payer_id": "payerId",
    "service_id": "serviceId",
    "location_id": "locationId",
    "room_id": "roomId",
    "modality": "modality",
}  # Columns of `appointments`, and their names in the log.


def note_change(
    connection: sa.Connection,
    actor: Actor | None,
    now: datetime,
    action: Literal["booked", "moved", "cancelled"],
    visit: Mapping[str, Any],
    *,
    changes: Mapping[str, Any],
    **how: bool,
) -> None:
    """Note in the transaction of the change what became of a visit; what patients do themselves is not noted.

    Args:
        connection: The transaction.
        actor: Who changes the visit; None for its patient.
        now: The current instant.
        action: What is done.
        visit: Its columns before; of a booking, those that it begins with.
        changes: The columns that change.
        how: Further marks, kept with what is after.
    """
    if actor is None:
        return
    Audit(connection, actor, now).changed(
        action,
        "appointment",
        visit["id"],
        before=None if action == "booked" else _told(visit),
        after={**_told({**visit, **changes}), **how},
        patient_ids=[visit["patient_id"]],
    )


def _told(visit: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(visit.get(column)) for column, name in _TOLD.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value
