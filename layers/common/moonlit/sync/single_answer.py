"""The JSON of a single patient's refresh, as partners and staff are answered it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import AwareDatetime

from moonlit.booking.statuses import shown_status
from moonlit.errors import NotFound
from moonlit.sync.visits import Outcome
from moonlit.web.models import Model

if TYPE_CHECKING:
    from moonlit.sync.single import Refreshed

type Action = Literal["created", "updated", "unchanged", "skipped", "error"]
_ACTIONS: Mapping[Outcome, Action] = {
    Outcome.NEW: "created",
    Outcome.UPDATED: "updated",
    Outcome.UNCHANGED: "unchanged",
    Outcome.WAITS: "skipped",
}
_COUNTED = ("new", "updated", "unchanged", "errors")

_NAME = sa.text("""
    select concat_ws(' ', btrim(first_name), btrim(last_name)) from patients where id = :patient_id
""")
# Under the login of partners the policies leave out what they may not see.
_VISITS = sa.text("""
    select a.id, x.external_id, a.system, a."start", a."end", a.status, btrim(p.name) as provider_name
    from appointments a
    left join appointment_external_ids x on x.appointment_id = a.id and x.is_current
    left join providers p on p.id = a.provider_id
    where a.patient_id = :patient_id and a."start" >= :first and a."start" < :last and a.status <> 'failed'
    order by a."start", a.id
""")


class Summary(Model):
    """What happened to visits inside the window."""

    new: int
    updated: int
    unchanged: int
    errors: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return the counts of a row, zero for what it does not count."""
        return cls(**{name: int(row.get(name) or 0) for name in _COUNTED})

    @classmethod
    def total(cls, summaries: Iterable[Summary]) -> Self:
        """Add up."""
        rows = [summary.model_dump() for summary in summaries]
        return cls(**{name: sum(row[name] for row in rows) for name in _COUNTED})


class SyncedVisit(Model):
    """A visit of the window and what the refresh did to it."""

    id: UUID
    pq_appointment_id: str | None
    athena_appointment_id: str | None
    start_time: AwareDatetime
    provider_name: str | None
    status: Literal["pending", "scheduled", "confirmed", "completed", "cancelled", "declined", "no_show"]
    sync_action: Action


class PatientSynced(Model):
    """What a refresh of one patient did; `warnings` are codes."""

    success: bool
    patient_id: UUID
    patient_name: str
    synced_at: AwareDatetime
    summary: Summary
    appointments: list[SyncedVisit]
    warnings: list[str]


def patient_synced(connection: sa.Connection, patient_id: UUID, done: Refreshed, zone: ZoneInfo) -> PatientSynced:
    """Return what a refresh did, with the visits of its window that whoever opened `connection` may see.

    Raises:
        NotFound: They may not see the patient.
    """
    name: str | None = connection.execute(_NAME, {"patient_id": patient_id}).scalar_one_or_none()
    if name is None:
        raise NotFound(f"patient {patient_id}")
    first, last = done.window.instants(zone)
    rows = connection.execute(_VISITS, {"patient_id": patient_id, "first": first, "last": last}).mappings()
    return PatientSynced(
        success=done.success,
        patient_id=patient_id,
        patient_name=name,
        synced_at=done.at.astimezone(zone),
        summary=Summary.of(asdict(done.counts)),
        appointments=[_visit(dict(row), done, zone) for row in rows],
        warnings=list(done.warnings),
    )


def _visit(row: Mapping[str, Any], done: Refreshed, zone: ZoneInfo) -> SyncedVisit:
    outcome = done.outcomes.get(row["id"], Outcome.UNCHANGED)
    return SyncedVisit(
        id=row["id"],
        pq_appointment_id=row["external_id"] if row["system"] == "intakeq" else None,
        athena_appointment_id=row["external_id"] if row["system"] == "athena" else None,
        start_time=row["start"].astimezone(zone),
        provider_name=row["provider_name"],
        status=shown_status(row["status"], row["end"], done.at),
        sync_action=_ACTIONS[outcome],
    )
