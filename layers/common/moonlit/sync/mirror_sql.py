"""The statements of the mirror's store. Each handles any number of rows, which go in as one JSON text."""

from __future__ import annotations

import sqlalchemy as sa

from moonlit.sync.sightings import MISSING
from moonlit.sync.systems import NUMBERS, SEATS, SYSTEM

BY_RULE = "system"  # Who decided where people did not.

# One statement however many rows. An older version of a row never replaces a newer one, and equal content is not
# written again. Deletion is final: only a later change brings a row back. Rows are taken in the order of their ids,
# so that two writers of the same rows wait for each other instead of locking crosswise.
SAVE = sa.text(f"""
    insert into ehr_appointments as m (
        account_id, external_id, client_id, client_email, client_birth_date, practitioner_id, ehr_service_id, span,
        status, meeting_url, location_name, place_of_service, location_id, moved_to, insurance, deleted_in_ehr,
        modified_at, content_hash, raw, seen_at)
    select
        :account_id, external_id, client_id, client_email, client_birth_date, practitioner_id, ehr_service_id,
        tstzrange(starts_at, ends_at), status, meeting_url, location_name, place_of_service, location_id, moved_to,
        insurance, :deleted, modified_at, content_hash, raw, :now
    from jsonb_to_recordset(cast(:rows as jsonb)) as r (
        external_id text, client_id text, client_email text, client_birth_date date, practitioner_id text,
        ehr_service_id text, starts_at timestamptz, ends_at timestamptz, status text, meeting_url text,
        location_name text, place_of_service text, location_id text, moved_to text, insurance jsonb,
        modified_at timestamptz, content_hash text, raw jsonb)
    order by external_id
    on conflict (account_id, external_id) do update set
        client_id = excluded.client_id, client_email = excluded.client_email,
        client_birth_date = excluded.client_birth_date, practitioner_id = excluded.practitioner_id,
        ehr_service_id = excluded.ehr_service_id, span = excluded.span, status = excluded.status,
        meeting_url = excluded.meeting_url, location_name = excluded.location_name,
        place_of_service = excluded.place_of_service, location_id = excluded.location_id,
        moved_to = excluded.moved_to, insurance = excluded.insurance, deleted_in_ehr = excluded.deleted_in_ehr,
        modified_at = greatest(m.modified_at, excluded.modified_at), content_hash = excluded.content_hash,
        raw = excluded.raw, seen_at = excluded.seen_at,
        patient_id = case when m.client_id is not distinct from excluded.client_id then m.patient_id end
    where case
        when excluded.deleted_in_ehr then not m.deleted_in_ehr
        when m.deleted_in_ehr then m.modified_at < excluded.modified_at
            or (m.modified_at = excluded.modified_at and m.content_hash like '%{MISSING}')
        else m.modified_at <= excluded.modified_at and m.content_hash <> excluded.content_hash
    end
""")

# The clients of rows that belong to nobody yet, with every patient who may be meant. Clients whom nobody resembles
# are left out in SQL: most practices treat many people who are no patients here. Of whom people have said that they
# are nobody here, only the number counts.
UNMATCHED = sa.text(f"""
    with dismissed as (
        select coalesce(client_id, external_id) as key from match_reviews
        where account_id = :account_id and state = 'dismissed' and reason <> 'client_changed'
    ), unmatched as (
        select coalesce(client_id, external_id) as key, client_id, external_id, client_birth_date,
            case when coalesce(client_id, external_id) not in (select key from dismissed)
                then lower(btrim(client_email)) end as email
        from ehr_appointments
        where account_id = :account_id and patient_id is null and span && tstzrange(:first, :last)
            and (:client_id is null or client_id = :client_id)
    ), alternates as materialized (
        select id, lower(btrim(unnest(alternate_emails))) as email from patients where alternate_emails <> '{{}}'
    ), reached as (
        select u.key, n.patient_id as id from unmatched u
        join {NUMBERS} n on n.client_id = u.client_id and n.system = {SYSTEM}
        union
        select u.key, p.id from unmatched u join patients p on lower(btrim(p.email)) = u.email
        union
        select u.key, p.id from unmatched u join alternates p on p.email = u.email
    ), clients as (
        -- A row stands for its client that no other question is about.
        select key, min(client_id) as client_id, coalesce(
                min(external_id) filter (where not exists (
                    select from match_reviews v where v.account_id = :account_id and v.external_id = u.external_id)),
                min(external_id)) as external_id,
            coalesce(array_agg(distinct email) filter (where email is not null), '{{}}') as emails,
            coalesce(array_agg(distinct client_birth_date) filter (where client_birth_date is not null), '{{}}')
                as births
        from unmatched u where key in (select key from reached) group by key
    ), candidates as (
        select r.key, json_agg(json_build_array(p.id, n.client_id, p.email, p.alternate_emails, p.date_of_birth)
            order by p.id) as patients
        from reached r join patients p on p.id = r.id
        join {NUMBERS} n on n.patient_id = p.id and n.system = {SYSTEM} group by r.key
    )
    select json_agg(json_build_array(c.client_id, c.external_id, c.emails, c.births, k.patients) order by c.key)::text
    from clients c join candidates k on k.key = c.key
""").bindparams(sa.bindparam("client_id", type_=sa.Text))

