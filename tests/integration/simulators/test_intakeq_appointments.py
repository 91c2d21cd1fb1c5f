from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.simulators.intakeq.wire import to_ms
from tests.fixtures_intakeq import (
    CLIENT,
    NOON,
    OTHER_PRACTITIONER,
    PRACTITIONER,
    SERVICE,
    SHORT_SERVICE,
    MovableClock,
    make_client,
    make_visit,
)
from tests.integration.simulators.conftest import Serve

BOOKING = {
    "PractitionerId": PRACTITIONER,
    "ClientId": CLIENT,
    "ServiceId": SHORT_SERVICE,
    "LocationId": "4",
    "UtcDateTime": to_ms(NOON + timedelta(days=1)),
    "Status": "Confirmed",
    "SendClientEmailNotification": False,
    "ReminderType": "OptOut",
}


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["Id"], 16) for row in rows]


def test_lists_come_in_bare_pages_of_100_the_latest_start_first(serve: Serve) -> None:
    _, api = serve(appointments=[make_visit(n, NOON + timedelta(hours=n)) for n in range(1, 251)])
    pages = [api.get("appointments", params={"page": page}).json() for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert ids([row for page in pages for row in page]) == list(range(250, 0, -1))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"client": "whit"}, [1, 3]),
        ({"client": "MARA.JAMES@"}, [2]),
        ({"client": "mara+one"}, []),
        ({"status": "Canceled"}, [3]),
        ({"practitionerEmail": "emil.varga@example.org"}, [2]),
        ({"practitionerEmail": "emil"}, []),
        ({"PRACTITIONEREMAIL": "Emil.Varga@example.org"}, [2]),
        ({"ClientId": "1", "id": "no-such-parameter"}, [1, 2, 3]),
        ({"page": "nonsense"}, [1, 2, 3]),
    ],
)
def test_parameters_filter_loosely_and_unknown_ones_are_ignored(
    serve: Serve, query: dict[str, str], expected: list[int]
) -> None:
    mara: dict[str, Any] = {"ClientId": "77", "ClientName": "Mara James", "ClientEmail": "mara.james@example.org"}
    emil: dict[str, Any] = {"PractitionerId": OTHER_PRACTITIONER, "PractitionerEmail": "emil.varga@example.org"}
    _, api = serve(
        appointments=[
            make_visit(1, NOON),
            make_visit(2, NOON - timedelta(hours=1), **mara, **emil),
            make_visit(3, NOON - timedelta(hours=2), Status="Canceled", ClientEmail=None),
        ]
    )
    assert ids(api.get("appointments", params=query).json()) == expected


@pytest.mark.parametrize(
    ("bounds", "query", "expected"),
    [
        ("exclusive", {"startDate": "2027-03-10"}, [12, 11]),
        ("inclusive", {"startDate": "2027-03-10"}, [12, 11, 10]),
        ("exclusive", {"endDate": "2027-03-11"}, [10, 9]),
        ("inclusive", {"endDate": "2027-03-11"}, [11, 10, 9]),
        ("exclusive", {"updatedSince": "2027-03-10"}, [12, 11]),
        ("inclusive", {"updatedSince": "2027-03-10"}, [12, 11, 10]),
    ],
)
def test_dates_are_whole_days_of_the_account(
    serve: Serve, bounds: str, query: dict[str, str], expected: list[int]
) -> None:
    # 23:30 in Denver, which is the next day in UTC.
    late = {day: datetime(2027, 3, day + 1, 6, 30, tzinfo=UTC) for day in (9, 10, 11, 12)}
    rows = [make_visit(day, at, LastModified=to_ms(at)) for day, at in late.items()]
    _, api = serve(appointments=rows, date_bounds=bounds)
    assert ids(api.get("appointments", params=query).json()) == expected


def test_a_date_that_is_none_is_refused(serve: Serve) -> None:
    _, api = serve()
    assert api.get("appointments", params={"startDate": "10/03/2027"}).status_code == 400


