"""The statements of the schedule store. Each handles any number of rows: they go in and come out as one JSON text.

Instants travel as whole milliseconds since 1970: pg8000 reads a timestamp forty times slower than a number.
"""

from __future__ import annotations

import sqlalchemy as sa

from moonlit.sync.systems import SEATS

# What is known for sure: an EHR service that stands for two of our services, or two instances, stands for none.
DIRECTORY = sa.text(f"""
    with mapped as (
        select n.external_id, i.service_id, i.payer_id, case when i.retired_at is null then i.id end as instance_id
        from service_instance_integrations n join service_instances i on i.id = n.service_instance_id
        where n.system = :system
        union all
        select d -> 'mappings' ->> :system, (d ->> 'service_id')::uuid, null, null
        from practice_settings, jsonb_array_elements(default_services) d
        where d -> 'mappings' ->> :system is not null
    ), services as (
        select external_id, min(service_id::text) as service_id from mapped
        group by external_id having count(distinct service_id) = 1
    ), instances as (
        select external_id, payer_id, min(instance_id::text) as instance_id from mapped
        where payer_id is not null group by external_id, payer_id having count(distinct instance_id) = 1
    )
    select json_build_object(
        'seats', (
            select coalesce(json_agg(json_build_array(s.practitioner_id, s.location_id, p.id, p.person_id)), '[]')
            from {SEATS} s join providers p on p.id = s.provider_id where s.system = :system),
        'services', (select coalesce(json_agg(json_build_array(external_id, service_id)), '[]') from services),
        'instances', (
            select coalesce(json_agg(json_build_array(external_id, payer_id, instance_id)), '[]') from instances)
    )::text
""")

# Rows that changed since they were applied: those in the window, and those of visits that are held already. A row
# that was gone, or had another id, before anybody held it concerns nobody. A visit that is held stays its patient's,
# whoever the EHR's client seems to be by now.
_CHANGED = """
    select m.*, x.appointment_id, x.is_current, coalesce(a.patient_id, m.patient_id) as visit_patient_id, a.room_id,
        array[a.provider_id, a.rendering_provider_id] as giver_ids
    from (
        select external_id from ehr_appointments
        where account_id = :account_id and patient_id = any(cast(:patients as uuid[]))
        union
        select ours.external_id from appointment_external_ids ours join appointments v on v.id = ours.appointment_id
        where ours.account_id = :account_id and v.patient_id = any(cast(:patients as uuid[]))
    ) theirs
    join ehr_appointments m on m.account_id = :account_id and m.external_id = theirs.external_id
    left join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id
    left join appointments a on a.id = x.appointment_id
    where coalesce(a.patient_id, m.patient_id) = any(cast(:patients as uuid[]))
        and x.applied_hash is distinct from m.content_hash
        and (x.appointment_id is not null
            or (m.span && tstzrange(:first, :last) and not m.deleted_in_ehr and m.moved_to is null))
"""

# Whether a visit was booked here and not only taken over from the EHR.
_BOOKED_HERE = "exists (select from ehr_writes w where w.appointment_id = {visit} and w.kind = 'book')"

# Whether a row says that its visit has another id by now, and the row of that one is still to come. The EHR changed
# both at once: what was changed before the last pull began, and stands alone even so, went where no pull looks.
_MOVES_ON = """(m.moved_to is not null and m.modified_at >= coalesce(
            (select synced_through from ehr_accounts where id = :account_id), '-infinity')
        and not exists (
            select from ehr_appointments n where n.account_id = m.account_id and n.external_id = m.moved_to))"""

# A row that says how the visit was before a change of ours has nothing to say: it is looked at when it is seen again.
_NOT_SEEN_SINCE = """exists (
        select from ehr_writes w where w.appointment_id = a.id and w.kind in ('cancel', 'reschedule')
            and w.state = 'confirmed' and w.finished_at > m.seen_at)"""

# Locked as booking/claims.py does it: all of them, in one order for everybody.
LOCK = sa.text(f"""
    with changed as materialized ({_CHANGED}), resources as (
        select visit_patient_id as id from changed
        union
        select p.person_id from {SEATS} s join providers p on p.id = s.provider_id
        where s.system = :system and s.practitioner_id in (select practitioner_id from changed)
        union
        select c.resource_id from time_claims c where c.appointment_id in (select appointment_id from changed)
        union
        select p.person_id from changed c join providers p on p.id = any(c.giver_ids)
        union
        select room_id from changed
        union  -- The queue of those who do not know yet which room it will be, see booking/offer.py.
        select '00000000-0000-0000-0000-000000000000'::uuid from changed where room_id is not null
    )
    select string_agg(id::text, ','), count(pg_advisory_xact_lock(key)::text) from (
        select id, hashtextextended(id::text, 0) as key from resources where id is not null order by key) in_order
""")

