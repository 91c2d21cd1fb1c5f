"""Sync logs: what a run does for each organization, and the results for single patients that they add up."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db.tables import sync_logs, sync_runs
from moonlit.sync.runs import Run


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to visits inside the window."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """One organization's part of a run; `organization_id` is None for the patients of no active organization."""

    id: UUID
    run_id: UUID
    account_id: UUID
    organization_id: UUID | None
    sync_type: str
    window_first: date
    window_last: date
    patients_total: int
    refresh_id: UUID | None = None
    requested_by: str | None = None

    @property
    def is_watched(self) -> bool:
        """Whether somebody asked for it and looks at how far it is."""
        return self.refresh_id is not None


class Logs:
    """The logs as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def open_for(self, run: Run, organization_id: UUID, refresh_id: UUID, requested_by: str, now: datetime) -> None:
        """Open a log in a run that is still being pulled, for an organization that asked for it."""
        self._connection.execute(
            sa.insert(sync_logs).values(
                id=uuid4(),
                run_id=run.id,
                organization_id=organization_id,
                refresh_id=refresh_id,
                requested_by=requested_by,
                sync_type="manual_org",
                status="in_progress",
                started_at=now,
                touched_at=now,
            )
        )

    def open(self, run: Run, unknown_rows: int, now: datetime) -> list[UUID]:
        """Return the logs of a run whose pull is complete: of those who asked, and of everybody if it is for them.

        For everybody there is a log for each active organization and one for all other patients. The run's requests
        and the number of rows that belong to nobody stand on one log, that last one where there is one, so that adding
        up logs counts them once.
        """
        values = {"run_id": run.id, "sync_type": run.sync_type, "now": now}
        if run.for_everybody:
            self._connection.execute(_OPEN, values)
        spent = {"run_id": run.id, "requests": run.requests_used, "unknown": unknown_rows}
        self._connection.execute(_SPENT, spent)
        query = sa.select(sync_logs.c.id).where(sync_logs.c.run_id == run.id, sync_logs.c.status == "in_progress")
        return list(self._connection.execute(query.order_by(sync_logs.c.id)).scalars())

    def messages(self, log_ids: Collection[UUID]) -> list[dict[str, Any]]:
        """Return the message for each log that says whom to bring up to date."""
        query = sa.select(sync_logs.c.run_id, sync_logs.c.id, sync_logs.c.organization_id)
        rows = self._connection.execute(query.where(sync_logs.c.id.in_(log_ids)).order_by(sync_logs.c.id))
        return [
            {"runId": str(run_id), "syncLogId": str(log_id), "organizationId": organization and str(organization)}
            for run_id, log_id, organization in rows
        ]

    def sent(self, log_ids: Collection[UUID], now: datetime) -> None:
        """Note that their messages are on the queue."""
        self._connection.execute(
            sa.update(sync_logs).where(sync_logs.c.id.in_(log_ids)).values(sent_at=now, touched_at=now)
        )

    def stuck(self, unsent_before: datetime, untouched_before: datetime) -> list[UUID]:
        """Return the unfinished logs whose message was not sent, or whose work has stood still, since these times.

        Those of a run that is still being pulled have to wait for it.
        """
        stopped = sync_logs.c.touched_at < untouched_before
        never_sent = sa.and_(sync_logs.c.sent_at.is_(None), sync_logs.c.touched_at < unsent_before)
        query = (
            sa.select(sync_logs.c.id)
            .join(sync_runs, sync_runs.c.id == sync_logs.c.run_id)
            .where(sync_logs.c.status == "in_progress", sync_runs.c.state == "applying", sa.or_(stopped, never_sent))
        )
        return list(self._connection.execute(query.order_by(sync_logs.c.touched_at)).scalars())

    def start(self, log_id: UUID, now: datetime) -> Log | None:
        """Return the log with its number of patients brought up to date; None when it is finished or unknown."""
        self._connection.execute(_START, {"log_id": log_id, "now": now})
        row = self._connection.execute(_GET, {"log_id": log_id}).one_or_none()
        return row and Log(**row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for a row's mapping.

    def waiting_patients(self, log: Log) -> list[str]:
        """Return the log's patients for whom the run has no result yet, by id."""
        values = {"organization_id": log.organization_id, "run_id": log.run_id}
        return list(self._connection.execute(_WAITING, values).scalars())

    def progress(self, log: Log, waiting: int, now: datetime) -> None:
        """Note how many patients are still waiting."""
        self._connection.execute(
            sa.update(sync_logs)
            .where(sync_logs.c.id == log.id)
            .values(patients_processed=log.patients_total - waiting, touched_at=now)
        )

    def syncing(self, log: Log, patients: Collection[str]) -> None:
        """Show whose turn it is."""
        turn = [UUID(patient_id) for patient_id in patients]
        self._connection.execute(sa.update(sync_logs).where(sync_logs.c.id == log.id).values(syncing_patient_ids=turn))

    def failed_patient(self, log: Log, patient_id: str, code: str, now: datetime) -> None:
        """Record that nothing could be done for a patient in this run."""
        values = {"run_id": log.run_id, "patient_id": patient_id, "code": code, "now": now}
        self._connection.execute(_FAILED_PATIENT, values)

    def finish(self, log: Log, now: datetime) -> None:
        """Add up the results of the log's patients and complete it; a second time changes nothing."""
        values = {
            "log_id": log.id,
            "run_id": log.run_id,
            "organization_id": log.organization_id,
            "account_id": log.account_id,
            "now": now,
        }
        self._connection.execute(_FINISH, values)

    def add_single(
        self, sync_type: str, counts: Counts, patients: int, metadata: Mapping[str, Any], now: datetime, **more: Any
    ) -> UUID:
        """Log a refresh that belongs to no run, such as a webhook's, and return its id; `more` are further columns."""
        log_id = uuid4()
        values = {
            "status": "partial" if counts.errors else "completed",
            "patients_total": patients,
            "patients_processed": patients,
            "duration_ms": 0,
            "started_at": now,
            "touched_at": now,
            "completed_at": now,
            **asdict(counts),
            **more,
        }
        self._connection.execute(
            sa.insert(sync_logs).values(id=log_id, sync_type=sync_type, metadata=dict(metadata), **values)
        )
        return log_id

    def of_run(self, run_id: UUID) -> list[dict[str, Any]]:
        """Return each log's organization, status and counts, for whoever called the sync by hand."""
        return list(json.loads(self._connection.execute(_OF_RUN, {"run_id": run_id}).scalar_one() or "[]"))


