"""The memory of every function after one call at full size, in a fresh process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.availability import EVENT
from bench.booking import DAY, booking_event, free_slots_apart
from bench.findings import Finding
from bench.probing import probe
from bench.requests import NIGHT, ehr_account
from bench.rig import PATIENTS, Rig
from bench.sizes import Sizes
from bench.webhook import webhook_event
from local.database import Database

_LIMIT_MEGABYTES = 256
_OLDEST_EVENT = "select json_build_object('eventId', id) from webhook_events"
_PARTS = "select json_build_object('syncLogId', id) from sync_logs where run_id is not null"


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Call each function once, on a database of the middle size and as many patients as a night is measured with."""
    patients = max(sizes.patients[1], PATIENTS)
    database = rig.copy(rig.practice(sizes.stored[1], patients))
    with rig.simulator(ehr_account(patients, sizes.changed)) as intakeq:
        with rig.function("book", database, intakeq) as instance:
            slot = instance.call(free_slots_apart, DAY)[0]
        events: dict[str, Any] = {
            "migrate": {},
            "availability": EVENT,
            "webhook": webhook_event(1),
            "apply_event": _OLDEST_EVENT,
            "book": booking_event(slot, 1),
            "sync_cron": NIGHT,
            "sync_org": _PARTS,
            "sweeper": {},
        }
        for folder in filter(sizes.includes, events):
            event = events[folder]
            given = _records(rig, database, event) if isinstance(event, str) else event
            found = probe("call", folder, rig.environment(folder, database, intakeq), given)
            _expect_success(folder, found.answer)
            yield Finding(
                what=f"{folder}: memory after one call", n=1, ours=found.megabytes, unit="MB", bar=_LIMIT_MEGABYTES
            )


def _records(rig: Rig, database: Database, query: str) -> dict[str, Any]:
    """Return what SQS makes of the messages that the query returns."""
    with rig.owner(database) as engine, engine.begin() as connection:
        bodies = connection.exec_driver_sql(f"select x::text from ({query}) messages (x)").scalars().all()
    return {
        "Records": [
            {"messageId": str(number), "body": body, "eventSource": "aws:sqs"} for number, body in enumerate(bodies)
        ]
    }


def _expect_success(folder: str, answer: dict[str, Any]) -> None:
    if answer.get("statusCode", 200) >= 400 or answer.get("batchItemFailures"):  # noqa: PLR2004
        raise RuntimeError(f"{folder} failed")