WAITING = sa.text(f"""
    with changed as ({_CHANGED}), in_flight as (
        select appointment_id, case when account_id = :account_id then slot_id end as slot_id from ehr_writes
        where state in ('waiting', 'sending', 'unknown') and (kind in ('cancel', 'reschedule') or move is not null)
    )
    select json_agg(json_build_array(
        m.external_id, m.content_hash, m.visit_patient_id, m.visit_patient_id = m.patient_id is true,
        m.client_id, m.practitioner_id, m.ehr_service_id,
        floor(extract(epoch from lower(m.span)) * 1000), floor(extract(epoch from upper(m.span)) * 1000),
        m.status, m.deleted_in_ehr, floor(extract(epoch from m.modified_at) * 1000),
        m.meeting_url, m.location_name, m.place_of_service, m.location_id,
        exists (select from in_flight where slot_id = m.external_id),
        a.id, a.patient_id, a.provider_id, a.rendering_provider_id, a.service_id, a.service_instance_id, a.payer_id,
        a.modality, floor(extract(epoch from a."start") * 1000), floor(extract(epoch from a."end") * 1000),
        a.status, a.deleted_in_ehr, floor(extract(epoch from a.ehr_modified_at) * 1000), a.meeting_url,
        a.location_info, a.id in (select appointment_id from in_flight) or {_NOT_SEEN_SINCE},
        {_BOOKED_HERE.format(visit="a.id")},
        m.is_current, {_MOVES_ON}))::text
    from changed m left join appointments a on a.id = m.appointment_id
""")

_VISITS = """jsonb_to_recordset(cast(:rows as jsonb)) as v (
        id uuid, external_id text, patient_id uuid, provider_id uuid, rendering_provider_id uuid, service_id uuid,
        service_instance_id uuid, modality text, start_ms bigint, end_ms bigint, status text, deleted_in_ehr boolean,
        meeting_url text, location_info jsonb, modified_ms bigint, content_hash text, person_id uuid, claims text)"""
_SPAN = "tstzrange(to_timestamp(v.start_ms / 1000.0), to_timestamp(v.end_ms / 1000.0))"
_CLAIM = f"""
    insert into time_claims (id, resource_kind, resource_id, span, appointment_id, enforced)
    select gen_random_uuid(), r.kind, r.id, {_SPAN}, v.id, false
    from wanted v cross join lateral (values ('person', v.person_id), ('patient', v.patient_id)) r (kind, id)
    where r.id is not null and v.claims in ('take', 'renew')
"""

ADD = sa.text(f"""
    with wanted as (select * from {_VISITS}), added as (
        insert into appointments (
            id, patient_id, provider_id, service_id, "start", "end", status, modality, system, meeting_url,
            location_info, deleted_in_ehr, ehr_modified_at, created_at, updated_at)
        select
            id, patient_id, provider_id, service_id, to_timestamp(start_ms / 1000.0), to_timestamp(end_ms / 1000.0),
            status, modality, :system, meeting_url, location_info, deleted_in_ehr,
            to_timestamp(modified_ms / 1000.0), :now, :now
        from wanted
    ), claimed as ({_CLAIM})
    insert into appointment_external_ids (account_id, external_id, appointment_id, applied_hash)
    select :account_id, external_id, id, content_hash from wanted
    on conflict do nothing
""")

