"""The statements of the availability store.

PostgreSQL aggregates and Python parses one text: reading instants row by row through the driver costs 18 µs a row,
and a month of a practice has ten thousand.
"""

from __future__ import annotations

import sqlalchemy as sa

# Keyed by the system whose calendar it is; `practiceq` is `intakeq` since the loader. Open slots that are to be read
# again at once are still as old as they are; when the last of them was taken, they were known until then.
FACTS = sa.text("""
select json_build_object(
  'practice', (select json_build_object('timezone', timezone, 'settings', settings)
               from practice_settings),
  'payer', (select json_build_object('id', id, 'name', name, 'type', type, 'status_code', status_code)
            from payers where id = :payer_id),
  'service', (select row_to_json(s) from services s where s.id = :service_id and s.is_active),
  'contracts', (select coalesce(json_agg(json_build_array(provider_id, effective_date, end_date)), '[]')
                from provider_payer_networks
                where payer_id = :payer_id and status = 'active' and effective_date is not null),
  'supervision', (select coalesce(json_agg(json_build_array(
                           resident_id, attending_id, level = 'co_visit_required', effective_date, end_date)), '[]')
                  from supervision_relationships where payer_id is null or payer_id = :payer_id),
  'accounts', (select coalesce(json_object_agg(system, json_build_array(window_last, extract(epoch from coalesce(
                        slots_read_at,
                        (select min(read_at) from ehr_open_slots o where o.account_id = a.id),
                        (select max(created_at) from ehr_writes w where w.account_id = a.id and w.slot_id is not null)
                      )))), '{}')
               from ehr_accounts a),
  'providers', (select coalesce(json_agg(json_build_array(
                         p.id, p.name, p.person_id, p.license_states, p.native_langs, p.interpreter_ok, p.active,
                         p.accepting_new_patients, p.max_daily_appointments, p.timezone, p.ehr_system,
                         array(select distinct modality from provider_hours h where h.provider_id = p.id),
                         m.external_id, m.service_instance_id)
                       order by p.id), '[]')
                from providers p
                left join lateral (
                  select x.external_id, x.service_instance_id
                  from service_instances i
                  join service_instance_integrations x on x.service_instance_id = i.id and x.system = p.ehr_system
                  where (:service_id is null or i.service_id = :service_id)
                    and i.payer_id = :payer_id and i.retired_at is null
                  order by i.id limit 1) m on true)
)::text
""").bindparams(sa.bindparam("payer_id", type_=sa.UUID), sa.bindparam("service_id", type_=sa.UUID))

HOURS = sa.text("""
select json_build_object(
  'hours', (select coalesce(json_agg(json_build_array(
                     provider_id, weekday, "start", "end", timezone, valid_from, valid_to)), '[]')
            from provider_hours
            where provider_id = any(:provider_ids) and modality = :modality
              and (:location_id is null or location_id = :location_id)),
  'time_off', (select coalesce(json_agg(json_build_array(
                        p.id, extract(epoch from o."start")::bigint, extract(epoch from o."end")::bigint)), '[]')
               from provider_time_off o
               join providers colleague on colleague.id = o.provider_id
               join providers p on p.person_id = colleague.person_id
               where p.id = any(:provider_ids) and o."end" > :start and o."start" < :end)
)::text
""").bindparams(sa.bindparam("provider_ids", type_=sa.ARRAY(sa.UUID)), sa.bindparam("location_id", type_=sa.UUID))

# Where in the EHRs people's calendars are. The systems are joined one by one: otherwise the planner would take the
# seats for a single one, and read the calendar again for each of them.
_SEATS = """
  select e.id account_id, s.practitioner_id, p.person_id from providers p
  join provider_intakeq_settings s on s.provider_id = p.id join ehr_accounts e on e.system = 'intakeq'
  union
  select e.id, s.athena_provider_id, p.person_id from providers p
  join provider_athena_settings s on s.provider_id = p.id join ehr_accounts e on e.system = 'athena'
"""

_FOREIGN = """
  (c.hold_id is null or h.expires_at > :now)
    and (:hold_id is null or c.hold_id is distinct from :hold_id)
    and (:appointment_id is null or c.appointment_id is distinct from :appointment_id)
"""

