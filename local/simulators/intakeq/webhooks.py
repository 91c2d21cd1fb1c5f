"""Webhooks: posted one after the other, in order, once each; what happens to them is listed for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from local.simulators.common.answers import Row

_ANSWER_SECONDS = 10


class Webhooks:
    """Sends each event to the URL that was set when it happened; without one, events are not sent at all."""

    def __init__(self, practice_id: str) -> None:
        self.url: str | None = None
        self.deliveries: list[Row] = []
        self._practice_id = practice_id
        self._waiting: asyncio.Queue[tuple[str, Row, Row]] = asyncio.Queue()

    def announce(self, event: str, visit: Row) -> None:
        """Queue the event; `visit` is a list row, as it is at this moment."""
        if self.url is None:
            return
        body = {
            "EventType": event,
            "Appointment": visit,
            "ActionPerformedByClient": False,
            "ClientId": visit["ClientId"],
            "ExternalClientId": visit.get("ExternalClientId"),
            "PracticeId": self._practice_id,
            "ExternalPracticeId": None,
        }
        delivery: Row = {"event": event, "id": visit["Id"], "status": None}
        self.deliveries.append(delivery)
        self._waiting.put_nowait((self.url, body, delivery))

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Send what is queued for as long as the application runs."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)) as session:
            sender = asyncio.create_task(self._send_all(session))
            yield
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send_all(self, session: aiohttp.ClientSession) -> None:
        while True:
            url, body, delivery = await self._waiting.get()
            try:
                async with session.post(url, json=body) as answer:
                    delivery["status"] = answer.status
            except (aiohttp.ClientError, TimeoutError):  # Nobody knows of repetitions, so there are none.
                delivery["status"] = "failed"
