"""A webhook, verified, stored and answered, beside the bare insert of its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

from bench.findings import Finding
from bench.instance import handle, http_event
from bench.practice import NOW, WEBHOOK_SECRET, visit
from bench.sizes import Sizes
from bench.timing import Series, in_turns, stopwatch
from moonlit import wiring
from moonlit.queues import SqsQueue

if TYPE_CHECKING:  # The functions' processes import this module too, and have no use for the rig.
    from bench.rig import Rig

_INSERT = """
insert into webhook_events (id, source, content_hash, body, event_type, external_id, state, received_at)
values (%s, 'intakeq', %s, %s, 'AppointmentConfirmed', %s, 'received', %s)
"""


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Measure without the queue, which is not ours, and tell beside it what sending to moto takes."""
    with rig.function("webhook", rig.copy(rig.practice())) as instance:
        took = instance.call(compared, sizes.webhooks)
    ours, bare = took["ours"], took["bare"]
    yield Finding(
        what="webhook stored and answered (no SQS), beside the insert", n=sizes.webhooks, ours=ours.median,
        reference=bare.median, bar=2.0, note=f"p95 {ours.p95:.2f} / {bare.p95:.2f}",
    )  # fmt: skip
    yield Finding(what="the same with its message to moto's SQS", n=sizes.webhooks, ours=took["queued"].median)


def compared(rounds: int) -> dict[str, Series]:
    """Measure the handler with and without its queue, and the insert, in turns; each time with another event."""
    numbers = iter(range(1, 1_000_000))

    def received() -> float:
        event = webhook_event(next(numbers))
        with patch.object(SqsQueue, "send", _forget):
            return stopwatch(partial(_expect_200, event))

    def inserted() -> float:
        body = _body(next(numbers))
        with wiring.begin()() as connection:
            return stopwatch(partial(_insert, connection.connection, body))

    def queued() -> float:
        return stopwatch(partial(_expect_200, webhook_event(next(numbers))))

    return in_turns({"ours": received, "bare": inserted, "queued": queued}, rounds)


def webhook_event(number: int) -> dict[str, Any]:
    """Return a webhook about a visit of its own."""
    return http_event("POST", f"/webhooks/intakeq/{WEBHOOK_SECRET}", body=_body(number).decode())


def _body(number: int) -> bytes:
    row = visit(number, NOW + timedelta(days=1), client=number)
    return json.dumps({"EventType": "AppointmentConfirmed", "Appointment": row, "ClientId": number}).encode()


def _expect_200(event: dict[str, Any]) -> None:
    status = handle(event)["statusCode"]
    if status != 200:  # noqa: PLR2004
        raise RuntimeError(f"webhook answered {status}")


def _insert(driver: Any, body: bytes) -> None:
    values = (uuid4(), hashlib.sha256(body).hexdigest(), body, uuid4().hex, NOW)
    driver.cursor().execute(_INSERT, values)
    driver.commit()


def _forget(_: SqsQueue, __: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
    """Take a message as a queue would that takes no time."""
