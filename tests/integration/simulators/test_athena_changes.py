"""The changed feed, which forgets what it has shown."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures_athena import (
    CANCELLED,
    DEPARTMENT,
    EASTERN_DEPARTMENT,
    NO_SHOW,
    OTHER_PATIENT,
    OTHER_PROVIDER,
    PATIENT,
    PROVIDER,
    REASON,
    make_appointment,
    make_slot,
)
from tests.fixtures_intakeq import MovableClock
from tests.integration.simulators.conftest import ServeAthena

BOOKING = {"patientid": PATIENT, "reasonid": REASON}
FEED = "appointments/changed"
SUBSCRIPTION = "appointments/changed/subscription"


def changed(api: httpx.Client, **query: str) -> list[tuple[str, str]]:
    answer = api.get(FEED, params=query)
    assert answer.status_code == 200
    return [(row["appointmentid"], row["appointmentstatus"]) for row in answer.json()["appointments"]]


def test_reading_takes_rows_away_unless_they_are_left_on_purpose(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(1)])
    api.put("appointments/1", data=BOOKING)
    assert changed(api, leaveunprocessed="true") == [("1", "f")]
    assert changed(api) == [("1", "f")]
    assert changed(api) == []


def test_a_row_has_no_event_and_says_who_changed_it(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1)])
    api.put("appointments/1", data=BOOKING)
    server.staff("cancel", appointmentid=1, appointmentcancelreasonid=NO_SHOW, by="mlopez")
    booked, cancelled = api.get(FEED).json()["appointments"]
    assert not {"event", "eventname", "eventid"} & set(booked)
    assert (booked["appointmentstatus"], booked["scheduledby"], booked["lastmodifiedby"]) == (
        "f", "API-10001", "API-10001")  # fmt: skip
    assert (cancelled["appointmentstatus"], cancelled["scheduledby"], cancelled["lastmodifiedby"]) == (
        "x", "API-10001", "mlopez")  # fmt: skip
    assert (cancelled["cancelreasonid"], cancelled["cancelreasonname"]) == (NO_SHOW, "NO SHOW")
    assert (cancelled["cancelreasonslotavailable"], cancelled["cancelreasonnoshow"]) == ("false", True)
    assert "cancelreasonid" not in booked


def test_a_move_is_a_visit_that_was_booked_and_one_that_was_cancelled(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(2, "11:00")], appointments=[make_appointment(1)])
    api.put("appointments/1/reschedule", data={"newappointmentid": "2", "patientid": PATIENT})
    assert [row["event"] for row in server.state()["changed"]] == ["ScheduleAppointment", "CancelAppointment"]
    assert changed(api) == [("2", "f"), ("1", "x")]


def test_everything_that_happens_to_a_slot_is_told(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1), make_slot(2, "10:00")])
    api.put("appointments/1/freeze", data={"freeze": "true"})
    api.put("appointments/1/freeze", data={"freeze": "false"})
    api.put("appointments/1", data=BOOKING)
    server.staff("update", appointmentid=1, starttime="09:10")
    server.staff("status", appointmentid=1, status="2")
    server.staff("status", appointmentid=1, status="3")
    api.delete("appointments/2")
    fresh = {name: value for name, value in make_slot(0, "14:00").items() if name != "appointmentid"}
    server.staff("open", **fresh)
    assert [row["event"] for row in server.state()["changed"]] == [
        "FreezeAppointment",
        "UnfreezeAppointment",
        "ScheduleAppointment",
        "UpdateAppointment",
        "CheckIn",
        "CheckOut",
        "DeleteAppointment",
        "AddAppointmentSlot",
    ]
    rows = api.get(FEED).json()["appointments"]
    assert [row["frozenyn"] for row in rows[:2]] == ["true", "false"]
    assert [row["appointmentstatus"] for row in rows] == ["o", "o", "f", "f", "2", "3", "o", "o"]


def test_rows_go_away_while_paging_so_that_an_offset_skips_some(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(n, f"{8 + n:02}:00") for n in range(1, 6)])
    for number in range(1, 6):
        api.put(f"appointments/{number}", data=BOOKING)
    first = api.get(FEED, params={"limit": 2}).json()
    assert (first["totalcount"], len(first["appointments"])) == (5, 2)
    assert changed(api, limit="2", offset="2") == [("5", "f")]
    assert changed(api, limit="2") == [("3", "f"), ("4", "f")]
    assert changed(api, limit="2") == []


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ({"departmentid": EASTERN_DEPARTMENT}, ["2"]),
        ({"providerid": f"{OTHER_PROVIDER},99"}, ["3"]),
        ({"patientid": OTHER_PATIENT}, ["3"]),
        ({"patientid": PATIENT, "departmentid": DEPARTMENT}, ["1"]),
    ],
)
def test_only_what_was_asked_for_is_taken_away(athena: ServeAthena, query: dict[str, str], read: list[str]) -> None:
    server, api = athena(
        slots=[
            make_slot(1),
            make_slot(2, departmentid=EASTERN_DEPARTMENT),
            make_slot(3, providerid=OTHER_PROVIDER),
        ]
    )
    for number, patient in ((1, PATIENT), (2, PATIENT), (3, OTHER_PATIENT)):
        server.staff("book", appointmentid=number, patientid=patient, reasonid=REASON)
    assert [row[0] for row in changed(api, **query)] == read
    assert {row[0] for row in changed(api)} == {"1", "2", "3"} - set(read)


def test_what_was_read_can_be_read_again_by_when_that_was(athena: ServeAthena, clock: MovableClock) -> None:
    _, api = athena(slots=[make_slot(1), make_slot(2, "10:00")])

    def between(start: str, end: str) -> list[tuple[str, str]]:
        stretch = {"showprocessedstartdatetime": f"03/10/2027 {start}", "showprocessedenddatetime": f"03/10/2027 {end}"}
        return changed(api, **stretch)

    api.put("appointments/1", data=BOOKING)
    clock.advance(minutes=1, seconds=0.5)
    assert changed(api) == [("1", "f")]
    api.put("appointments/2", data=BOOKING)
    clock.advance(minutes=5)
    assert between("14:01:00", "14:01:00") == between("14:00:00", "15:00:00") == [("1", "f")]  # Eastern time.
    assert between("14:02:00", "15:00:00") == between("12:00:00", "12:02:00") == []
    assert changed(api) == [("2", "f")]
    half = api.get(FEED, params={"showprocessedstartdatetime": "03/10/2027 14:00:00"})
    assert (half.status_code, half.json()["missingfields"]) == (400, ["showprocessedenddatetime"])


def test_without_a_subscription_or_the_grant_the_feed_is_forbidden(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1)], subscription=None)
    assert api.get(FEED).status_code == 403
    assert api.get(SUBSCRIPTION).json() == {"status": "INACTIVE", "subscriptions": []}
    assert api.post(SUBSCRIPTION, data={}).json() == {"success": "true"}
    assert api.get(FEED).json() == {"totalcount": 0, "appointments": []}
    server.settings(changed=False)
    assert api.get(FEED).status_code == 403


def test_events_are_subscribed_to_one_by_one_and_departments_replace_each_other(athena: ServeAthena) -> None:
    server, api = athena(
        subscription=None, slots=[make_slot(1), make_slot(2, departmentid=EASTERN_DEPARTMENT), make_slot(3, "10:00")]
    )
    api.post(SUBSCRIPTION, data={"eventname": "CancelAppointment", "departmentids": "2"})
    api.post(SUBSCRIPTION, data={"eventname": "ScheduleAppointment", "departmentids": "1"})
    told = api.get(SUBSCRIPTION).json()
    assert (told["status"], [each["eventname"] for each in told["subscriptions"]]) == (
        "PARTIAL", ["ScheduleAppointment", "CancelAppointment"])  # fmt: skip
    for number in (1, 2):
        api.put(f"appointments/{number}", data=BOOKING)
    api.put("appointments/3/freeze", data={"freeze": "true"})
    assert changed(api) == [("1", "f")]
    api.request("DELETE", SUBSCRIPTION, data={"eventname": "ScheduleAppointment"})
    assert [each["eventname"] for each in api.get(SUBSCRIPTION).json()["subscriptions"]] == ["CancelAppointment"]
    api.delete(SUBSCRIPTION)
    assert server.state()["subscription"]["events"] == []
    assert api.post(SUBSCRIPTION, data={"eventname": "Anything"}).status_code == 400


def test_all_events_are_active_and_each_is_named(athena: ServeAthena) -> None:
    _, api = athena()
    told = api.get(SUBSCRIPTION).json()
    names: list[dict[str, Any]] = api.get(f"{SUBSCRIPTION}/events").json()["subscriptions"]
    assert (told["status"], told["subscriptions"], len(names)) == ("ACTIVE", names, 11)


def test_a_subscription_takes_a_while_to_work(athena: ServeAthena, clock: MovableClock) -> None:
    _, api = athena(
        subscription=None,
        slots=[make_slot(1), make_slot(2, "10:00")],
        settings={"subscription_delay_seconds": 300},
    )
    api.post(SUBSCRIPTION, data={})
    api.put("appointments/1", data=BOOKING)
    clock.advance(seconds=300)
    api.put("appointments/2", data=BOOKING)
    assert changed(api) == [("2", "f")]


def test_what_a_row_says_is_how_it_was_when_it_happened(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1)], appointments=[])
    api.put("appointments/1", data=BOOKING)
    server.staff("cancel", appointmentid=1, appointmentcancelreasonid=CANCELLED)
    assert changed(api, providerid=PROVIDER) == [("1", "f"), ("1", "x")]
