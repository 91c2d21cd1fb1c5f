"""Who gets in: tokens, limits, faults, and what every answer carries."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures_athena import (
    CLIENT_ID,
    CLIENT_SECRET,
    PATIENT,
    REASON,
    SCOPE,
    AthenaServer,
    StartAthena,
    make_appointment,
    make_athena_account,
    make_slot,
)
from tests.fixtures_intakeq import MovableClock
from tests.integration.simulators.conftest import ServeAthena

GRANT = {"grant_type": "client_credentials", "scope": SCOPE}


def ask_token(server: AthenaServer, form: dict[str, str] | None = None, login: tuple[str, str] | None = None) -> Any:
    return httpx.post(
        f"{server.url}/oauth2/v1/token",
        data=GRANT if form is None else form,
        auth=login or (CLIENT_ID, CLIENT_SECRET),
        trust_env=False,
    )


def test_a_token_lives_an_hour_which_is_told_as_text(athena: ServeAthena, clock: MovableClock) -> None:
    server, _ = athena()
    answer = ask_token(server).json()
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", "3600", SCOPE)
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    clock.advance(seconds=3599)
    assert httpx.get(f"{server.api_url}/ping", headers=bearer, trust_env=False).json() == {"pong": "true"}
    clock.advance(seconds=1)
    assert httpx.get(f"{server.api_url}/ping", headers=bearer, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("form", "login", "status", "error"),
    [
        (GRANT, (CLIENT_ID, "wrong"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, None, 400, "invalid_scope"),
        (GRANT | {"scope": "openid"}, None, 400, "invalid_scope"),
        (GRANT | {"grant_type": "password"}, None, 400, "unsupported_grant_type"),
        ({}, None, 400, "unsupported_grant_type"),
    ],
)
def test_a_token_needs_the_login_the_grant_and_a_scope(
    start_athena: StartAthena, form: dict[str, str], login: tuple[str, str] | None, status: int, error: str
) -> None:
    answer = ask_token(start_athena(), form, login)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_token_calls_are_counted_on_arrival_and_shut_out_until_the_minute_ends(
    start_athena: StartAthena, clock: MovableClock
) -> None:
    server = start_athena(make_athena_account(limits={"token_per_minute": 2}), clock)
    clock.advance(seconds=30)
    first = ask_token(server, login=(CLIENT_ID, "wrong"))
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("2", "1")
    assert [ask_token(server).status_code for _ in range(2)] == [200, 429]
    clock.advance(seconds=29.9)
    late = ask_token(server)
    assert (late.status_code, late.headers["content-type"].partition(";")[0]) == (429, "text/plain")
    clock.advance(seconds=0.1)
    assert ask_token(server).status_code == 200


def test_who_has_no_token_is_inactive_and_who_has_an_old_one_unauthorized(athena: ServeAthena) -> None:
    server, api = athena()
    missing = httpx.get(f"{server.api_url}/ping", trust_env=False)
    assert (missing.status_code, missing.text) == (401, "Developer Inactive")
    assert api.get("ping").status_code == 200
    server.expire_tokens()
    expired = api.get("ping")
    assert (expired.status_code, expired.json()["error"]) == (401, "Unauthorized")


def test_an_unknown_practice_is_told_and_an_unknown_route_is_the_gateways(athena: ServeAthena) -> None:
    server, api = athena()
    unknown = api.get(f"{server.url}/v1/1/ping")
    assert (unknown.status_code, list(unknown.json())) == (404, ["error"])
    nowhere = api.get("nowhere")
    assert (nowhere.status_code, nowhere.text) == (404, "Not Found")


def test_calls_are_counted_by_the_day_of_greenwich(athena: ServeAthena, clock: MovableClock) -> None:
    _, api = athena(limits={"per_day": 2})
    left = [api.get("ping").headers["X-RateLimit-Remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    assert api.get("ping").status_code == 429
    clock.instant = datetime.fromisoformat("2027-03-10T23:59:59+00:00")
    assert api.get("ping").status_code == 401  # The token is older than an hour by now, and that is said first.
    clock.instant = datetime.fromisoformat("2027-03-11T00:00:00+00:00")
    assert api.get("ping").headers["X-RateLimit-Remaining"] == "2"


def test_calls_a_second_can_be_limited(athena: ServeAthena, clock: MovableClock) -> None:
    server, api = athena()
    server.settings(per_second=2)
    assert [api.get("ping").status_code for _ in range(3)] == [200, 200, 429]
    clock.advance(seconds=1)
    assert api.get("ping").status_code == 200


def test_a_request_id_comes_back_or_is_made_up(athena: ServeAthena) -> None:
    _, api = athena()
    assert api.get("ping", headers={"X-Request-Id": "mine"}).headers["X-Request-Id"] == "mine"
    made_up = {api.get("ping").headers["X-Request-Id"] for _ in range(2)}
    assert len(made_up) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"patientid": PATIENT, "reasonid": REASON}},
        {"data": {"patientid": PATIENT, "reasonid": REASON}, "files": {"card": b""}},
        {"content": b"patientid=1"},
    ],
)
def test_a_body_that_is_not_a_form_has_no_fields(athena: ServeAthena, body: dict[str, Any]) -> None:
    _, api = athena(slots=[make_slot(1)])
    answer = api.put("appointments/1", **body)
    assert (answer.status_code, answer.json()["missingfields"]) == (400, ["patientid"])


@pytest.mark.parametrize(
    ("fault", "status", "has_effect"),
    [
        ({"kind": "delay", "seconds": 0.01}, 200, True),
        ({"kind": "error_before", "status": 503}, 503, False),
        ({"kind": "error_after"}, 500, True),
        ({"kind": "drop_before"}, None, False),
        ({"kind": "drop_after"}, None, True),
        ({"kind": "429", "retry_after": 7}, 429, False),
        ({"kind": "gateway"}, 502, False),
        ({"kind": "gateway_after", "status": 504}, 504, True),
    ],
)
def test_a_fault_happens_once_where_it_was_ordered(
    athena: ServeAthena, fault: dict[str, Any], status: int | None, *, has_effect: bool
) -> None:
    server, api = athena(slots=[make_slot(1)])
    server.fail({"method": "PUT", "path": "/appointments/*", **fault})
    try:
        answer = api.put("appointments/1", data={"patientid": PATIENT, "reasonid": REASON})
    except (httpx.RemoteProtocolError, httpx.ReadError):
        assert status is None
    else:
        assert answer.status_code == status
        assert answer.headers.get("Retry-After") == ("7" if status == 429 else None)
        is_plain = answer.headers["content-type"].startswith("text/plain")
        assert is_plain is (fault["kind"].startswith("gateway") or status == 429)
    assert server.appointment(1)["appointmentstatus"] == ("f" if has_effect else "o")
    assert server.requests()[-1]["fault"] == fault["kind"]
    assert server.state()["faults"] == []


def test_a_taken_slot_may_answer_another_status_on_order(athena: ServeAthena) -> None:
    server, api = athena(appointments=[make_appointment(1)])
    server.fail({"method": "PUT", "kind": "refuse_taken", "status": 400})
    form = {"patientid": PATIENT, "reasonid": REASON}
    assert [api.put("appointments/1", data=form).status_code for _ in range(2)] == [400, 409]


def test_requests_are_listed_below_the_practice_and_without_bodies(athena: ServeAthena, clock: MovableClock) -> None:
    server, api = athena(slots=[make_slot(1)])
    api.put("appointments/1", data={"patientid": PATIENT, "reasonid": REASON})
    api.get("appointments/1", params={"showinsurance": "true"})
    at = clock.instant.isoformat()
    assert server.requests() == [
        {"method": "POST", "path": "/oauth2/v1/token", "query": {}, "at": at, "status": 200, "fault": None},
        {"method": "PUT", "path": "/appointments/1", "query": {}, "at": at, "status": 200, "fault": None},
        {"method": "GET", "path": "/appointments/1", "query": {"showinsurance": "true"}, "at": at, "status": 200,
         "fault": None},
    ]  # fmt: skip
    server.forget()
    assert server.requests() == []


def test_settings_grants_and_limits_change_by_name_and_misspelt_ones_are_refused(start_athena: StartAthena) -> None:
    server = start_athena()
    server.settings(open_min_hours=2, freeze=False, per_day=9)
    state = server.state()
    assert (state["settings"]["open_min_hours"], state["grants"]["freeze"], state["limits"]["per_day"]) == (2, False, 9)
    for wrong in ({"colour": "blue"}, {"open_min_hours": "soon"}):
        with pytest.raises(OSError, match="400"):
            server.settings(**wrong)


def test_the_module_serves_an_account_file_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps(make_athena_account(slots=[make_slot(1)])))
    command = [sys.executable, "-m", "local.simulators.athena", "--account", str(file)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, cwd=root, env={"PYTHONPATH": "layers/common"}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        assert AthenaServer(url, MovableClock()).appointment(1)["appointmentstatus"] == "o"
        process.terminate()
        assert process.wait(10) == 0


def test_what_staff_will_do_happens_in_order_as_the_clock_passes_it(athena: ServeAthena, clock: MovableClock) -> None:
    def at(hours: int) -> str:
        return (clock.instant + timedelta(hours=hours)).isoformat()

    server, _ = athena(
        slots=[make_slot(1), make_slot(2, "10:00")],
        changes=[
            {"at": at(2), "action": "cancel", "appointmentid": 1},
            {"at": at(1), "action": "book", "appointmentid": 1, "patientid": PATIENT, "by": "mlopez"},
            {"at": at(3), "action": "freeze", "appointmentid": 2},
        ],
    )
    seen = []
    for _ in range(4):
        one, two = server.appointment(1), server.appointment(2)
        seen.append((one["appointmentstatus"], one.get("scheduledby"), two["isFrozen"]))
        clock.advance(hours=1)
    assert seen == [("o", None, False), ("f", "mlopez", False), ("x", "mlopez", False), ("x", "mlopez", True)]
    assert server.state()["pendingChanges"] == 0