# Every claim on the persons' time, and every active row of the EHR's calendar, matched or not, over all their ids; but
# not the caller's own hold and visit, nor holds that ran out. What we change in the EHR, its calendar shows as it was,
# until the row is seen again: a visit that is cancelled here is not there any more, one that is being moved claims all
# the time that it may end up in, and one that has got another id claims its time under that.
_BUSY = f"""
with seats as ({_SEATS})
select person_id, {{columns}} from (
  select c.resource_id person_id, c.span, coalesce(a.start, h.start) starts_at,
         coalesce(c.appointment_id, c.hold_id)::text visit
  from time_claims c
  left join appointment_holds h on h.id = c.hold_id left join appointments a on a.id = c.appointment_id
  where c.resource_kind = 'person' and c.resource_id = any(:person_ids) and c.span && tstzrange(:start, :end)
    and {_FOREIGN}
  union all
  select seats.person_id, m.span, lower(m.span), m.external_id
  from ehr_appointments m
  join seats on seats.account_id = m.account_id and seats.practitioner_id = m.practitioner_id
    and seats.person_id = any(:person_ids)
  left join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id
  where m.span && tstzrange(:start, :end) and m.status in ('scheduled', 'confirmed') and not m.deleted_in_ehr
    and (:appointment_id is null or x.appointment_id is distinct from :appointment_id)
    and (x.is_current is not false or exists (  -- The EHR kept a visit where it was moved from.
      select from ehr_writes w where w.account_id = m.account_id and w.external_id = m.external_id
        and w.kind = 'cancel' and w.state = 'failed'))
    and not exists (
      select from ehr_writes w
      where w.appointment_id = x.appointment_id and w.kind in ('cancel', 'reschedule')
        and coalesce(w.external_id, m.external_id) = m.external_id
        and (w.state in ('waiting', 'sending', 'unknown') or (w.state = 'confirmed' and w.finished_at > m.seen_at)))
    {{unmatched}}
) busy group by {{groups}}
"""
_OWN = (sa.bindparam("hold_id", type_=sa.UUID), sa.bindparam("appointment_id", type_=sa.UUID))
_RANGE = (
    sa.bindparam("start", type_=sa.DateTime(timezone=True)),
    sa.bindparam("end", type_=sa.DateTime(timezone=True)),
)
_PERSONS = (sa.bindparam("person_ids", type_=sa.ARRAY(sa.UUID)), *_OWN, *_RANGE)
_SPAN = "extract(epoch from lower(span))::bigint || ' ' || extract(epoch from upper(span))::bigint"
BUSY_SPANS = sa.text(
    _BUSY.format(columns=f"string_agg({_SPAN}, ' ')", unmatched="", groups="person_id")
).bindparams(*_PERSONS)  # fmt: skip
VISITS_A_DAY = sa.text(
    _BUSY.format(
        columns="(starts_at at time zone :zone)::date as day, count(distinct visit)",
        unmatched="and x.appointment_id is null",  # A matched one is counted by its claim, a moving one has two.
        groups="person_id, day",
    )
).bindparams(*_PERSONS)

_SLOTS = """
from providers p
join provider_athena_settings s on s.provider_id = p.id
join ehr_accounts e on e.system = p.ehr_system
join ehr_open_slots o on o.account_id = e.id and o.practitioner_id = s.athena_provider_id
  and o.department_id = s.department_id
"""
OPEN_SLOTS = sa.text(f"""
select p.id, string_agg({_SPAN} || ' ' || (o.reason_ids && :reason_ids)::integer, ' ') {_SLOTS}
where p.id = any(:provider_ids) and o.span && tstzrange(:start, :end) and o.read_at > :oldest
  and (:location_id is null
       or o.department_id = (select athena_department_id from locations where id = :location_id))
group by p.id
""").bindparams(
    sa.bindparam("provider_ids", type_=sa.ARRAY(sa.UUID)),
    sa.bindparam("location_id", type_=sa.UUID),
    sa.bindparam("reason_ids", type_=sa.ARRAY(sa.Text)),
    *_RANGE,
)

# The slot that is nearest to what is needed; where nobody says how much that is, the longest.
OPEN_SLOT_AT = sa.text(f"""
select o.external_id {_SLOTS}
where p.id = :provider_id and lower(o.span) = :start and o.reason_ids && :reason_ids
  and upper(o.span) - lower(o.span) >= :length
order by abs(extract(epoch from upper(o.span) - lower(o.span) - coalesce(nullif(:length, interval '0'), '1 day'))),
  o.external_id
limit 1
""").bindparams(
    sa.bindparam("provider_id", type_=sa.UUID),
    sa.bindparam("reason_ids", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("start", type_=sa.DateTime(timezone=True)),
    sa.bindparam("length", type_=sa.Interval),
)

ROOMS = sa.text(f"""
select coalesce(string_agg({_SPAN}, ' '), '')
from rooms r
left join (
  select c.resource_id, c.span from time_claims c left join appointment_holds h on h.id = c.hold_id
  where c.resource_kind = 'room' and c.span && tstzrange(:start, :end) and {_FOREIGN}
) taken on taken.resource_id = r.id
where r.is_active and (:location_id is null or r.location_id = :location_id)
group by r.id
""").bindparams(sa.bindparam("location_id", type_=sa.UUID), *_OWN, *_RANGE)
