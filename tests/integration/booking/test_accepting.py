"""The first transaction of a booking: what it stores, what it refuses, and that a key means one visit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.booking import errors
from moonlit.booking.claims import lock
from moonlit.booking.keys import Keys
from moonlit.booking.wanted import Wanted
from moonlit.errors import MoonlitError, NotFound
from tests.fixtures_booking import EMIL, INES, NEW_PAYER, PAYER, TEN, Office, somebody, wanted
from tests.fixtures_intakeq import OTHER_PRACTITIONER, PRACTITIONER

HOUR = timedelta(hours=1)


def nothing_stored(office: Office) -> bool:
    tables = ("appointments", "time_claims", "idempotency_keys", "ehr_writes", "patients")
    return not any(office.rows(f"select 1 from {table}") for table in tables)


def test_a_booking_claims_the_time_of_the_provider_with_buffers_and_of_the_patient_without(office: Office) -> None:
    appointment_id = office.accept(wanted())
    claims = office.rows("select resource_kind, lower(span) s, upper(span) e, enforced from time_claims order by 1")
    assert [(c["resource_kind"], c["s"], c["e"], c["enforced"]) for c in claims] == [
        ("patient", TEN, TEN + HOUR, True),
        ("person", TEN, TEN + HOUR + timedelta(minutes=10), True),
    ]
    assert office.visit(appointment_id)["status"] == "pending"
    assert office.write(appointment_id)["state"] == "waiting"


@pytest.mark.parametrize(
    ("booking", "error"),
    [
        (wanted(TEN + timedelta(minutes=5)), errors.SlotNotOffered),  # Off the grid.
        (wanted(TEN + timedelta(microseconds=900_000)), errors.SlotNotOffered),  # Between two seconds.
        (wanted(TEN + 9 * HOUR), errors.SlotNotOffered),  # After hours.
        (wanted(TEN - 24 * HOUR), errors.SlotNotOffered),  # Past.
        (wanted(TEN + timedelta(days=70)), errors.SlotNotOffered),  # Beyond the horizon.
        (wanted(payer_id=NEW_PAYER), errors.PayerNotAccepted),
        (wanted(payer_id=uuid4()), NotFound),
        (wanted(service_id=uuid4()), NotFound),
        (wanted(provider_id=uuid4()), NotFound),
        (wanted(state="NV"), errors.ProviderNotEligible),
        (wanted(language="vi"), errors.ProviderNotEligible),
        (wanted(modality="in_person"), errors.ProviderNotEligible),
    ],
)
def test_what_a_rule_forbids_is_refused_and_nothing_is_stored(
    office: Office, booking: Wanted, error: type[MoonlitError]
) -> None:
    with pytest.raises(error):
        office.accept(booking)
    assert nothing_stored(office)


def test_a_taken_slot_is_refused_with_the_nearest_free_ones(office: Office) -> None:
    office.accept(wanted())
    with pytest.raises(errors.SlotTaken) as refused:
        office.accept(wanted(patient=somebody(1)))
    offered: Any = refused.value.extra["alternatives"]
    # The other provider still has the very slot; the wanted one is free again after the visit and its buffer.
    assert {
        "start": "2027-03-11T10:00:00-07:00",
        "end": "2027-03-11T11:00:00-07:00",
        "providerIds": [str(EMIL)],
    } in offered
    assert len(offered) == 8
    assert len(office.rows("select 1 from appointments")) == 1


def test_time_that_the_ehr_shows_as_taken_is_refused_whoever_took_it(office: Office) -> None:
    office.busy_in_mirror(PRACTITIONER, TEN + timedelta(minutes=60), 30)  # Only the buffer would touch it.
    with pytest.raises(errors.SlotTaken):
        office.accept(wanted())


def test_anyone_eligible_serves_who_has_least_to_do_that_day(office: Office) -> None:
    anyone = wanted(provider_id=None)
    first = office.accept(anyone)
    second = office.accept(replace(anyone, start=TEN + 2 * HOUR))
    third = office.accept(replace(anyone, start=TEN + 4 * HOUR))
    assert [office.visit(each)["provider_id"] for each in (first, second, third)] == [INES, EMIL, INES]


def test_when_one_provider_is_taken_the_next_serves(office: Office) -> None:
    office.busy_in_mirror(PRACTITIONER, TEN)
    assert office.visit(office.accept(wanted(provider_id=None)))["provider_id"] == EMIL
    with pytest.raises(errors.SlotTaken):
        office.accept(wanted(provider_id=None, patient=somebody(1)))


def test_the_same_key_means_the_same_visit_and_another_body_is_refused(office: Office) -> None:
    first = office.accept(wanted(), "key-1", "body")
    assert office.accept(wanted(), "key-1", "body") == first
    with pytest.raises(errors.IdempotencyKeyReused):
        office.accept(wanted(TEN + 2 * HOUR), "key-1", "other body")
    assert len(office.rows("select 1 from appointments")) == 1


def test_a_repetition_that_overtakes_is_no_overlap_of_the_patient_with_themselves(office: Office) -> None:
    anyone = wanted(provider_id=None)
    first = office.accept(anyone, "key-2", "body")
    # What the loser of two parallel repetitions sees: its first look at the key came too early.
    early = iter([None])
    seen = Keys.used
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keys, "used", lambda self, key, **but: next(early, seen(self, key, **but)))
        assert office.accept(anyone, "key-2", "body") == first


def test_a_lock_that_is_not_had_in_time_is_a_taken_slot(office: Office, database_url: str) -> None:
    office.execute("set lock_timeout = '50ms'")  # Of the session; the functions' role has seconds.
    rival = sa.create_engine(database_url)
    try:
        with rival.begin() as connection:
            lock(connection, [INES])
            with pytest.raises(errors.SlotTaken):
                office.accept(wanted())
    finally:
        rival.dispose()
    assert nothing_stored(office)


def test_a_patient_cannot_be_in_two_places(office: Office) -> None:
    office.accept(wanted())
    with pytest.raises(errors.PatientOverlap):
        office.accept(wanted(TEN + timedelta(minutes=30), provider_id=EMIL))
    # Back to back is fine: the buffer is the provider's work.
    office.accept(wanted(TEN + HOUR, provider_id=EMIL))


def test_a_form_links_only_when_name_birth_date_and_an_address_agree(office: Office) -> None:
    first = office.visit(office.accept(wanted()))["patient_id"]
    form = wanted().patient
    same = replace(form, first_name=" dana ", email="DANA.whitlock@example.org", phone="+1 (801) 555-0199")
    by_phone = replace(form, email="elsewhere@example.org", phone="+1 801 555 0142")
    twin = replace(form, first_name="Dara")
    younger = replace(form, date_of_birth=date(1999, 1, 1))
    stranger = replace(form, email="elsewhere@example.org", phone="8015550111")
    linked = []
    for number, other in enumerate((same, by_phone, twin, younger, stranger), start=1):
        start = TEN + timedelta(days=1, hours=-1) + number * timedelta(minutes=75)
        linked.append(office.visit(office.accept(wanted(start, patient=other)))["patient_id"] == first)
    assert linked == [True, True, False, False, False]
    assert office.rows("select email, phone from patients where id = :id", id=first) == [
        {"email": "dana.whitlock@example.org", "phone": "8015550142"}
    ]


def test_a_co_visit_claims_the_attending_too_and_needs_both_to_be_free(office: Office) -> None:
    office.execute("delete from provider_payer_networks where provider_id = :id", id=INES)
    office.execute(
        "insert into supervision_relationships (id, resident_id, attending_id, level, effective_date)"
        " values (:id, :ines, :emil, 'co_visit_required', '2026-01-01')",
        id=uuid4(), ines=INES, emil=EMIL,
    )  # fmt: skip
    visit = office.visit(office.accept(wanted()))
    assert visit["rendering_provider_id"] == EMIL
    persons = office.rows("select resource_id from time_claims where resource_kind = 'person'")
    assert {row["resource_id"] for row in persons} == {INES, EMIL}
    office.busy_in_mirror(OTHER_PRACTITIONER, TEN + 3 * HOUR)
    with pytest.raises(errors.SlotTaken):
        office.accept(wanted(TEN + 3 * HOUR, patient=somebody(1)))


def test_one_human_under_two_ids_is_in_one_place(office: Office) -> None:
    office.execute("update providers set person_key = 'ines-and-emil'")
    office.accept(wanted())
    with pytest.raises(errors.SlotTaken):
        office.accept(wanted(provider_id=EMIL, patient=somebody(1)))


def test_the_daily_cap_counts_bookings_and_what_only_the_ehr_knows(office: Office) -> None:
    office.execute("update providers set max_daily_appointments = 2 where id = :id", id=INES)
    office.busy_in_mirror(PRACTITIONER, TEN - HOUR)
    office.accept(wanted())
    with pytest.raises(errors.SlotTaken):
        office.accept(wanted(TEN + 4 * HOUR, patient=somebody(1)))
    office.accept(wanted(TEN + timedelta(days=1), patient=somebody(2)))  # Another day, another count.


def test_an_expired_hold_gives_way_and_a_live_one_does_not(office: Office) -> None:
    hold = uuid4()
    now = office.clock.now()
    office.execute(
        'insert into appointment_holds (id, provider_id, service_id, payer_id, start, "end", expires_at, created_at)'
        " values (:id, :ines, :service, :payer, :start, :end, :expires, :now)",
        id=hold, ines=INES, service=wanted().service_id, payer=PAYER, start=TEN, end=TEN + HOUR,
        expires=now + timedelta(minutes=10), now=now,
    )  # fmt: skip
    office.execute(
        "insert into time_claims (id, resource_kind, resource_id, span, hold_id)"
        " values (:id, 'person', :ines, tstzrange(:start, :end), :hold)",
        id=uuid4(), ines=INES, start=TEN, end=TEN + HOUR, hold=hold,
    )  # fmt: skip
    with pytest.raises(errors.SlotTaken):
        office.accept(wanted())
    office.clock.advance(minutes=10)
    office.accept(wanted())
    assert office.rows("select 1 from appointment_holds") == []


def test_a_service_that_needs_a_room_takes_one_and_is_refused_without(office: Office) -> None:
    location, room = uuid4(), uuid4()
    office.execute("update services set room_required = true")
    with pytest.raises(errors.RoomTaken):
        office.accept(wanted())
    office.execute(
        "insert into locations (id, name, timezone, pos_code) values (:id, 'Main Street', 'America/Denver', '11')",
        id=location,
    )
    office.execute(
        "insert into rooms (id, location_id, room_number, room_name, capacity) values (:id, :at, '1', 'Blue', 2)",
        id=room, at=location,
    )  # fmt: skip
    assert office.visit(office.accept(wanted()))["room_id"] == room
    with pytest.raises(errors.RoomTaken):
        office.accept(wanted(provider_id=EMIL, patient=somebody(1)))


def test_ids_in_errors_are_never_people(office: Office) -> None:
    office.accept(wanted())
    with pytest.raises(errors.SlotTaken) as refused:
        office.accept(wanted(patient=somebody(1)))
    assert "Pat" not in f"{refused.value} {refused.value.extra}"
    assert isinstance(UUID(str(INES)), UUID)
