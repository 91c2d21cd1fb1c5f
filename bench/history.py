"""Years of visits for a practice of fifty providers, made by the database itself.

Whatever is stored in all, the same visits lie in the thirty days that are asked for: everything else is the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from hashlib import md5
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

DENVER = ZoneInfo("America/Denver")
FIRST_DAY = date(2027, 3, 1)  # A Monday; the clocks go forward on the second Sunday after it.
LAST_DAY = FIRST_DAY + timedelta(days=29)
VISITS_IN_WINDOW = 9_300
IDLE_PATIENTS = 1_000  # The first ones have no visits, so that they can book anything.
_WEEKDAYS_IN_WINDOW = 22
_VISITS_A_DAY = 400  # Of fifty providers, at least.

# A provider sees eight or nine people on a weekday, half an hour each, between 08:00 and 19:00: five is prime to the
# 22 half hours, so no two of them fall together. Of five visits one is of somebody unknown here, and of the others
# one in ten was booked here.
_VISITS = sa.text("""
create temporary table visit on commit drop as
select n, md5('visit' || n)::uuid as id, lpad(to_hex(n), 24, '0') as external_id,
       md5('patient' || 1 + :idle + mod(n, :busy))::uuid as patient_id,
       provider_id, person_id, practitioner_id, starts_at, starts_at + interval '30 minutes' as ends_at,
       mod(n, 5) > 0 as is_known, mod(n, 10) = 1 as is_ours
from (
  select row_number() over (order by d, p.number, k) as n, p.*,
         (:first + case when d < :weekdays then d / 5 * 7 + mod(d, 5)
                        else mod(d - :weekdays, 5) - 7 * ((d - :weekdays) / 5 + 1) end
          + time '08:00' + mod(k * 5 + p.number * 7 + d * 3, 22) * interval '30 minutes') at time zone :zone starts_at
  from generate_series(0, :days) d
  cross join (select row_number() over (order by id)::integer - 1 as number, id as provider_id, person_id,
                     s.practitioner_id
              from providers join provider_intakeq_settings s on s.provider_id = id) p
  cross join generate_series(0, 8) k
  where k < 8 or mod(p.number + d, 11) < 5
  order by n limit :stored
) visits
""").bindparams(sa.bindparam("first", type_=sa.Date))

_MIRROR = """
insert into ehr_appointments (account_id, external_id, client_id, client_email, patient_id, practitioner_id,
                              ehr_service_id, span, status, location_name, place_of_service, modified_at, content_hash,
                              raw, seen_at)
select account.id, external_id, 'c' || mod(n, 20000), 'c' || mod(n, 20000) || '@example.org',
       case when is_known then patient_id end, practitioner_id, 's1', tstzrange(starts_at, ends_at), 'confirmed',
       'Telehealth', '10', starts_at - interval '30 days', md5('content' || n),
       jsonb_build_object('Id', external_id, 'Status', 'Confirmed', 'PractitionerId', practitioner_id,
                          'StartDateIso', starts_at, 'EndDateIso', ends_at, 'LocationName', 'Telehealth',
                          'PlaceOfService', '10', 'CustomFields', '[]'::jsonb),
       starts_at - interval '1 day'
from visit, (select id from ehr_accounts) account
"""
_APPOINTMENTS = """
insert into appointments (id, patient_id, provider_id, "start", "end", status, modality, system, created_at, updated_at)
select id, patient_id, provider_id, starts_at, ends_at, 'confirmed', 'telehealth', 'intakeq', starts_at, starts_at
from visit where is_known
"""
_EXTERNAL_IDS = """
insert into appointment_external_ids (account_id, external_id, appointment_id, applied_hash)
select account.id, external_id, visit.id, md5('content' || n)
from visit, (select id from ehr_accounts) account where is_known
"""
_CLAIMS = """
insert into time_claims (id, resource_kind, resource_id, span, appointment_id, enforced)
select gen_random_uuid(), kind, resource_id, tstzrange(starts_at, ends_at), id, is_ours
from visit, lateral (values ('person', person_id), ('patient', patient_id)) as resource (kind, resource_id)
where is_known
"""

_INDEXES = """
select case when k.conname is null then 'drop index ' || i.indexname
            else 'alter table ' || i.tablename || ' drop constraint ' || k.conname end,
       case when k.conname is null then i.indexdef
            else 'alter table ' || i.tablename || ' add constraint ' || k.conname || ' '
                 || pg_get_constraintdef(k.oid) end
from pg_indexes i left join pg_constraint k on k.conname = i.indexname
where i.schemaname = 'public' and position('UNIQUE' in i.indexdef) = 0
"""
_FILLED = """
select string_agg(oid::regclass::text, ', ') from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace and pg_relation_size(oid) > 0
"""


def patient_id(number: int) -> UUID:
    """Return the id of the patient with this number, from 1."""
    return UUID(md5(f"patient{number}".encode(), usedforsecurity=False).hexdigest())


def add_patients(connection: sa.Connection, count: int) -> None:
    """Store patients whom the EHR knows as clients `c1`, `c2` and so on."""
    connection.execute(
        sa.text("""
            insert into patients (id, first_name, last_name, email, phone, date_of_birth, state, intakeq_client_id)
            select md5('patient' || n)::uuid, 'Pat' || n, 'Lund', 'c' || n || '@example.org', '8015550142',
                   date '1950-01-01' + n, 'UT', 'c' || n
            from generate_series(1, :count) n
        """),
        {"count": count},
    )


def add_history(connection: sa.Connection, stored: int) -> None:
    """Store `stored` visits, `VISITS_IN_WINDOW` of them in the window, as a sync would have left them."""
    connection.exec_driver_sql("set local session_replication_role = replica")  # References hold by construction.
    days = _WEEKDAYS_IN_WINDOW + stored // _VISITS_A_DAY
    patients = connection.exec_driver_sql("select count(*) from patients").scalar_one()
    connection.execute(
        _VISITS,
        {
            "first": FIRST_DAY,
            "weekdays": _WEEKDAYS_IN_WINDOW,
            "days": days,
            "stored": stored,
            "idle": IDLE_PATIENTS,
            "busy": patients - IDLE_PATIENTS,
            "zone": DENVER.key,
        },
    )
    with _indexes_built_last(connection):
        for statement in (_MIRROR, _APPOINTMENTS, _EXTERNAL_IDS, _CLAIMS):
            connection.exec_driver_sql(statement)


@contextmanager
def _indexes_built_last(connection: sa.Connection) -> Iterator[None]:
    """Take the overlap constraint and the plain indexes away meanwhile: built in one go they cost far less."""
    found = connection.exec_driver_sql(_INDEXES).all()
    for drop, _ in found:
        connection.exec_driver_sql(drop)
    yield
    for _, create in found:
        connection.exec_driver_sql(create)


def tidy(url: str) -> None:
    """Do now what autovacuum would do during the measurement, on the tables that hold something.

    An empty table that was vacuumed is planned for as if it stayed empty; a practice's first night does not begin so.
    """
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"vacuum (freeze, analyze) {connection.exec_driver_sql(_FILLED).scalar_one()}")
    engine.dispose()