def test_ids_keep_the_types_of_the_account_file_and_lists_show_fewer_fields(serve: Serve) -> None:
    _, api = serve(appointments=[make_visit(1, NOON, ClientId="4821", LocationId=4)])
    listed = api.get("appointments").json()[0]
    single = api.get(f"appointments/{listed['Id']}").json()
    assert (listed["ClientId"], listed["LocationId"]) == ("4821", 4)
    assert set(single) - set(listed) == {"Procedures", "AppointmentPackageId", "AppointmentPackageName"}


def test_a_booking_answers_the_whole_visit_in_the_vendors_forms(serve: Serve, clock: MovableClock) -> None:
    _, api = serve()
    row = api.post("appointments", json=BOOKING).json()
    start = NOON + timedelta(days=1)
    assert (row["StartDate"], row["EndDate"]) == (to_ms(start), to_ms(start + timedelta(minutes=30)))
    assert row["StartDateIso"] == "2027-03-11T19:00:00.0000000Z"
    assert row["StartDateLocal"] == "2027-03-11T12:00:00.0000000"
    assert row["StartDateLocalFormatted"] == "3/11/2027 at 12:00:00 PM"
    assert (row["ClientName"], row["ClientDateOfBirth"]) == ("Dana Whitlock", "1988-05-23")
    assert (row["Status"], row["ReminderType"], row["PlaceOfService"]) == ("Confirmed", "OptOut", "10")
    assert row["LastModified"] == to_ms(clock.instant)
    assert ids(api.get("appointments").json()) == [int(row["Id"], 16)]


@pytest.mark.parametrize("field", list(BOOKING))
def test_a_booking_needs_every_field(serve: Serve, field: str) -> None:
    _, api = serve()
    answer = api.post("appointments", json={name: value for name, value in BOOKING.items() if name != field})
    assert (answer.status_code, answer.json()) == (400, {"Message": f"Field {field} is mandatory."})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"PractitionerId": "unknown"}, "Invalid PractitionerId."),
        ({"ServiceId": "unknown"}, "Invalid ServiceId."),
        ({"LocationId": "9"}, "Invalid LocationId."),
        ({"ClientId": 1}, "Client not found"),
        ({"UtcDateTime": BOOKING["UtcDateTime"] + 60_000}, "Invalid UtcDateTime."),  # type: ignore[operator]
        ({"UtcDateTime": BOOKING["UtcDateTime"] + 1_000}, "Invalid UtcDateTime."),  # type: ignore[operator]
        ({"UtcDateTime": "2027-03-11T19:00:00Z"}, "Invalid UtcDateTime."),
        ({"Status": "Canceled"}, "Invalid Status."),
        ({"ReminderType": "Pigeon"}, "Invalid ReminderType."),
        (
            {"Status": "WaitingConfirmation", "SendClientEmailNotification": True},
            "SendClientEmailNotification can only be true for confirmed appointments.",
        ),
    ],
)
def test_a_booking_that_breaks_a_rule_is_refused_with_one_sentence(
    serve: Serve, change: dict[str, Any], message: str
) -> None:
    server, api = serve()
    answer = api.post("appointments", json=BOOKING | change)
    assert (answer.status_code, answer.json()) == (400, {"Message": message})
    assert server.state()["appointments"] == []


def test_the_same_booking_twice_makes_two_visits_and_overlaps_are_not_refused(serve: Serve) -> None:
    server, api = serve()
    assert [api.post("appointments", json=BOOKING).status_code for _ in range(2)] == [200, 200]
    assert len(server.state()["appointments"]) == 2


def test_taken_time_is_refused_on_order(serve: Serve) -> None:
    server, api = serve(appointments=[make_visit(1, NOON + timedelta(days=1, minutes=15))])
    server.fail({"method": "POST", "path": "/appointments", "kind": "refuse_taken", "times": 2})
    assert api.post("appointments", json=BOOKING).status_code == 409
    assert api.post("appointments", json=BOOKING | {"PractitionerId": OTHER_PRACTITIONER}).status_code == 200


def test_a_fresh_client_is_not_bookable_for_some_seconds(serve: Serve, clock: MovableClock) -> None:
    _, api = serve(fresh_client_seconds=5)
    client_id = api.post("clients", json={"FirstName": "Mara", "LastName": "James"}).json()["ClientId"]
    too_soon = api.post("appointments", json=BOOKING | {"ClientId": client_id})
    clock.advance(seconds=5)
    in_time = api.post("appointments", json=BOOKING | {"ClientId": client_id})
    assert (too_soon.json(), in_time.status_code) == ({"Message": "Client not found"}, 200)