# Whose patients a log is about; `organization_id` null means those whom no active organization looks after.
_MEMBERS = """
    select distinct f.patient_id as id from patient_organization_affiliations f
    where f.organization_id = cast(:organization_id as uuid) and f.status = 'active'
    union all
    select p.id from patients p
    where cast(:organization_id as uuid) is null and not exists (
        select from patient_organization_affiliations f join organizations o on o.id = f.organization_id and o.active
        where f.patient_id = p.id and f.status = 'active')
"""

_OPEN = sa.text("""
    insert into sync_logs (id, run_id, organization_id, sync_type, status, metadata, started_at, touched_at)
    select gen_random_uuid(), :run_id, o.id, :sync_type, 'in_progress', '{}', :now, :now
    from (select id from organizations where active union all select null) o
""")

_SPENT = sa.text("""
    update sync_logs set requests_used = :requests,
        metadata = metadata || jsonb_build_object('unmatchedRows', cast(:unknown as integer))
    where id = (
        select id from sync_logs where run_id = :run_id
        order by organization_id is not null, refresh_id nulls first, started_at, id limit 1)
""")

_START = sa.text("""
    update sync_logs set touched_at = :now, patients_total = (
        select count(*) from (
            select distinct f.patient_id from patient_organization_affiliations f
            where f.organization_id = sync_logs.organization_id and f.status = 'active'
            union all
            select p.id from patients p where sync_logs.organization_id is null and not exists (
                select from patient_organization_affiliations f
                join organizations o on o.id = f.organization_id and o.active
                where f.patient_id = p.id and f.status = 'active')) members)
    where id = :log_id and status = 'in_progress'
""")

_GET = (
    sa.select(
        sync_logs.c.id,
        sync_logs.c.run_id,
        sync_runs.c.account_id,
        sync_logs.c.organization_id,
        sync_logs.c.sync_type,
        sync_runs.c.window_first,
        sync_runs.c.window_last,
        sync_logs.c.patients_total,
        sync_logs.c.refresh_id,
        sync_logs.c.requested_by,
    )
    .join(sync_runs, sync_runs.c.id == sync_logs.c.run_id)
    .where(sync_logs.c.id == sa.bindparam("log_id"), sync_logs.c.status == "in_progress")
)

# A set operation, because the planner takes a run that it has no statistics of for empty: with `not exists` it goes
# through all results for each patient.
_WAITING = sa.text(f"""
    with members as ({_MEMBERS})
    select id::text from (
        select id from members except select patient_id from sync_patient_results where run_id = :run_id) waiting
    order by id
""")

_FAILED_PATIENT = sa.text("""
    insert into sync_patient_results (run_id, patient_id, status, errors, error_code, at)
    values (:run_id, cast(:patient_id as uuid), 'error', 1, :code, :now)
    on conflict do nothing
""")

_FINISH = sa.text(f"""
    with members as ({_MEMBERS}), sums as (
        select coalesce(sum(r.new), 0) as new, coalesce(sum(r.updated), 0) as updated,
            coalesce(sum(r.unchanged), 0) as unchanged, coalesce(sum(r.errors), 0) as errors, count(*) as patients
        from sync_patient_results r where r.run_id = :run_id and r.patient_id in (select id from members)
    ), unknown_practitioners as (
        select count(*) as visits from appointments a
        where a.provider_id is null and a.patient_id in (select id from members) and exists (
            select from appointment_external_ids x where x.appointment_id = a.id and x.account_id = :account_id)
    )
    update sync_logs l set
        status = case when s.errors > 0 then 'partial' else 'completed' end,
        new = s.new, updated = s.updated, unchanged = s.unchanged, errors = s.errors,
        patients_total = greatest(l.patients_total, s.patients), patients_processed = s.patients,
        metadata = l.metadata || jsonb_build_object('unknownPractitionerVisits', u.visits),
        duration_ms = extract(epoch from cast(:now as timestamptz) - l.started_at) * 1000,
        touched_at = :now, completed_at = :now, syncing_patient_ids = '{{}}'
    from sums s, unknown_practitioners u
    where l.id = :log_id and l.status = 'in_progress'
""")

_OF_RUN = sa.text("""
    select json_agg(json_build_object('organizationId', organization_id, 'status', status, 'new', new,
        'updated', updated, 'unchanged', unchanged, 'errors', errors, 'patientsTotal', patients_total,
        'patientsProcessed', patients_processed, 'error', error_message) order by organization_id)::text
    from sync_logs where run_id = :run_id
""")