# What is claimed anew is put beside what is deleted: no part of a statement sees what another one does.
UPDATE = sa.text(f"""
    with wanted as (select * from {_VISITS}), applied as (
        update appointment_external_ids x set applied_hash = v.content_hash
        from wanted v where x.account_id = :account_id and x.external_id = v.external_id
    ), released as (
        delete from time_claims c using wanted v
        where c.appointment_id = v.id and v.claims in ('release', 'renew', 'protect')
    ), moved as (
        update time_claims c set span = {_SPAN}, enforced = false
        from wanted v where c.appointment_id = v.id and v.claims = 'move'
    ), claimed as ({_CLAIM})
    update appointments a set
        provider_id = v.provider_id, rendering_provider_id = v.rendering_provider_id, service_id = v.service_id,
        service_instance_id = v.service_instance_id, modality = v.modality,
        "start" = to_timestamp(v.start_ms / 1000.0), "end" = to_timestamp(v.end_ms / 1000.0), status = v.status,
        status_reason = case when a.status = v.status then a.status_reason end,
        deleted_in_ehr = v.deleted_in_ehr, meeting_url = v.meeting_url, location_info = v.location_info,
        ehr_modified_at = to_timestamp(v.modified_ms / 1000.0), updated_at = :now,
        co_visit = a.co_visit and v.rendering_provider_id is not null,
        sequence = a.sequence + (a."start" <> to_timestamp(v.start_ms / 1000.0) or a.status <> v.status)::integer
    from wanted v
    where a.id = v.id
""")

_CLAIMS = """jsonb_to_recordset(cast(:rows as jsonb)) as v (id uuid, external_id text, person_id uuid)"""

# Time of a visit that was booked here stays protected as a booking protects it: with the service's buffers, for the
# service's length even where the EHR shows less, for the attending of a co-visit and for the room. Only what overlaps
# other protected time goes without, since people have to sort that out.
PROTECT = sa.text(f"""
    with wanted as (
        select v.id as appointment_id, r.kind, r.id as resource_id, r.span
        from {_CLAIMS}
        join appointments a on a.id = v.id
        left join services s on s.id = a.service_id
        left join providers attending on attending.id = a.rendering_provider_id and a.co_visit
        cross join lateral (
            select tstzrange(
                a."start" - make_interval(mins => coalesce(s.buffer_before_minutes, 0)),
                greatest(a."end", a."start" + make_interval(mins => coalesce(s.duration_minutes, 0)))
                    + make_interval(mins => coalesce(s.buffer_after_minutes, 0))) as span) blocked
        cross join lateral (values
            ('person', v.person_id, blocked.span), ('person', attending.person_id, blocked.span),
            ('room', a.room_id, blocked.span), ('patient', a.patient_id, tstzrange(a."start", a."end"))
        ) r (kind, id, span)
        where r.id is not null
    )
    insert into time_claims (id, resource_kind, resource_id, span, appointment_id, enforced)
    select gen_random_uuid(), kind, resource_id, span, appointment_id,
        not exists (
            select from time_claims c where c.enforced and c.resource_id = wanted.resource_id and c.span && wanted.span)
        and not exists (
            select from wanted other where other.resource_id = wanted.resource_id and other.span && wanted.span
                and other.appointment_id < wanted.appointment_id)
    from wanted
""")

CONFLICTS = sa.text(f"""
    insert into schedule_conflicts (id, appointment_id, account_id, external_id, state, created_at)
    select gen_random_uuid(), booked.appointment_id, :account_id, v.external_id, 'open', :now
    from {_CLAIMS}
    join time_claims c on c.appointment_id = v.id
    join time_claims booked on booked.resource_id = c.resource_id and booked.span && c.span
        and booked.appointment_id <> c.appointment_id and {_BOOKED_HERE.format(visit="booked.appointment_id")}
    group by booked.appointment_id, v.external_id
    on conflict do nothing
""")

APPLIED = sa.text("""
    update appointment_external_ids x set applied_hash = r.hash
    from jsonb_to_recordset(cast(:rows as jsonb)) as r (external_id text, hash text)
    where x.account_id = :account_id and x.external_id = r.external_id
""")

# A patient whom only another EHR knows is no more up to date than before.
REFRESHED = """
    update patients set last_practiceq_sync_at = :now where id = any(cast(:patients as uuid[]))
        and {fresh} and case cast(:system as text)
            when 'intakeq' then intakeq_client_id is not null or athena_patient_id is null
            else athena_patient_id is not null or intakeq_client_id is null
        end
"""

HELD = """
    select a.patient_id, count(*) as visits from appointments a
    where a.patient_id = any(cast(:patients as uuid[])) and a."start" >= :first and a."start" < :last
        and exists (
            select from appointment_external_ids x
            where x.appointment_id = a.id and x.account_id = :account_id and x.is_current)
    group by a.patient_id
"""

REFRESH = sa.text(f"""
    with refreshed as ({REFRESHED.format(fresh="cast(:fresh as boolean)")})
    select json_object_agg(patient_id, visits)::text from ({HELD}) held
""")
