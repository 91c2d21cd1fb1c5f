"""Nights of an athenahealth account: whose visits they are, what they cost, and what becomes of a reschedule."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range

from moonlit.db import tables as t
from moonlit.ehr.port import Lane, Move
from tests.fixtures_athena import (
    EASTERN_DEPARTMENT,
    NO_SHOW,
    OTHER_PATIENT,
    PATIENT,
    PROVIDER,
    REASON,
    make_appointment,
    make_athena_account,
    make_slot,
)
from tests.fixtures_athena_sync import HALF_HOUR, HOUR, NINE, AthenaNight, StartAthenaNight
from tests.fixtures_intakeq import make_account, make_visit
from tests.fixtures_sync import StartNight

DAY = timedelta(days=1)


@pytest.fixture
def night(start_athena_night: StartAthenaNight) -> AthenaNight:
    """Serve a visit of Dana's on Monday at nine, and two open slots after it."""
    slots = [make_slot(number, f"{8 + number:02}:00") for number in (1, 2, 3)]
    served = start_athena_night(make_athena_account(slots=slots))
    served.server.staff("book", appointmentid="1", patientid=PATIENT, reasonid=REASON)
    return served


def counts(summary: dict[str, object]) -> dict[str, int]:
    counted = summary["counts"]
    assert isinstance(counted, dict)
    return {name: count for name, count in counted.items() if count}


def ids(night: AthenaNight) -> dict[str, bool]:
    found = night.practice.rows("select external_id, is_current from appointment_external_ids")
    return {row["external_id"]: row["is_current"] for row in found}


def test_first_night_takes_over_the_visits_of_this_account_s_patients(night: AthenaNight) -> None:
    practice = night.practice
    dana = practice.patient(PATIENT)
    summary = night.run()
    assert (summary["state"], counts(summary)) == ("completed", {"new": 1})
    assert len(night.asked()) == 1
    visit = practice.visits()["1"]
    assert (visit["patient_id"], visit["provider_id"], visit["system"]) == (dana, practice.provider_id, "athena")
    assert (visit["start"], visit["end"], visit["status"]) == (NINE, NINE + HALF_HOUR, "confirmed")
    assert (visit["service_id"], visit["location_info"]["name"]) == (practice.service_id, "Harbor Street Clinic")
    assert practice.claims(visit["id"]) == {("person", False), ("patient", False)}


def test_second_night_asks_for_changes_alone(night: AthenaNight) -> None:
    night.practice.patient(PATIENT)
    night.run()
    night.server.staff("book", appointmentid="2", patientid=PATIENT, reasonid=REASON)
    night.server.staff("cancel", appointmentid="1", appointmentcancelreasonid=NO_SHOW)
    summary = night.run()
    assert counts(summary) == {"new": 1, "updated": 1}
    assert len(night.asked()) == 1
    assert summary["requestsUsed"] == len(night.asked()) + len(
        [request for request in night.server.requests() if request["path"].endswith("/open")]
    )
    assert {each: visit["status"] for each, visit in night.practice.visits().items()} == {
        "1": "no_show", "2": "confirmed",
    }  # fmt: skip
    assert counts(night.run()) == {"unchanged": 2}


def test_patient_found_by_address_and_birth_date_gets_this_system_s_number(night: AthenaNight) -> None:
    practice = night.practice
    practice.patient(None, email="dana.whitlock@example.org", intakeq_client_id="4821")
    night.run()
    assert practice.rows("select intakeq_client_id, athena_patient_id from patients") == [
        {"intakeq_client_id": "4821", "athena_patient_id": PATIENT}
    ]
    assert set(practice.visits()) == {"1"}


def test_one_number_in_two_systems_is_two_people(night: AthenaNight) -> None:
    other = night.practice.patient(None, intakeq_client_id=PATIENT, email="other@example.org")
    night.run()
    assert night.practice.visits() == {}
    assert night.practice.rows("select id from patients where athena_patient_id is not null") == []
    assert night.practice.rows("select last_practiceq_sync_at as at from patients where id = :id", id=other) == [
        {"at": None}
    ]