LINK = sa.text("""
    with linked as (
        select * from jsonb_to_recordset(cast(:rows as jsonb)) as r (client_id text, external_id text, patient_id uuid)
    )
    update ehr_appointments m set patient_id = l.patient_id
    from linked l
    where m.account_id = :account_id and m.patient_id is null
        and coalesce(m.client_id, m.external_id) = coalesce(l.client_id, l.external_id)
""")

# Only a number that one client alone brought is learned, and only where none is known: with two, nobody can say
# which of them new visits should be booked for.
LEARN = sa.text(f"""
    with linked as (
        select patient_id, min(client_id) as client_id
        from jsonb_to_recordset(cast(:rows as jsonb)) as r (client_id text, patient_id uuid)
        where client_id is not null group by patient_id having count(*) = 1
    )
    update patients p set
        intakeq_client_id = case n.system when 'intakeq' then l.client_id else p.intakeq_client_id end,
        athena_patient_id = case n.system when 'athena' then l.client_id else p.athena_patient_id end
    from linked l join {NUMBERS} n on n.patient_id = l.patient_id and n.system = {SYSTEM} and n.client_id is null
    where p.id = l.patient_id
        and not exists (select from {NUMBERS} other where other.system = n.system and other.client_id = l.client_id)
""")

# One question for a client, not for each of its visits; what people have answered is not asked again. Whose visits
# these are is another question than whether a visit's patient still has it: that one is asked once for each patient.
ASK = sa.text("""
    insert into match_reviews
        (id, account_id, client_id, external_id, reason, candidate_patient_ids, state, created_at)
    select distinct on (coalesce(client_id, external_id), reason, whose)
        id, :account_id, client_id, external_id, reason, patient_ids, 'open', :now
    from jsonb_to_recordset(cast(:rows as jsonb)) as r
        (id uuid, client_id text, external_id text, reason text, patient_ids text[])
    cross join lateral (select case when reason = 'client_changed' then patient_ids end as whose) question
    where not exists (
        select from match_reviews known where known.account_id = :account_id and known.client_id = r.client_id
            and case
                when r.reason = 'client_changed'
                    then known.reason = 'client_changed' and known.candidate_patient_ids = r.patient_ids
                else known.reason <> 'client_changed'
            end)
    order by coalesce(client_id, external_id), reason, whose, external_id
    on conflict (account_id, external_id) do nothing
""")

# That a client is known by now says nothing of a visit that somebody else has.
ANSWERED = sa.text("""
    update match_reviews v set
        state = 'resolved', patient_id = r.patient_id, decided_at = :now, decided_by = :decided_by
    from jsonb_to_recordset(cast(:rows as jsonb)) as r (client_id text, external_id text, patient_id uuid)
    where v.account_id = :account_id and v.state = 'open'
        and (v.client_id = r.client_id or v.external_id = r.external_id)
        and (v.reason <> 'client_changed' or r.patient_id::text = any(v.candidate_patient_ids))
""")

# What people have said of a client holds for its later visits too, where the number was not learned or is forgotten.
DECIDED = sa.text(f"""
    with decided as (
        select distinct on (client_id) client_id, patient_id from match_reviews
        where account_id = :account_id and state = 'resolved' and patient_id is not null
            and decided_by <> '{BY_RULE}' and (:client_id is null or client_id = :client_id)
        order by client_id, decided_at desc
    )
    update ehr_appointments m set patient_id = d.patient_id from decided d
    where m.account_id = :account_id and m.patient_id is null and m.client_id = d.client_id
        and m.span && tstzrange(:first, :last)
        and not exists (select from {NUMBERS} n where n.system = {SYSTEM} and n.client_id = d.client_id)
""").bindparams(sa.bindparam("client_id", type_=sa.Text))

