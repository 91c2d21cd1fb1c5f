from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from local.simulators.intakeq.wire import to_ms
from tests.fixtures_intakeq import CLIENT, NOON, IntakeqServer, MovableClock, make_account, make_visit, serving
from tests.integration.simulators.conftest import Serve
from tests.integration.simulators.test_intakeq_appointments import BOOKING

ONE = f"{1:024x}"


@contextmanager
def receiver(got: list[dict[str, Any]]) -> Iterator[str]:
    """Receive webhooks into `got`; yield the URL."""

    async def receive(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.post("/hook", receive)])
    with serving(app) as url:
        yield f"{url}/hook"


def delivered(server: IntakeqServer, count: int) -> list[str]:
    """Wait until `count` webhooks have been answered; return their events."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        hooks = server.state()["webhooks"]
        if len(hooks) >= count and all(hook["status"] is not None for hook in hooks):
            break
        time.sleep(0.01)
    return [hook["event"] for hook in hooks]


def test_changes_happen_in_order_as_the_clock_passes_them(serve: Serve, clock: MovableClock) -> None:
    moved = make_visit(1, NOON + timedelta(days=2), LastModified=to_ms(NOON) + 2)
    new = make_visit(2, NOON, LastModified=to_ms(NOON) + 1)
    server, api = serve(
        appointments=[make_visit(1, NOON)],
        changes=[
            {"at": to_ms(NOON + timedelta(hours=2)), "event": "AppointmentRescheduled", "appointment": moved},
            {"at": to_ms(NOON + timedelta(hours=1)), "event": "AppointmentCreated", "appointment": new},
            {"at": to_ms(NOON + timedelta(hours=3)), "event": "AppointmentDeleted", "appointment": moved},
        ],
    )
    seen = []
    for _ in range(4):
        seen.append([(int(row["Id"]), row["StartDate"]) for row in api.get("appointments").json()])
        clock.advance(hours=1)
    first, second = (1, to_ms(NOON)), (2, to_ms(NOON))
    assert seen == [[first], [first, second], [(1, moved["StartDate"]), second], [second]]
    assert server.state()["pendingChanges"] == 0


def test_every_way_to_change_a_visit_is_announced_in_order(serve: Serve, clock: MovableClock) -> None:
    got: list[dict[str, Any]] = []
    change = {"at": to_ms(NOON + timedelta(hours=1)), "event": "AppointmentMissed",
              "appointment": make_visit(1, NOON, Status="Missed")}  # fmt: skip
    server, api = serve(
        appointments=[make_visit(1, NOON), make_visit(3, NOON, Status="WaitingConfirmation")], changes=[change]
    )
    api.post("appointments", json=BOOKING)  # No URL is set yet, so nobody hears of it.
    with receiver(got) as url:
        server.control("POST", "webhook", {"url": url})
        booked = api.post("appointments", json=BOOKING).json()
        api.put("appointments", json={"Id": booked["Id"], "UtcDateTime": booked["StartDate"] + 300_000})
        api.put("appointments", json={"Id": booked["Id"], "UtcDateTime": booked["StartDate"] + 300_000})
        api.post("appointments/cancellation", json={"AppointmentId": booked["Id"]})
        server.staff("update", id=f"{3:024x}", fields={"Status": "Confirmed"})
        server.staff("delete", id=f"{3:024x}")
        server.staff("create", appointment={"StartDate": to_ms(NOON) + 1, "ClientId": CLIENT})
        clock.advance(hours=1)
        events = delivered(server, 7)
    assert events == [
        "AppointmentCreated",
        "AppointmentRescheduled",
        "AppointmentCanceled",
        "AppointmentConfirmed",
        "AppointmentDeleted",
        "AppointmentCreated",
        "AppointmentMissed",
    ]
    assert [body["EventType"] for body in got] == events
    assert set(got[0]) == {"EventType", "Appointment", "ActionPerformedByClient", "ClientId", "ExternalClientId",
                           "PracticeId", "ExternalPracticeId"}  # fmt: skip
    assert got[4]["Appointment"]["Status"] == "Confirmed"  # A deletion does not say so in the status.


def test_a_receiver_that_is_gone_is_not_asked_again(serve: Serve) -> None:
    server, _ = serve(appointments=[make_visit(1, NOON)])
    server.control("POST", "webhook", {"url": "http://127.0.0.1:9/hook"})
    server.staff("cancel", id=ONE)
    assert delivered(server, 1) == ["AppointmentCanceled"]
    assert server.state()["webhooks"][0]["status"] == "failed"


def test_staff_are_not_bound_by_the_apis_rules(serve: Serve) -> None:
    server, _ = serve(appointments=[make_visit(1, NOON, Status="Canceled")])
    odd_minute = to_ms(NOON) + 61_000
    moved = server.staff("update", id=ONE, fields={"Status": "Missed", "StartDate": odd_minute})
    assert (moved["Status"], moved["EndDate"] - moved["StartDate"]) == ("Missed", 3_600_000)
    with pytest.raises(OSError, match="400"):
        server.staff("update", id="unknown", fields={})


def test_requests_are_listed_with_their_answers_and_control_calls_are_not(serve: Serve, clock: MovableClock) -> None:
    server, api = serve(limits={"per_minute": 2, "per_day": None})
    api.get("appointments", params={"client": "x", "page": "2"})
    api.get("clients", headers={"X-Auth-Key": "wrong"})
    api.get("nowhere")
    api.get("practitioners")
    api.get("practitioners")
    listed = server.requests()
    assert [(row["method"], row["path"], row["status"]) for row in listed] == [
        ("GET", "/appointments", 200),
        ("GET", "/clients", 401),
        ("GET", "/nowhere", 404),
        ("GET", "/practitioners", 200),
        ("GET", "/practitioners", 429),
    ]
    assert listed[0]["query"] == {"client": "x", "page": "2"}
    assert listed[0]["at"] == clock.instant.isoformat()
    server.forget()
    assert server.requests() == []


def test_the_minutes_limit_slides_and_the_days_limit_ends_at_midnight_utc(serve: Serve, clock: MovableClock) -> None:
    _, api = serve(limits={"per_minute": 2, "per_day": 4})

    def status() -> int:
        return api.get("practitioners").status_code

    assert [status(), status(), status()] == [200, 200, 429]
    clock.advance(seconds=59.9)
    assert status() == 429
    clock.advance(seconds=0.1)
    assert [status(), status(), status()] == [200, 200, 429]
    clock.advance(hours=1)
    assert status() == 429
    clock.advance(hours=4)
    assert status() == 200


@pytest.mark.parametrize(
    ("fault", "status", "has_effect"),
    [
        ({"kind": "delay", "seconds": 0.01}, 200, True),
        ({"kind": "delay_after", "seconds": 0.01}, 200, True),
        ({"kind": "error_before"}, 500, False),
        ({"kind": "error_after", "status": 503}, 503, True),
        ({"kind": "drop_before"}, None, False),
        ({"kind": "drop_after"}, None, True),
        ({"kind": "429", "retry_after": 7}, 429, False),
        ({"kind": "html"}, 200, False),
        ({"kind": "html_after", "status": 502}, 502, True),
    ],
)
def test_a_fault_happens_once_where_it_was_ordered(
    serve: Serve, fault: dict[str, Any], status: int | None, *, has_effect: bool
) -> None:
    server, api = serve()
    server.fail({"method": "POST", "path": "/appo*", **fault})
    assert api.get("appointments").status_code == 200
    try:
        answer = api.post("appointments", json=BOOKING)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        assert status is None
    else:
        assert answer.status_code == status
        assert answer.headers.get("Retry-After") == ("7" if status == 429 else None)
        assert ("html" in fault["kind"]) is ("text/html" in answer.headers["content-type"])
    assert len(server.state()["appointments"]) == has_effect
    assert (server.requests()[-1]["fault"], server.requests()[-1]["status"]) == (fault["kind"], status)
    assert server.state()["faults"] == []
    assert api.post("appointments", json=BOOKING).status_code == 200


def test_faults_work_on_clients_and_can_stand_for_ever_until_cleared(serve: Serve) -> None:
    server, api = serve()
    server.fail({"path": "/clients*", "kind": "error_before", "times": None})
    assert {api.get("clients").status_code for _ in range(3)} == {500}
    server.fail()
    assert api.get("clients").status_code == 200


def test_a_fault_that_is_misspelt_is_refused(serve: Serve) -> None:
    server, _ = serve()
    with pytest.raises(OSError, match="400"):
        server.fail({"kind": "explode"})


def test_a_client_that_hangs_up_does_not_stop_a_booking_under_way(serve: Serve) -> None:
    server, api = serve()
    server.fail({"method": "POST", "kind": "delay", "seconds": 0.2})
    with pytest.raises(httpx.ReadTimeout):
        api.post("appointments", json=BOOKING, timeout=0.05)
    deadline = time.monotonic() + 10
    while not server.state()["appointments"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(server.state()["appointments"]) == 1


async def test_parallel_bookings_are_each_whole(serve: Serve) -> None:
    server, _ = serve()
    async with httpx.AsyncClient(base_url=server.base_url, headers={"X-Auth-Key": server.key}, trust_env=False) as api:
        answers = await asyncio.gather(*(api.post("appointments", json=BOOKING) for _ in range(20)))
    assert len({answer.json()["Id"] for answer in answers}) == 20


def test_the_module_serves_an_account_file_and_says_where(tmp_path: Path) -> None:
    account = tmp_path / "account.json"
    account.write_text(json.dumps(make_account(appointments=[make_visit(1, NOON)])))
    command = [sys.executable, "-m", "local.simulators.intakeq", "--account", str(account)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, cwd=root, env={"PYTHONPATH": "layers/common"}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        assert len(IntakeqServer(url, MovableClock()).state()["appointments"]) == 1
        process.terminate()
        assert process.wait(10) == 0