def test_practitioner_of_two_departments_gives_visits_under_the_provider_of_each(night: AthenaNight) -> None:
    practice = night.practice
    practice.patient(PATIENT)
    east = practice.provider(PROVIDER, EASTERN_DEPARTMENT)
    night.server.staff(
        "visit", patientid=PATIENT, providerid=PROVIDER, departmentid=EASTERN_DEPARTMENT, date="03/16/2027",
        starttime="09:00", appointmenttypeid="83", appointmentid="9",
    )  # fmt: skip
    night.run()
    assert {visit["provider_id"] for visit in practice.visits().values()} == {practice.provider_id, east}


def test_practitioner_in_a_department_that_tells_nothing_is_unknown_until_it_is_mapped(night: AthenaNight) -> None:
    practice = night.practice
    practice.patient(PATIENT)
    with practice.begin() as connection:
        connection.execute(sa.update(t.provider_athena_settings).values(department_id="8"))
    practice.provider(PROVIDER, "9")
    night.run()
    assert practice.visits()["1"]["provider_id"] is None
    found = practice.rows("select metadata from sync_logs where status = 'completed'")
    assert found[0]["metadata"]["unknownPractitionerVisits"] == 1
    assert counts(night.run()) == {"unchanged": 1}
    here = practice.provider(PROVIDER)
    assert counts(night.run()) == {"updated": 1}
    assert practice.visits()["1"]["provider_id"] == here


def test_person_of_several_seats_is_busy_even_where_the_provider_is_in_doubt(night: AthenaNight) -> None:
    practice = night.practice
    practice.patient(PATIENT)
    with practice.begin() as connection:
        connection.execute(sa.update(t.providers).values(person_key="ines"))
        connection.execute(sa.update(t.provider_athena_settings).values(department_id="8"))
    practice.provider(PROVIDER, "9", person_key="ines")
    night.run()
    visit = practice.visits()["1"]
    assert visit["provider_id"] is None
    assert practice.claims(visit["id"]) == {("person", False), ("patient", False)}


# ── Reschedules ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_reschedule_by_staff_keeps_the_visit_under_its_new_id(night: AthenaNight) -> None:
    practice = night.practice
    practice.patient(PATIENT)
    night.run()
    before = practice.visits()["1"]
    night.server.staff("move", appointmentid="1", newappointmentid="2")
    assert counts(night.run()) == {"updated": 1}
    assert ids(night) == {"1": False, "2": True}
    visit = practice.visits()["2"]
    assert (visit["id"], visit["start"], visit["status"]) == (before["id"], NINE + HOUR, "confirmed")
    assert visit["sequence"] == before["sequence"] + 1
    found = practice.rows("select distinct lower(span) as start from time_claims")
    assert [row["start"] for row in found] == [NINE + HOUR]
    assert counts(night.run()) == {"unchanged": 1}


def test_visit_that_staff_move_twice_and_cancel_ends_as_one_cancelled_visit(night: AthenaNight) -> None:
    practice = night.practice
    practice.patient(PATIENT)
    night.run()
    night.server.staff("move", appointmentid="1", newappointmentid="2")
    night.server.staff("move", appointmentid="2", newappointmentid="3")
    assert counts(night.run()) == {"updated": 1}
    assert ids(night) == {"1": False, "2": False, "3": True}
    night.server.staff("cancel", appointmentid="3")
    assert counts(night.run()) == {"updated": 1}
    assert {row["status"] for row in practice.rows("select status from appointments")} == {"cancelled"}


def test_visit_that_was_moved_before_the_first_night_is_one_visit(night: AthenaNight) -> None:
    night.practice.patient(PATIENT)
    night.server.staff("move", appointmentid="1", newappointmentid="2")
    assert counts(night.run()) == {"new": 1}
    assert ids(night) == {"2": True}
    assert counts(night.run()) == {"unchanged": 1}


