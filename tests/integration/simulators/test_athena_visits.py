"""Booking, cancelling, rescheduling and reading appointments."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.fixtures_athena import (
    CANCELLED,
    DEPARTMENT,
    EASTERN_DEPARTMENT,
    FOLLOW_UP,
    LONG_REASON,
    NEW_PATIENT,
    NO_SHOW,
    OFFICE_VISIT,
    OTHER_PATIENT,
    OTHER_PROVIDER,
    PATIENT,
    PROVIDER,
    REASON,
    SUPERVISOR,
    AthenaServer,
    make_appointment,
    make_patient,
    make_slot,
)
from tests.fixtures_intakeq import MovableClock
from tests.integration.simulators.conftest import ServeAthena

BOOKING = {"patientid": PATIENT, "reasonid": REASON}
TAKEN = "That appointment time was already booked or not available for booking."
MARCH = {"startdate": "03/01/2027", "enddate": "03/31/2027"}


def open_ids(server: AthenaServer) -> list[str]:
    return [row["appointmentid"] for row in server.state()["appointments"] if row["isOpen"]]


def booked_ids(api: httpx.Client, **query: str) -> list[str]:
    answer = api.get("appointments/booked", params=MARCH | query)
    assert answer.status_code == 200
    return [row["appointmentid"] for row in answer.json()["appointments"]]


def test_a_booking_answers_an_array_of_one_with_text_and_numbers_for_ids(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1)])
    note = {"bookingnote": "Prefers mornings", "donotsendconfirmationemail": "true", "insuranceinfo": "none"}
    (row,) = api.put("appointments/1", data=BOOKING | note).json()
    assert (row["appointmentid"], row["patientid"], row["providerid"], row["departmentid"]) == (
        "1", PATIENT, PROVIDER, DEPARTMENT)  # fmt: skip
    assert (row["appointmentstatus"], row["date"], row["starttime"], row["duration"]) == (
        "f", "03/15/2027", "09:00", "30")  # fmt: skip
    assert (row["renderingproviderid"], row["appointmenttypeid"]) == (71, OFFICE_VISIT)
    assert (row["scheduledby"], row["lastmodifiedby"]) == ("API-10001", "API-10001")
    assert row["lastmodified"] == "03/10/2027 14:00:00"  # Noon in Denver, told in Eastern time.
    assert server.appointment(1)["options"] == note
    assert api.get("appointments/1").json() == [row]


@pytest.mark.parametrize(
    ("form", "status", "told"),
    [
        ({"reasonid": REASON}, 400, {"missingfields": ["patientid"]}),
        ({"patientid": PATIENT}, 400, {"missingfields": ["reasonid"]}),
        (BOOKING | {"appointmenttypeid": OFFICE_VISIT}, 400, {"invalidfields": ["reasonid"]}),
        (BOOKING | {"reasonid": "1"}, 400, {"invalidfields": ["reasonid"]}),
        (BOOKING | {"reasonid": "-1"}, 400, {"invalidfields": ["reasonid"]}),
        ({"patientid": PATIENT, "appointmenttypeid": "1"}, 400, {"invalidfields": ["appointmenttypeid"]}),
        (BOOKING | {"patientid": "1"}, 404, {}),
        (BOOKING | {"patientid": "50343"}, 400, {"invalidfields": ["patientid"]}),
    ],
)
def test_a_booking_that_breaks_a_rule_is_refused(
    athena: ServeAthena, form: dict[str, str], status: int, told: dict[str, Any]
) -> None:
    gone = make_patient("50343", status="deleted")
    server, api = athena(slots=[make_slot(1)], patients=[make_patient(), gone])
    answer = api.put("appointments/1", data=form)
    assert answer.status_code == status
    assert answer.json().items() >= told.items()
    assert answer.json()["error"]
    assert server.appointment(1)["appointmentstatus"] == "o"


@pytest.mark.parametrize(
    ("slot", "form", "status"),
    [
        (make_slot(1, frozen=True), {}, 409),
        (make_slot(1, schedulable=False), {}, 409),
        (make_slot(1, schedulable=False), {"ignoreschedulablepermission": "true"}, 200),
        (make_slot(1, reasonids=[LONG_REASON]), {}, 409),
        (make_slot(1, appointmenttypeid=FOLLOW_UP), {}, 409),
        (make_slot(1, appointmenttypeid=OFFICE_VISIT), {}, 200),
        (make_slot(1, appointmenttypeid=NEW_PATIENT), {"reasonid": "", "appointmenttypeid": OFFICE_VISIT}, 409),
        (make_slot(1), {"reasonid": LONG_REASON}, 409),
        (make_slot(1, reasonids=[LONG_REASON], appointmenttypeid=OFFICE_VISIT), {"reasonid": LONG_REASON}, 409),
    ],
)
def test_a_slot_that_cannot_be_had_is_a_conflict(
    athena: ServeAthena, slot: dict[str, Any], form: dict[str, str], status: int
) -> None:
    _, api = athena(slots=[slot])
    answer = api.put("appointments/1", data=BOOKING | form)
    assert answer.status_code == status
    if status == 409:
        assert answer.json()["error"] == TAKEN


def test_of_many_who_want_a_slot_one_gets_it(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1)])

    async def race() -> list[int]:
        async with httpx.AsyncClient(base_url=server.api_url, headers=api.headers, trust_env=False) as many:
            answers = await asyncio.gather(*(many.put("appointments/1", data=BOOKING) for _ in range(10)))
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(race()) == [200] + [409] * 9


def test_an_unknown_appointment_is_not_found(athena: ServeAthena) -> None:
    _, api = athena()
    answers = [api.get("appointments/9"), api.put("appointments/9", data=BOOKING),
               api.put("appointments/9/cancel", data=BOOKING)]  # fmt: skip
    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_a_long_visit_uses_up_the_next_generic_slots_and_gives_them_back(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1), make_slot(2, "09:30"), make_slot(3, "10:00")])
    (row,) = api.put("appointments/1", data=BOOKING | {"reasonid": LONG_REASON}).json()
    assert (row["duration"], row["appointmenttypeid"]) == ("60", NEW_PATIENT)
    assert open_ids(server) == ["3"]
    assert api.get("appointments/2").status_code == 404
    assert api.put("appointments/2", data=BOOKING).status_code == 404
    api.put("appointments/1/cancel", data={"patientid": PATIENT})
    assert {(r["starttime"], r["duration"]) for r in server.state()["appointments"] if r["isOpen"]} == {
        ("09:00", "30"), ("09:30", "30"), ("10:00", "30")}  # fmt: skip


@pytest.mark.parametrize(
    "second",
    [
        make_slot(2, "09:35"),
        make_slot(2, "09:30", providerid=OTHER_PROVIDER),
        make_slot(2, "09:30", departmentid=EASTERN_DEPARTMENT),
        make_slot(2, "09:30", frozen=True),
        make_slot(2, "09:30", appointmenttypeid=OFFICE_VISIT),
    ],
)
def test_a_long_visit_does_not_fit_beside_a_gap(athena: ServeAthena, second: dict[str, Any]) -> None:
    server, api = athena(slots=[make_slot(1), second])
    assert api.put("appointments/1", data=BOOKING | {"reasonid": LONG_REASON}).status_code == 409
    assert open_ids(server) == ["1", "2"]


def test_the_cancelled_id_stays_and_its_time_opens_under_another(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1)])
    api.put("appointments/1", data=BOOKING)
    assert api.put("appointments/1/cancel", data={"patientid": PATIENT}).json() == {"status": "x"}
    (row,) = api.get("appointments/1").json()
    assert (row["appointmentstatus"], row["cancelreasonid"], row["cancelreasonname"]) == (
        "x", "-5", "CANCELLED FROM API")  # fmt: skip
    assert (row["cancelreasonslotavailable"], row["cancelreasonnoshow"]) == ("true", False)
    (fresh,) = open_ids(server)
    assert fresh != "1"
    assert server.appointment(fresh)["starttime"] == "09:00"
    assert api.put("appointments/1", data=BOOKING).status_code == 409
    assert api.put(f"appointments/{fresh}", data=BOOKING).status_code == 200


@pytest.mark.parametrize(("reason", "reopens"), [(CANCELLED, True), (NO_SHOW, False)])
def test_the_reason_decides_whether_the_slot_reopens(athena: ServeAthena, reason: str, *, reopens: bool) -> None:
    server, api = athena(slots=[make_slot(1), make_slot(2, "09:30")])
    api.put("appointments/1", data=BOOKING | {"reasonid": LONG_REASON})
    form = {"patientid": PATIENT, "appointmentcancelreasonid": reason, "cancellationreason": "ill"}
    assert api.put("appointments/1/cancel", data=form).status_code == 200
    assert len(open_ids(server)) == (2 if reopens else 0)
    assert server.appointment(1)["cancellationreason"] == "ill"


@pytest.mark.parametrize(
    ("appointment", "form"),
    [
        (1, {"patientid": OTHER_PATIENT}),
        (1, {}),
        (1, {"patientid": PATIENT, "appointmentcancelreasonid": "99"}),
        (2, {"patientid": PATIENT}),
        (3, {"patientid": PATIENT}),
        (4, {"patientid": PATIENT}),
    ],
)
def test_a_cancellation_that_cannot_be_is_refused(athena: ServeAthena, appointment: int, form: dict[str, str]) -> None:
    server, api = athena(
        slots=[make_slot(3, "12:00")],
        appointments=[
            make_appointment(1),
            make_appointment(2, "10:00", appointmentstatus="x"),
            make_appointment(4, "11:00", appointmentstatus="3"),
        ],
    )
    before = server.state()["appointments"]
    assert api.put(f"appointments/{appointment}/cancel", data=form).status_code == 400
    assert server.state()["appointments"] == before


def test_a_move_takes_the_new_slots_id_and_leaves_a_cancelled_visit_that_names_it(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1), make_slot(2, "11:00")])
    api.put("appointments/1", data=BOOKING)
    form = {"newappointmentid": "2", "patientid": PATIENT}
    (row,) = api.put("appointments/1/reschedule", data=form).json()
    assert row == {"appointmentid": "2", "appointmentstatus": "f", "patientid": PATIENT, "date": "03/15/2027",
                   "starttime": "11:00", "departmentid": DEPARTMENT, "providerid": ""}  # fmt: skip
    (old,), (new,) = api.get("appointments/1").json(), api.get("appointments/2").json()
    assert (old["appointmentstatus"], old["rescheduledappointmentid"]) == ("x", "2")
    assert (new["appointmentstatus"], new["reasonid"], new["providerid"]) == ("f", REASON, PROVIDER)
    (fresh,) = open_ids(server)
    assert (fresh not in ("1", "2"), server.appointment(fresh)["starttime"]) == (True, "09:00")


def test_a_move_may_change_the_reason_and_keeps_the_type_of_a_visit_without_one(athena: ServeAthena) -> None:
    _, api = athena(
        slots=[make_slot(2, "11:00"), make_slot(3, "12:00"), make_slot(4, "12:30")],
        appointments=[make_appointment(1, appointmenttypeid=FOLLOW_UP)],
    )
    api.put("appointments/1/reschedule", data={"newappointmentid": "2", "patientid": PATIENT})
    assert api.get("appointments/2").json()[0]["appointmenttypeid"] == FOLLOW_UP
    form = {"newappointmentid": "3", "patientid": PATIENT, "reasonid": LONG_REASON}
    api.put("appointments/2/reschedule", data=form)
    assert api.get("appointments/3").json()[0]["appointmenttypeid"] == NEW_PATIENT


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"newappointmentid": "3"}, 409),
        ({"newappointmentid": "9"}, 404),
        ({"newappointmentid": ""}, 400),
        ({"patientid": OTHER_PATIENT}, 400),
        ({"appointmentcancelreasonid": "99"}, 400),
    ],
)
def test_a_move_that_cannot_be_leaves_everything_as_it_was(
    athena: ServeAthena, form: dict[str, str], status: int
) -> None:
    server, api = athena(
        slots=[make_slot(2, "11:00")], appointments=[make_appointment(1), make_appointment(3, "12:00")]
    )
    before = server.state()["appointments"]
    wanted = {"newappointmentid": "2", "patientid": PATIENT} | form
    assert api.put("appointments/1/reschedule", data=wanted).status_code == status
    assert server.state()["appointments"] == before


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["1", "2", "4"]),
        ({"showcancelled": "true"}, ["1", "2", "3", "4"]),
        ({"appointmentstatus": "3"}, ["2"]),
        ({"appointmentstatus": "x"}, []),
        ({"patientid": OTHER_PATIENT}, ["4"]),
        ({"providerid": OTHER_PROVIDER}, ["2"]),
        ({"providerid": f"{PROVIDER},{OTHER_PROVIDER}", "departmentid": DEPARTMENT}, ["1", "2"]),
        ({"departmentid": EASTERN_DEPARTMENT}, ["4"]),
        ({"enddate": "03/15/2027"}, ["1", "2"]),
        ({"startdate": "03/16/2027"}, ["4"]),
    ],
)
def test_booked_appointments_are_filtered_and_in_order(
    athena: ServeAthena, query: dict[str, str], expected: list[str]
) -> None:
    _, api = athena(
        slots=[make_slot(9, "15:00")],
        appointments=[
            make_appointment(4, date="03/16/2027", patientid=OTHER_PATIENT, departmentid=EASTERN_DEPARTMENT),
            make_appointment(3, "11:00", appointmentstatus="x"),
            make_appointment(2, "10:00", appointmentstatus="3", providerid=OTHER_PROVIDER),
            make_appointment(1),
        ],
    )
    assert booked_ids(api, **query) == expected


def test_both_lists_of_booked_appointments_need_the_days(athena: ServeAthena) -> None:
    _, api = athena(appointments=[make_appointment(1)])
    for path in ("appointments/booked", "appointments/booked/multipledepartment"):
        assert api.get(path).json()["missingfields"] == ["startdate", "enddate"]
        assert api.get(path, params=MARCH | {"startdate": "2027-03-01"}).json()["invalidfields"] == ["startdate"]
        assert api.get(path, params=MARCH | {"departmentid": "1,2"}).json()["totalcount"] == 1


def test_what_changed_when_is_told_in_eastern_time_and_to_the_second(athena: ServeAthena, clock: MovableClock) -> None:
    server, api = athena(appointments=[make_appointment(1), make_appointment(2, "10:00")])
    clock.advance(minutes=5, seconds=3.7)
    server.staff("update", appointmentid=2, renderingproviderid=SUPERVISOR)
    assert booked_ids(api, startlastmodified="03/10/2027 14:05:03") == ["2"]
    assert booked_ids(api, startlastmodified="03/10/2027 14:05:04") == []
    assert booked_ids(api, endlastmodified="03/10/2027 14:05:02") == ["1"]
    assert booked_ids(api, startlastmodified="03/10/2027 14:00:00", endlastmodified="03/10/2027 14:05:03") == ["1", "2"]


def test_who_sees_a_patient_can_be_changed_with_a_1_or_a_message_inside_a_200(athena: ServeAthena) -> None:
    _, api = athena(appointments=[make_appointment(1)], slots=[make_slot(2, "10:00")])
    form = {"providerid": OTHER_PROVIDER, "supervisingproviderid": SUPERVISOR, "appointmenttypeid": FOLLOW_UP}
    assert api.put("appointments/booked/1", data=form).json() == 1
    (row,) = api.get("appointments/1").json()
    assert (row["providerid"], row["renderingproviderid"], row["supervisingproviderid"]) == (PROVIDER, 72, 12)
    assert row["appointmenttypeid"] == FOLLOW_UP
    wrong = api.put("appointments/booked/1", data={"providerid": "99"})
    assert (wrong.status_code, wrong.json()) == (200, "Invalid providerid.")
    assert api.put("appointments/booked/2", data=form).status_code == 400


def test_staff_book_move_and_check_in_beyond_the_apis_rules(athena: ServeAthena, clock: MovableClock) -> None:
    server, api = athena(slots=[make_slot(1, schedulable=False), make_slot(2, "10:00")])
    server.staff("book", appointmentid=1, patientid=PATIENT, reasonid=REASON, by="mlopez")
    moved = server.staff("move", appointmentid=1, newappointmentid=2)
    assert (moved["appointmentstatus"], moved["scheduledby"]) == ("f", "frontdesk1")
    assert server.staff("status", appointmentid=2, status="2")["appointmentstatus"] == "2"
    fresh = server.staff("visit", patientid=OTHER_PATIENT, providerid=PROVIDER, departmentid=DEPARTMENT,
                         date="03/20/2027", starttime="08:10", appointmenttypeid=OFFICE_VISIT)  # fmt: skip
    assert booked_ids(api) == ["2", fresh["appointmentid"]]
    server.staff("update", appointmentid=fresh["appointmentid"], starttime="08:20", departmentid=EASTERN_DEPARTMENT)
    (row,) = api.get(f"appointments/{fresh['appointmentid']}").json()
    assert (row["starttime"], row["date"], row["departmentid"]) == ("08:20", "03/20/2027", EASTERN_DEPARTMENT)
    server.staff("cancel", appointmentid=fresh["appointmentid"], appointmentcancelreasonid=NO_SHOW)
    clock.advance(seconds=timedelta(minutes=1).total_seconds())
    assert booked_ids(api) == ["2"]
