"""The least that a booking has to write: locks, rows and the second transaction's updates, straight to the driver."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from bench.history import patient_id
from bench.practice import EHR_SERVICE, INSTANCE, NOW, PAYER, SERVICE, practitioner_id

_LOCK = """
select pg_advisory_xact_lock(k)
from (select hashtextextended(x::text, 0) k from unnest(cast(%s as uuid[])) x order by 1) s
"""
_PATIENT = """
insert into patients (id, first_name, last_name, email, phone, date_of_birth, state)
values (%s, 'Bare', 'Lund', 'bare@example.org', '8015550142', '1988-05-23', 'UT')
"""
_APPOINTMENT = """
insert into appointments (id, patient_id, provider_id, payer_id, service_id, service_instance_id, "start", "end",
                          status, modality, system, billing, consents, created_at, updated_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, 'pending', 'telehealth', 'intakeq',
        '[{"code": "90791", "units": 1, "rate": "180.00", "total": "180.00"}]', '{"email": true, "sms": false}', %s, %s)
"""
_CLAIMS = """
insert into time_claims (id, resource_kind, resource_id, span, appointment_id)
values (%s, 'person', %s, tstzrange(%s, %s), %s), (%s, 'patient', %s, tstzrange(%s, %s), %s)
"""
_WRITE = """
insert into ehr_writes (id, account_id, appointment_id, kind, state, practitioner_id, client_id, ehr_service_id,
                        starts_at, created_at, next_look_at)
select %s, id, %s, 'book', 'waiting', %s, 'c1', %s, %s, %s, %s from ehr_accounts
"""
_KEY = "insert into idempotency_keys (key, body_hash, appointment_id, created_at) values (%s, %s, %s, %s)"
_CONFIRMED = "update appointments set status = 'confirmed', updated_at = %s where id = %s"
_EXTERNAL_ID = """
insert into appointment_external_ids (account_id, external_id, appointment_id)
select id, %s, %s from ehr_accounts
"""
_WRITTEN = "update ehr_writes set state = 'confirmed', external_id = %s, finished_at = %s where id = %s"


def bare_booking(driver: Any, person: UUID, start: datetime, patient: int | None) -> None:
    """Write a booking of the person's time.

    Args:
        driver: A connection of pg8000 without a transaction.
        person: The provider, who is the person.
        start: A free start.
        patient: The number of a patient without visits; None for one who has to be stored too.
    """
    cursor, end = driver.cursor(), start + timedelta(hours=1)
    appointment_id, write_id, external_id = uuid4(), uuid4(), uuid4().hex
    visitor = patient_id(patient) if patient else uuid4()
    resources = f"{{{person},{visitor}}}"
    cursor.execute(_LOCK, (resources,))
    if patient is None:
        cursor.execute(_PATIENT, (visitor,))
    visit = (appointment_id, visitor, person, PAYER, SERVICE, INSTANCE, start, end, NOW, NOW)
    cursor.execute(_APPOINTMENT, visit)
    claims = (uuid4(), person, start, end, appointment_id, uuid4(), visitor, start, end, appointment_id)
    cursor.execute(_CLAIMS, claims)
    practitioner = practitioner_id(0)
    cursor.execute(_WRITE, (write_id, appointment_id, practitioner, EHR_SERVICE, start, NOW, NOW))
    cursor.execute(_KEY, (uuid4().hex, uuid4().hex * 2, appointment_id, NOW))
    driver.commit()
    cursor.execute(_LOCK, (resources,))
    cursor.execute(_CONFIRMED, (NOW, appointment_id))
    cursor.execute(_EXTERNAL_ID, (external_id, appointment_id))
    cursor.execute(_WRITTEN, (external_id, NOW, write_id))
    driver.commit()
