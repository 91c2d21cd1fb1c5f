"""The search for open slots, with the defaults that hide slots, and what is done to slots that nobody has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.fixtures_athena import (
    ANY_30,
    DEPARTMENT,
    EASTERN_DEPARTMENT,
    LONG_REASON,
    NEW_PATIENT,
    NOTICE_REASON,
    OFFICE_VISIT,
    OTHER_PROVIDER,
    PATIENT,
    PROVIDER,
    REASON,
    make_appointment,
    make_athena_account,
    make_pattern,
    make_slot,
)
from tests.fixtures_intakeq import MovableClock
from tests.integration.simulators.conftest import ServeAthena

SEARCH = {"departmentid": DEPARTMENT, "providerid": PROVIDER, "reasonid": REASON}
# It is noon of March 10 in Denver, a Wednesday; on the 14th the clocks go forward.
TIMES = {
    1: ("11:30", "03/10/2027"),
    2: ("12:30", "03/10/2027"),
    3: ("11:59", "03/11/2027"),
    4: ("12:00", "03/11/2027"),
    5: ("23:30", "03/17/2027"),
    6: ("00:00", "03/18/2027"),
    7: ("13:00", "06/08/2027"),
    8: ("13:01", "06/08/2027"),
}


def found(api: httpx.Client, **query: str) -> list[int]:
    answer = api.get("appointments/open", params=SEARCH | query)
    assert answer.status_code == 200
    return [row["appointmentid"] for row in answer.json()["appointments"]]


def test_a_slot_has_numbers_for_ids_and_a_list_of_text_for_its_reason(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(1)])
    assert api.get("appointments/open", params=SEARCH).json() == {
        "totalcount": 1,
        "appointments": [
            {
                "appointmentid": 1,
                "date": "03/15/2027",
                "starttime": "09:00",
                "duration": 30,
                "departmentid": 1,
                "providerid": 71,
                "localproviderid": 71,
                "appointmenttypeid": 82,
                "appointmenttype": "Any 30",
                "patientappointmenttypename": "Any 30",
                "reasonid": [REASON],
            }
        ],
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [4, 5]),
        ({"bypassscheduletimechecks": "true"}, [2, 3, 4, 5]),
        ({"startdate": "03/11/2027", "enddate": "03/11/2027"}, [4]),
        ({"startdate": "03/11/2027"}, [4, 5, 6]),
        ({"enddate": "12/31/2027"}, [4, 5, 6, 7]),
        ({"enddate": "12/31/2027", "bypassscheduletimechecks": "true"}, [2, 3, 4, 5, 6, 7, 8]),
        ({"startdate": "06/07/2027"}, [7]),
        ({"reasonid": "-1"}, [4, 5]),
    ],
)
def test_a_week_a_days_notice_and_a_horizon_hide_slots(
    athena: ServeAthena, query: dict[str, str], expected: list[int]
) -> None:
    _, api = athena(slots=[make_slot(number, *when) for number, when in TIMES.items()])
    assert found(api, **query) == expected


def test_the_defaults_are_the_practices_to_set(athena: ServeAthena) -> None:
    settings = {"open_default_days": 8, "open_min_hours": 0, "open_max_days": 7}
    _, api = athena(slots=[make_slot(number, *when) for number, when in TIMES.items()], settings=settings)
    assert found(api) == [2, 3, 4]


def test_without_reason_and_type_nothing_is_found(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(1)])
    answer = api.get("appointments/open", params={"departmentid": DEPARTMENT, "providerid": PROVIDER})
    assert answer.json() == {"totalcount": 0, "appointments": []}


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ({"providerid": PROVIDER, "reasonid": REASON}, ["departmentid"]),
        ({"departmentid": DEPARTMENT, "reasonid": REASON}, ["providerid"]),
        ({"departmentid": DEPARTMENT, "reasonid": "-1"}, None),
        ({"departmentid": DEPARTMENT, "appointmenttypeid": OFFICE_VISIT}, None),
    ],
)
def test_a_reason_asks_for_the_provider_and_everything_for_the_department(
    athena: ServeAthena, query: dict[str, str], missing: list[str] | None
) -> None:
    _, api = athena(slots=[make_slot(1)])
    answer = api.get("appointments/open", params=query)
    if missing:
        assert (answer.status_code, answer.json()["missingfields"]) == (400, missing)
    else:
        assert answer.json()["appointments"][0]["reasonid"] == ["-1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"reasonid": REASON}, [1, 2, 3, 4]),
        ({"reasonid": LONG_REASON}, [1]),
        ({"reasonid": NOTICE_REASON}, [1, 2, 4]),
        ({"reasonid": f"{LONG_REASON},{NOTICE_REASON}"}, [1, 2, 4]),
        ({"reasonid": "-1"}, [1, 2, 3, 4, 5]),
        ({"reasonid": "", "appointmenttypeid": NEW_PATIENT}, [1]),
        ({"reasonid": "", "appointmenttypeid": OFFICE_VISIT}, [1, 2, 3, 4, 5]),
        ({"reasonid": "unknown"}, []),
    ],
)
def test_a_slot_is_found_for_what_may_be_booked_into_it(
    athena: ServeAthena, query: dict[str, str], expected: list[int]
) -> None:
    _, api = athena(
        slots=[
            make_slot(1, "09:00"),
            make_slot(2, "09:30"),  # The next one is not generic, so that an hour fits at nine only.
            make_slot(3, "10:00", appointmenttypeid=OFFICE_VISIT),
            make_slot(4, "11:00"),
            make_slot(5, "12:00", reasonids=["1"]),
        ]
    )
    assert found(api, **query) == expected


def test_a_reasons_own_notice_and_horizon_count_unless_any_reason_will_do(
    athena: ServeAthena, clock: MovableClock
) -> None:
    _, api = athena(slots=[make_slot(1), make_slot(2, date="04/20/2027")])
    until = {"enddate": "05/30/2027", "bypassscheduletimechecks": "true"}
    assert found(api, reasonid=NOTICE_REASON, **until) == [1]
    clock.instant = datetime(2027, 3, 12, 15, 1, tzinfo=UTC)  # A minute late: 72 hours, one of them skipped.
    api.headers["Authorization"] = f"Bearer {_fresh(api)}"
    assert found(api, reasonid=NOTICE_REASON, **until) == []
    assert found(api, reasonid="-1", **until) == [1, 2]


def _fresh(api: httpx.Client) -> str:
    root = str(api.base_url).partition("/v1/")[0]
    account = make_athena_account()
    form = {"grant_type": "client_credentials", "scope": "athena/service/Athenanet.MDP.*"}
    login = (account["client_id"], account["client_secret"])
    answer = httpx.post(f"{root}/oauth2/v1/token", data=form, auth=login, trust_env=False)
    return str(answer.json()["access_token"])


def test_permission_frozen_and_booked_slots(athena: ServeAthena) -> None:
    _, api = athena(
        slots=[make_slot(1), make_slot(2, "10:00", schedulable=False), make_slot(3, "11:00", frozen=True)],
        appointments=[make_appointment(4, "12:00")],
    )
    assert found(api) == [1]
    assert found(api, ignoreschedulablepermission="true") == [1, 2]
    answer = api.get("appointments/open", params=SEARCH | {"showfrozenslots": "true"}).json()
    assert [(row["appointmentid"], row["frozen"]) for row in answer["appointments"]] == [(1, "false"), (3, "true")]


def test_lists_are_comma_separated_or_repeated(athena: ServeAthena) -> None:
    slots = [
        make_slot(1),
        make_slot(2, providerid=OTHER_PROVIDER),
        make_slot(3, providerid=OTHER_PROVIDER, departmentid=EASTERN_DEPARTMENT),
    ]
    _, api = athena(slots=slots)
    both = f"{PROVIDER},{OTHER_PROVIDER}"
    assert found(api, providerid=both) == [1, 2]
    query = {"departmentid": ["1", "2"], "providerid": both, "reasonid": REASON}
    rows = api.get("appointments/open", params=query).json()["appointments"]
    assert [row["appointmentid"] for row in rows] == [1, 2, 3]


def test_pages_name_their_neighbours_by_relative_addresses(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(n, f"{8 + n:02}:00") for n in range(1, 6)], settings={"page_limit": 2})
    first = api.get("appointments/open", params=SEARCH | {"limit": 50}).json()
    assert (first["totalcount"], len(first["appointments"]), "previous" in first) == (5, 2, False)
    assert first["next"].startswith("/v1/195900/appointments/open?")
    seen, page = [], first
    while "next" in page:
        page = api.get(str(api.base_url).partition("/v1/")[0] + page["next"]).json()
        seen += [row["appointmentid"] for row in page["appointments"]]
    assert seen == [3, 4, 5]
    assert page["previous"].endswith("limit=2&offset=2")


def test_times_are_the_departments_and_the_instant_follows_its_clock(athena: ServeAthena, clock: MovableClock) -> None:
    # Noon in Denver is 14:00 in the east: there the same wall clock time is two hours sooner.
    slots = [make_slot(1, "13:00", "03/11/2027"), make_slot(2, "13:00", "03/11/2027", departmentid=EASTERN_DEPARTMENT)]
    _, api = athena(slots=slots)
    assert found(api) == [1]
    assert found(api, departmentid=EASTERN_DEPARTMENT) == []


def test_a_pattern_fills_weekdays_and_leaves_out_the_hour_that_is_skipped(athena: ServeAthena) -> None:
    sunday = make_pattern(weekdays=[6], startdate="03/14/2027", enddate="03/14/2027") | {"from": "01:00", "to": "04:00"}
    week = make_pattern(startdate="03/19/2027", enddate="03/23/2027", minutes=50, reasonids=[REASON])
    server, _ = athena(patterns=[sunday, week])
    rows = server.state()["appointments"]
    assert [row["starttime"] for row in rows if row["date"] == "03/14/2027"] == ["01:00", "01:30", "03:00", "03:30"]
    assert {row["date"] for row in rows} == {"03/14/2027", "03/19/2027", "03/22/2027", "03/23/2027"}
    assert [row["starttime"] for row in rows if row["date"] == "03/22/2027"] == ["09:00", "09:50", "10:40"]


def test_slots_are_made_at_several_times_of_a_day_and_told_by_their_ids(athena: ServeAthena) -> None:
    server, api = athena()
    form = {"appointmentdate": "03/15/2027", "appointmenttime": "08:00,08:30", "departmentid": DEPARTMENT,
            "providerid": PROVIDER, "reasonid": REASON}  # fmt: skip
    ids = api.post("appointments/open", data=form).json()["appointmentids"]
    assert sorted(ids.values()) == ["08:00", "08:30"]
    assert found(api) == sorted(map(int, ids))
    missing = api.post("appointments/open", data={"providerid": PROVIDER}).json()["missingfields"]
    assert missing == ["appointmentdate", "appointmenttime", "departmentid"]
    server.settings(create_slots=False)
    assert api.post("appointments/open", data=form).status_code == 403


def test_only_open_slots_can_be_deleted(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(1)], appointments=[make_appointment(2, "10:00")])
    assert [api.delete(f"appointments/{n}").status_code for n in (1, 2, 3)] == [200, 400, 404]
    assert [api.get(f"appointments/{n}").status_code for n in (1, 2)] == [404, 200]


def test_a_frozen_slot_waits_until_it_is_released(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(1)])
    booking = {"patientid": PATIENT, "reasonid": REASON}
    assert api.put("appointments/1/freeze", data={"freeze": "true"}).json() == {"success": True}
    assert api.put("appointments/1", data=booking).status_code == 409
    assert api.put("appointments/1/freeze", data={"freeze": "false"}).json() == {"success": True}
    assert api.put("appointments/1", data=booking).status_code == 200


@pytest.mark.parametrize(
    ("slot", "form", "status"),
    [(1, {}, 400), (1, {"freeze": "yes"}, 400), (9, {"freeze": "true"}, 404), (2, {"freeze": "true"}, 200)],
)
def test_a_freeze_that_cannot_be_says_so_perhaps_inside_a_200(
    athena: ServeAthena, slot: int, form: dict[str, Any], status: int
) -> None:
    server, api = athena(slots=[make_slot(1)], appointments=[make_appointment(2, "10:00")])
    answer = api.put(f"appointments/{slot}/freeze", data=form)
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"success": False, "errormessage": "The appointment is not an open slot."}
    assert not any(row["isFrozen"] for row in server.state()["appointments"])


def test_freezing_has_to_be_granted(athena: ServeAthena) -> None:
    _, api = athena(slots=[make_slot(1)], grants={"freeze": False})
    assert api.put("appointments/1/freeze", data={"freeze": "true"}).status_code == 403


def test_staff_open_close_freeze_and_block_slots(athena: ServeAthena) -> None:
    server, api = athena(slots=[make_slot(1), make_slot(2, "10:00"), make_slot(3, "10:30"), make_slot(4, "11:00")])
    server.staff("freeze", appointmentid=1)
    assert found(api) == [2, 3, 4]
    server.staff("unfreeze", appointmentid=1)
    blocked = server.staff("block", providerid=PROVIDER, date="03/15/2027", **{"from": "10:15", "to": "11:00"})
    assert blocked == {"closed": ["2", "3"]}
    server.staff("close", appointmentid=4)
    fresh = {name: value for name, value in make_slot(0, "14:00").items() if name != "appointmentid"}
    opened = server.staff("open", **fresh)
    assert found(api) == [1, int(opened["appointmentid"])]


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "dance"},
        {"action": "book", "appointmentid": 1},
        {"action": "cancel", "appointmentid": 1},
        {"action": "open", "date": "soon"},
        {"action": "block", "providerid": PROVIDER, "date": "03/15/2027", "from": "noon", "to": "11:00"},
    ],
)
def test_what_staff_cannot_do_is_refused(athena: ServeAthena, wrong: dict[str, Any]) -> None:
    server, _ = athena(slots=[make_slot(1)])
    with pytest.raises(OSError, match="400"):
        server.control("POST", "staff", wrong)


def test_two_simulators_of_one_account_never_share_state(athena: ServeAthena) -> None:
    shared = [make_slot(1, appointmenttypeid=ANY_30)]
    one, _ = athena(slots=shared)
    two, _ = athena(slots=shared)
    one.staff("book", appointmentid=1, patientid=PATIENT, reasonid=REASON)
    assert (one.appointment(1)["appointmentstatus"], two.appointment(1)["appointmentstatus"]) == ("f", "o")
