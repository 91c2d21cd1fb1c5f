"""The statements of the store of parts. Each handles any number of logs of a run, or of patients.

Results are looked up one by one: the planner takes a run that it has no statistics of for empty, and in a join it would
go through the results of all patients, for each organization or even for each patient.
"""

from __future__ import annotations

import sqlalchemy as sa

from moonlit.sync.activity import NOTE
from moonlit.sync.schedule_sql import HELD, REFRESHED

# The logs that are not finished, locked in one order for everybody, and whose patients they are about; without an
# organization those whom no active organization looks after.
_LOGS = """
    logs as materialized (
        select l.id, l.run_id, l.organization_id from sync_logs l
        where l.id = any(cast(:log_ids as uuid[])) and l.status = 'in_progress' order by l.id for update
    ), members as materialized (
        select l.id as log_id, l.run_id, m.id from logs l cross join lateral (
            select distinct f.patient_id as id from patient_organization_affiliations f
            where f.organization_id = l.organization_id and f.status = 'active'
            union all
            select p.id from patients p
            where l.organization_id is null and not exists (
                select from patient_organization_affiliations f
                join organizations o on o.id = f.organization_id and o.active
                where f.patient_id = p.id and f.status = 'active')) m
    )"""

START = sa.text(f"""
    with {_LOGS}, counted as (
        select log_id, count(*) as patients, string_agg(id::text, ',' order by id) filter (where has_none) as waiting
        from (
            select log_id, id, (
                select true from sync_patient_results r where r.run_id = m.run_id and r.patient_id = m.id
            ) is null as has_none from members m) each
        group by log_id
    ), started as (
        update sync_logs l set touched_at = :now, patients_total = coalesce(c.patients, 0)
        from logs left join counted c on c.log_id = logs.id
        where l.id = logs.id
        returning l.id, l.run_id, l.organization_id, l.sync_type, l.refresh_id, l.requested_by, l.patients_total,
            c.waiting
    )
    select s.*, r.account_id, a.system, r.window_first, r.window_last, p.timezone, r.reads
    from started s join sync_runs r on r.id = s.run_id join ehr_accounts a on a.id = r.account_id
    left join practice_settings p on true
    order by s.id
""")

_PROGRESSED = """
    update sync_logs l set patients_processed = p.processed, touched_at = :now
    from jsonb_to_recordset(cast(:progress as jsonb)) as p (id uuid, processed integer)
    where l.id = p.id and l.status = 'in_progress'
"""

_LINES = """(
        select patient_id, true as changed, cast(:reference as jsonb) || jsonb_build_object(
            'new', new, 'updated', updated, 'unchanged', unchanged, 'errors', 0) as details
        from counted where new + updated > 0) l"""

RECORD = sa.text(f"""
    with refreshed as ({REFRESHED.format(fresh="cast(:fresh as boolean)")}), held as ({HELD}), counted as (
        select p.id as patient_id, coalesce(t.new, 0) as new, coalesce(t.updated, 0) as updated,
            coalesce(h.visits, 0) - coalesce(t.inside, 0) as unchanged
        from unnest(cast(:patients as uuid[])) p (id)
        left join held h on h.patient_id = p.id
        left join jsonb_to_recordset(cast(:rows as jsonb)) as t
            (patient_id uuid, new integer, updated integer, inside integer) on t.patient_id = p.id
    ), noted as ({NOTE.format(lines=_LINES)}), progressed as ({_PROGRESSED})
    insert into sync_patient_results (run_id, patient_id, status, new, updated, unchanged, errors, at)
    select :run_id, patient_id, 'synced', new, updated, unchanged, 0, :now from counted
    order by patient_id
    on conflict do nothing
""")

FAILED_PATIENT = sa.text(f"""
    with progressed as ({_PROGRESSED})
    insert into sync_patient_results (run_id, patient_id, status, errors, error_code, at)
    values (:run_id, cast(:patient_id as uuid), 'error', 1, :code, :now)
    on conflict do nothing
""")

FINISH = sa.text(f"""
    with {_LOGS}, sums as (
        select m.log_id, sum(r.new) as new, sum(r.updated) as updated, sum(r.unchanged) as unchanged,
            sum(r.errors) as errors, min(r.error_code) as code, count(*) as patients
        from members m cross join lateral (
            select x.* from sync_patient_results x where x.run_id = m.run_id and x.patient_id = m.id offset 0) r
        group by m.log_id
    ), unknown_practitioners as (
        select m.log_id, count(*) as visits from members m join appointments a on a.patient_id = m.id
        where a.provider_id is null and exists (
            select from appointment_external_ids x where x.appointment_id = a.id and x.account_id = :account_id)
        group by m.log_id
    ), finished as (
        update sync_logs l set
            status = case when s.errors > 0 then 'partial' else 'completed' end,
            new = coalesce(s.new, 0), updated = coalesce(s.updated, 0), unchanged = coalesce(s.unchanged, 0),
            errors = coalesce(s.errors, 0), error_message = s.code,
            patients_total = greatest(l.patients_total, s.patients), patients_processed = coalesce(s.patients, 0),
            metadata = l.metadata || jsonb_build_object('unknownPractitionerVisits', coalesce(u.visits, 0)),
            duration_ms = extract(epoch from cast(:now as timestamptz) - l.started_at) * 1000,
            touched_at = :now, completed_at = :now, syncing_patient_ids = '{{}}'
        from logs
        left join sums s on s.log_id = logs.id
        left join unknown_practitioners u on u.log_id = logs.id
        where l.id = logs.id
        returning l.run_id
    ), fresh as (
        update organizations o set last_practiceq_sync_at = :now from logs where o.id = logs.organization_id
            and exists (select from sync_runs r where r.id = logs.run_id and r.reads <> 'days')
    )
    select r.id from sync_runs r where r.id = (select run_id from finished limit 1) for update
""")
