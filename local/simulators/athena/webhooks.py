"""Event subscriptions: signed deliveries of ids, at least once each, several notifications at a time.

What has happened since the last delivery goes into the next one, by topic: a topic is a subscription of its own. A
delivery that is not answered with 2xx comes again, a few times.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web

from local.simulators.athena.account import Account
from local.simulators.athena.slot import Slot
from local.simulators.common.answers import Row
from moonlit.clock import Clock

# The vendor tries for an hour; nobody who watches a simulator waits that long.
TRIES = 4
PAUSE_SECONDS = 1.0
_ANSWER_SECONDS = 2
_TOPICS = {
    "ScheduleAppointment": "Appointment.schedule",
    "CancelAppointment": "Appointment.cancel",
    "UpdateAppointment": "Appointment.update",
    "CheckIn": "Appointment.check-in",
    "CheckOut": "Appointment.check-out",
    "FreezeAppointment": "Appointment.freeze",
    "UnfreezeAppointment": "Appointment.unfreeze",
}


@dataclass(frozen=True, slots=True)
class Happened:
    """Something to tell, and whom."""

    url: str
    secret: str
    topic: str
    notification: Row
    audit: Row


class Webhooks:
    """Sends what happens to the URL that was set by then, signed; without one, nothing is sent at all."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self.url: str | None = None
        self.secret = ""
        self.deliveries: list[Row] = []
        self._account = account
        self._clock = clock
        self._number = 0
        self._waiting: asyncio.Queue[Happened] = asyncio.Queue()

    def announce(self, event: str, slot: Slot) -> None:
        """Queue what happened to a slot; `event` is the feed's word for it."""
        topic = _TOPICS.get(event)
        if self.url is None or topic is None:
            return
        self._number += 1
        notification = {
            "eventNumber": str(self._number),
            "id": str(uuid4()),
            "timestamp": self._clock.now().isoformat(),
            "focus": {"identifier": self._identifier("appointment", slot.id)},
        }
        patient = [self._identifier("patient", slot.booking.patient_id)] if slot.booking else []
        entities = [self._identifier("department", slot.department_id), *patient]
        audit = {"resourceType": "AuditEvent", "entity": [{"what": {"identifier": entity}} for entity in entities]}
        self._waiting.put_nowait(Happened(self.url, self.secret, topic, notification, audit))

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Send what is queued for as long as the application runs."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)) as session:
            sender = asyncio.create_task(self._send_all(session))
            yield
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _identifier(self, kind: str, value: str) -> Row:
        return {"system": f"urn:athenahealth:athenanet:{kind}:{self._account.practice_id}", "value": value}

    async def _send_all(self, session: aiohttp.ClientSession) -> None:
        while True:
            waiting = [await self._waiting.get()]
            while not self._waiting.empty():
                waiting.append(self._waiting.get_nowait())
            together: dict[tuple[str, str, str], list[Happened]] = {}
            for each in waiting:
                together.setdefault((each.url, each.secret, each.topic), []).append(each)
            for (url, secret, topic), happened in together.items():
                delivery: Row = {
                    "topic": topic,
                    "ids": [each.notification["focus"]["identifier"]["value"] for each in happened],
                    "status": None,
                }
                self.deliveries.append(delivery)
                await self._send(session, url, secret, bundle(topic, happened), delivery)

    async def _send(self, session: aiohttp.ClientSession, url: str, secret: str, body: bytes, delivery: Row) -> None:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/fhir+json", "X-Hub-Signature": f"sha256={digest}"}
        for attempt in range(TRIES):
            await asyncio.sleep(attempt * PAUSE_SECONDS)
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    delivery["status"] = answer.status
            except (aiohttp.ClientError, TimeoutError):
                delivery["status"] = "failed"
            if delivery["status"] in range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES):
                return


def bundle(topic: str, happened: list[Happened]) -> bytes:
    """Return the body of a delivery."""
    status: dict[str, Any] = {
        "resourceType": "SubscriptionStatus",
        "status": "active",
        "type": "event-notification",
        "topic": f"https://api.platform.athenahealth.com/fhir/r4/SubscriptionTopic/{topic}",
        "notificationEvent": [each.notification for each in happened],
    }
    resources = [status, *(each.audit for each in happened)]
    entries = [{"fullUrl": f"urn:uuid:{uuid4()}", "resource": resource} for resource in resources]
    return json.dumps({"resourceType": "Bundle", "type": "history", "entry": entries}).encode()