def test_reschedule_of_ours_is_no_news_to_the_night(night: AthenaNight) -> None:
    practice = night.practice
    practice.patient(PATIENT)
    night.run()
    visit = practice.visits()["1"]
    moved = night.ehr.reschedule(Move("1", PATIENT, REASON, NINE + HOUR, "2"), Lane.BOOKING)
    with practice.begin() as connection:
        connection.execute(sa.update(t.appointment_external_ids).values(is_current=False))
        connection.execute(
            sa.insert(t.appointment_external_ids).values(
                account_id=practice.account_id, external_id=moved.external_id, appointment_id=visit["id"]
            )
        )
        columns = {"start": moved.starts_at, "end": moved.ends_at, "ehr_modified_at": moved.modified_at}
        connection.execute(sa.update(t.appointments).values(sequence=1, **columns))
    assert counts(night.run()) == {"unchanged": 1}
    assert ids(night) == {"1": False, "2": True}
    assert practice.rows("select status, sequence, start from appointments") == [
        {"status": "confirmed", "sequence": 1, "start": NINE + HOUR}
    ]


def test_visits_that_were_moved_do_not_pull_the_brake(start_athena_night: StartAthenaNight) -> None:
    numbers, times = range(1, 26), [f"{hour:02}:{minute}" for hour in range(8, 21) for minute in ("00", "30")]
    account = make_athena_account(
        appointments=[make_appointment(n, times[n]) for n in numbers],
        slots=[make_slot(100 + n, times[n], "03/16/2027") for n in numbers],
    )
    night = start_athena_night(account)
    night.practice.patient(PATIENT)
    night.run()
    for number in numbers:
        night.server.staff("move", appointmentid=str(number), newappointmentid=str(100 + number))
    summary = night.run()
    assert (summary["state"], counts(summary)) == ("completed", {"updated": 25})


def test_brake_stops_a_night_that_would_cancel_too_much(start_athena_night: StartAthenaNight) -> None:
    numbers, times = range(1, 26), [f"{hour:02}:{minute}" for hour in range(8, 21) for minute in ("00", "30")]
    appointments = [make_appointment(n, times[n]) for n in numbers]
    night = start_athena_night(make_athena_account(appointments=appointments))
    night.practice.patient(PATIENT)
    night.run()
    for number in numbers:
        night.server.staff("cancel", appointmentid=str(number))
    summary = night.run()
    assert (summary["state"], summary["error"]) == ("failed", "brake")
    assert {visit["status"] for visit in night.practice.visits().values()} == {"confirmed"}


# ── Beside IntakeQ ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_person_with_a_seat_in_each_system_is_busy_by_both_and_the_counts_stay_apart(
    night: AthenaNight, start_night: StartNight
) -> None:
    practice = night.practice
    with practice.begin() as connection:
        connection.execute(sa.update(t.providers).values(person_key="ines"))
    practice.patient(PATIENT, intakeq_client_id="4821")
    assert counts(night.run()) == {"new": 1}
    intakeq = start_night(make_account(appointments=[make_visit(1, NINE + HOUR)]))
    assert counts(intakeq.run()) == {"new": 1}
    found = practice.rows("select distinct resource_id from time_claims where resource_kind = 'person'")
    assert len(found) == 1
    assert counts(night.run()) == counts(intakeq.run()) == {"unchanged": 1}


def test_row_of_nobody_over_a_booking_opens_a_conflict(night: AthenaNight) -> None:
    practice = night.practice
    booked = practice.visit(practice.patient(OTHER_PATIENT), None, start=NINE, provider_id=practice.provider_id)
    practice.add(
        t.ehr_writes, account_id=practice.account_id, appointment_id=booked, kind="book", state="confirmed",
        starts_at=NINE, created_at=NINE, next_look_at=NINE,
    )  # fmt: skip
    person = practice.rows("select person_id from providers where id = :id", id=practice.provider_id)[0]["person_id"]
    practice.add(
        t.time_claims, resource_kind="person", resource_id=person, span=Range(NINE, NINE + HALF_HOUR),
        appointment_id=booked,
    )  # fmt: skip
    night.run()
    assert practice.rows("select appointment_id, external_id from schedule_conflicts") == [
        {"appointment_id": booked, "external_id": "1"}
    ]