# Once for each patient and content, whatever became of it: what was said no to does not come back with the next visit.
PROPOSE = sa.text("""
    with told as (
        select distinct on (m.patient_id, h.content_hash) m.patient_id, h.content_hash, m.external_id, m.insurance
        from ehr_appointments m cross join lateral (select md5(lower(m.insurance::text)) as content_hash) h
        where m.account_id = :account_id and m.insurance is not null and m.patient_id is not null
            and not m.deleted_in_ehr and m.span && tstzrange(:first, :last)
            and (:client_id is null or m.client_id = :client_id)
            and not exists (
                select from insurance_proposals p
                where p.patient_id = m.patient_id and p.content_hash = h.content_hash)
        order by m.patient_id, h.content_hash, lower(m.span) desc, m.external_id
    )
    insert into insurance_proposals (
        id, account_id, external_id, patient_id, payer_name, member_id, group_number, content_hash, payer_id,
        created_at)
    select gen_random_uuid(), :account_id, external_id, patient_id, insurance ->> 'payer_name',
        insurance ->> 'member_id', insurance ->> 'group_number', content_hash,
        (select min(p.id::text)::uuid from payers p
            where lower(btrim(p.name)) = lower(insurance ->> 'payer_name') having count(*) = 1),
        :now
    from told
    on conflict (patient_id, content_hash) do nothing
""").bindparams(sa.bindparam("client_id", type_=sa.Text))

# What somebody has accepted holds for the visits that come later too, the latest word first. A visit that somebody is
# changing at the moment is left to the next reading: nobody waits here for people or for other workers. It is applied
# again, since which instance of the service it is can be told once the payer is known.
TAKE_OVER = sa.text("""
    with whose as (
        select patient_id from ehr_appointments where account_id = :account_id and client_id = :client_id
        union
        select patient_id from insurance_proposals where :client_id is null and state = 'accepted'
    ), accepted as (
        select distinct on (p.patient_id) p.patient_id, p.payer_id,
            case when p.member_id is not null
                then jsonb_build_object('member_id', p.member_id, 'group_number', p.group_number) end as insurance
        from insurance_proposals p
        where p.state = 'accepted' and p.payer_id is not null and p.patient_id in (select patient_id from whose)
        order by p.patient_id, p.decided_at desc, p.id
    ), found as (
        select a.id, x.external_id, p.payer_id, p.insurance
        from accepted p
        join appointments a on a.patient_id = p.patient_id and a."start" > :now and a."start" >= :first
            and a."start" < :last
        join appointment_external_ids x on x.appointment_id = a.id and x.account_id = :account_id and x.is_current
        where a.payer_id is null and a.insurance is null and a.status in ('pending', 'scheduled', 'confirmed')
        for update of a, x skip locked
    ), reopened as (
        update appointment_external_ids x set applied_hash = null from found f
        where x.account_id = :account_id and x.external_id = f.external_id
    )
    update appointments a set payer_id = f.payer_id, insurance = f.insurance, updated_at = :now
    from found f where a.id = f.id
""").bindparams(sa.bindparam("client_id", type_=sa.Text))

# A visit was taken over without its provider or service because nobody had mapped them: look again once it is known.
REOPEN = sa.text(f"""
    update appointment_external_ids x set applied_hash = null
    from appointments a, ehr_appointments m
    where x.account_id = :account_id and m.account_id = :account_id and m.external_id = x.external_id
        and a.id = x.appointment_id and m.span && tstzrange(:first, :last)
        and ((a.provider_id is null and exists (
                select from {SEATS} s where s.system = {SYSTEM} and s.practitioner_id = m.practitioner_id
                having count(*) = 1 or bool_or(s.location_id = m.location_id)))
            or (a.service_id is null and m.ehr_service_id = any(:ehr_service_ids)))
""").bindparams(sa.bindparam("ehr_service_ids", type_=sa.ARRAY(sa.Text)))

UNKNOWN = sa.text("""
    select count(*) from ehr_appointments
    where account_id = :account_id and patient_id is null and not deleted_in_ehr and span && tstzrange(:first, :last)
""")

PATIENT_OF = sa.text("""
    select coalesce(a.patient_id, m.patient_id)
    from ehr_appointments m
    left join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id
    left join appointments a on a.id = x.appointment_id
    where m.account_id = :account_id and m.external_id = :external_id
""")
