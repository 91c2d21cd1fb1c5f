"""How far the refresh of an organization is, patient by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.partners.store import OURS

_REFRESH = sa.text(f"""
    select r.id, r.requested_at, r.finished_at, btrim(o.name) as organization_name
    from organization_refreshes r join organizations o on o.id = r.organization_id
    where r.id = :refresh_id and r.{OURS}
""")

_LOGS = sa.text(f"""
    select l.run_id, l.status, l.sent_at is not null as is_sent, l.syncing_patient_ids,
        l.new, l.updated, l.unchanged, l.errors
    from sync_logs l
    where l.refresh_id = :refresh_id and l.{OURS} order by l.id
""")

# Each patient's results in the refresh's runs: as many as there are runs when they are done.
_PATIENTS = sa.text(f"""
    select p.patient_id, concat_ws(' ', btrim(p.first_name), btrim(p.last_name)) as name,
        count(x.run_id) as results, coalesce(sum(x.new), 0) as new, coalesce(sum(x.updated), 0) as updated,
        coalesce(sum(x.unchanged), 0) as unchanged, coalesce(sum(x.errors), 0) as errors
    from partner_patients p
    left join sync_patient_results x on x.patient_id = p.patient_id and x.run_id = any(:run_ids)
        and exists (  -- Whom another house's part was faster with is told in the turn that our own gives them.
            select from sync_logs l where l.refresh_id = :refresh_id and l.run_id = x.run_id and l.{OURS}
                and (l.status <> 'in_progress' or x.patient_id < l.syncing_patient_ids[1]))
    where p.{OURS}
    group by p.patient_id, p.first_name, p.last_name
    order by p.last_name, p.first_name, p.patient_id
""").bindparams(sa.bindparam("run_ids", type_=sa.ARRAY(sa.Uuid)))


@dataclass(frozen=True, slots=True)
class Part:
    """One EHR's part of a refresh."""

    run_id: UUID
    status: str
    is_sent: bool
    syncing_patient_ids: Sequence[UUID]
    new: int
    updated: int
    unchanged: int
    errors: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A refresh as it stands; `members` are the organization's patients now, by name, with their results."""

    refresh: Mapping[str, Any]
    parts: Sequence[Part]
    members: Sequence[Mapping[str, Any]]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.refresh["finished_at"] is not None

    @property
    def status(self) -> str:
        """Return `queued` until its pulls are complete, then in_progress, and in the end what the parts agree on."""
        statuses = {part.status for part in self.parts}
        if not self.is_over:
            return "in_progress" if any(part.is_sent for part in self.parts) else "queued"
        if len(statuses) > 1:
            return "partial"
        return next(iter(statuses), "completed")

    @property
    def patients(self) -> Sequence[Mapping[str, Any]]:
        """The members whom it is about: who came when it was over is none of them."""
        if not self.is_over or self.status == "failed":
            return self.members
        return [patient for patient in self.members if patient["results"]]

    def status_of(self, patient: Mapping[str, Any]) -> str:
        """Return how far a patient is: queued, syncing, synced or error."""
        if patient["errors"]:
            return "error"
        if patient["results"] == len(self.parts):
            return "synced"
        if self.is_over:
            return "error"  # A pull failed, so one EHR has not been asked.
        its_turn = any(patient["patient_id"] in part.syncing_patient_ids for part in self.parts)
        return "syncing" if its_turn or patient["results"] else "queued"


def progress(connection: sa.Connection, organization_id: UUID, refresh_id: UUID) -> Progress | None:
    """Return how far an organization's refresh is, None when it has no such refresh."""
    bound = {"organization_id": organization_id, "refresh_id": refresh_id}
    refresh = connection.execute(_REFRESH, bound).mappings().one_or_none()
    if refresh is None:
        return None
    parts = [Part(*row) for row in connection.execute(_LOGS, bound)]
    of_runs = {**bound, "run_ids": [part.run_id for part in parts]}
    return Progress(dict(refresh), parts, [dict(row) for row in connection.execute(_PATIENTS, of_runs).mappings()])