def test_a_change_needs_id_and_time_and_keeps_the_id(serve: Serve, clock: MovableClock) -> None:
    _, api = serve(appointments=[make_visit(1, NOON, Status="WaitingConfirmation")])
    clock.advance(minutes=1)
    later = to_ms(NOON + timedelta(hours=2))
    moved = api.put("appointments", json={"Id": f"{1:024x}", "UtcDateTime": later, "Status": "Confirmed"}).json()
    assert (ids([moved]), moved["StartDate"], moved["Status"]) == ([1], later, "Confirmed")
    assert moved["LastModified"] == to_ms(clock.instant)
    assert api.put("appointments", json={"UtcDateTime": later}).status_code == 400
    assert api.put("appointments", json={"Id": f"{1:024x}"}).status_code == 400
    assert api.put("appointments", json={"Id": "unknown", "UtcDateTime": later}).status_code == 400
    back = {"Id": f"{1:024x}", "UtcDateTime": later, "Status": "WaitingConfirmation"}
    assert api.put("appointments", json=back).json() == {"Message": "Invalid Status."}


def test_a_cancelled_visit_says_why_and_stays_cancelled(serve: Serve) -> None:
    _, api = serve(appointments=[make_visit(1, NOON)])
    body = {"AppointmentId": f"{1:024x}", "Reason": "Client request"}
    row = api.post("appointments/cancellation", json=body).json()
    assert (row["Status"], row["FullCancellationReason"]) == ("Canceled", "Client request")
    assert row["CancellationDate"] == "2027-03-10T19:00:00.0000000Z"
    assert api.post("appointments/cancellation", json=body).status_code == 400
    assert api.put("appointments", json={"Id": body["AppointmentId"], "UtcDateTime": to_ms(NOON)}).status_code == 400


def test_deleted_visits_show_with_deleted_only_and_for_ten_days(serve: Serve, clock: MovableClock) -> None:
    server, api = serve(appointments=[make_visit(1, NOON), make_visit(2, NOON)])
    server.staff("delete", id=f"{1:024x}")
    assert ids(api.get("appointments").json()) == [2]
    assert api.get(f"appointments/{1:024x}").status_code == 404
    deleted = api.get("appointments", params={"deletedOnly": "true"}).json()
    assert [(row["Id"], row["Status"]) for row in deleted] == [(f"{1:024x}", "Confirmed")]
    clock.advance(days=10)
    assert api.get("appointments", params={"deletedOnly": "true"}).json() == []


def test_unknown_ids_answer_json_and_unknown_routes_a_page(serve: Serve) -> None:
    _, api = serve()
    unknown = [api.get("appointments/unknown"), api.get("clients/4821"), api.delete("appointments")]
    assert [answer.status_code for answer in unknown] == [404, 404, 404]
    kinds = [answer.headers["content-type"].partition(";")[0] for answer in unknown]
    assert kinds == ["application/json", "text/html", "text/html"]


def test_a_body_that_is_no_object_is_refused(serve: Serve) -> None:
    _, api = serve()
    assert api.post("appointments", content=b"{").status_code == 400
    assert api.post("appointments", json=[BOOKING]).status_code == 400


def test_settings_and_practitioners_are_the_accounts(serve: Serve) -> None:
    _, api = serve()
    settings = api.get("appointments/settings").json()
    assert [row["Id"] for row in settings["Services"]] == [SERVICE, SHORT_SERVICE]
    assert [row["ExternalPractitionerId"] for row in api.get("practitioners").json()] == [None, None]


def test_two_clients_of_one_account_file_never_share_state(serve: Serve) -> None:
    shared = [make_visit(1, NOON)]
    one, _ = serve(appointments=shared, clients=[make_client()])
    two, _ = serve(appointments=shared)
    one.staff("delete", id=f"{1:024x}")
    assert len(two.state()["appointments"]) == 1
