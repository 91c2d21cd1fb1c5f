"""Deliveries of the simulator's event subscriptions: signed, ids only, together what happened together."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from local.simulators.athena import webhooks
from tests.fixtures_athena import PATIENT, REASON, AthenaServer, make_slot
from tests.fixtures_intakeq import NOON, MovableClock, serving
from tests.integration.simulators.conftest import ServeAthena

SECRET = "made-up-secret-of-webhooks"
SLOTS = [make_slot(number, f"{8 + number:02}:00") for number in (1, 2, 3)]


@contextmanager
def receiver(got: list[tuple[dict[str, str], bytes]], *statuses: int) -> Iterator[str]:
    """Receive deliveries into `got`, answering `statuses` and then 200; yield the URL."""
    waiting = list(statuses)

    async def receive(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.json_response({}, status=waiting.pop(0) if waiting else 200)

    app = web.Application()
    app.add_routes([web.post("/hook", receive)])
    with serving(app) as url:
        yield f"{url}/hook"


def delivered(server: AthenaServer, count: int) -> list[dict[str, Any]]:
    """Wait until `count` deliveries are through, and return them."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        sent = list(server.state()["webhooks"])
        if len(sent) >= count and all(each["status"] == 200 for each in sent):
            return sent
        time.sleep(0.01)
    raise AssertionError(server.state()["webhooks"])


def book(server: AthenaServer, number: int) -> None:
    server.staff("book", appointmentid=number, patientid=PATIENT, reasonid=REASON)


def test_a_delivery_names_ids_alone_and_is_signed_over_its_bytes(athena: ServeAthena) -> None:
    server, _ = athena(slots=SLOTS)
    got: list[tuple[dict[str, str], bytes]] = []
    with receiver(got) as url:
        server.control("POST", "webhook", {"url": url, "secret": SECRET})
        book(server, 1)
        assert delivered(server, 1) == [{"topic": "Appointment.schedule", "ids": ["1"], "status": 200}]
    [(headers, body)] = got
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature"] == f"sha256={digest}"
    status, audit = (entry["resource"] for entry in json.loads(body)["entry"])
    [notification] = status["notificationEvent"]
    assert (status["resourceType"], audit["resourceType"]) == ("SubscriptionStatus", "AuditEvent")
    assert notification["focus"]["identifier"] == {
        "system": "urn:athenahealth:athenanet:appointment:195900", "value": "1",
    }  # fmt: skip
    assert b"Whitlock" not in body


def test_changes_of_the_clock_come_together_by_topic(athena: ServeAthena, clock: MovableClock) -> None:
    changes = [
        {"at": (NOON + timedelta(minutes=number)).isoformat(), "action": "book", "appointmentid": number,
         "patientid": PATIENT}
        for number in (1, 2)
    ] + [{"at": (NOON + timedelta(minutes=3)).isoformat(), "action": "cancel", "appointmentid": 1}]  # fmt: skip
    server, _ = athena(slots=SLOTS, changes=changes)
    got: list[tuple[dict[str, str], bytes]] = []
    with receiver(got) as url:
        server.control("POST", "webhook", {"url": url, "secret": SECRET})
        clock.advance(hours=1)
        told = [(each["topic"], each["ids"]) for each in delivered(server, 2)]
    assert told == [("Appointment.schedule", ["1", "2"]), ("Appointment.cancel", ["1"])]
    numbers = [
        [each["eventNumber"] for each in json.loads(body)["entry"][0]["resource"]["notificationEvent"]]
        for _, body in got
    ]
    assert numbers == [["1", "2"], ["3"]]


def test_a_delivery_that_is_not_taken_comes_again_as_it_was(
    athena: ServeAthena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "PAUSE_SECONDS", 0.0)
    server, _ = athena(slots=SLOTS)
    got: list[tuple[dict[str, str], bytes]] = []
    with receiver(got, 503, 401) as url:
        server.control("POST", "webhook", {"url": url, "secret": SECRET})
        book(server, 1)
        delivered(server, 1)
    assert len({body for _, body in got}) == 1
    assert len(got) == 3


def test_without_an_address_nothing_is_sent(athena: ServeAthena) -> None:
    server, _ = athena(slots=SLOTS)
    book(server, 1)
    assert server.state()["webhooks"] == []
