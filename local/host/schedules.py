"""EventBridge Scheduler: rate expressions run on the machine's time; cron ones are only listed.

A night is started by hand here (`make invoke`), also when the stack's clock is moved past its hour: whoever moves the
clock wants to see what that night does, once.
"""

from __future__ import annotations

import asyncio
import json
import uuid

from local.host.intrinsics import ACCOUNT, REGION
from local.host.template import Schedule
from local.host.workers import Pool
from moonlit.clock import Clock


async def run_schedule(schedule: Schedule, pool: Pool, clock: Clock) -> None:
    """Invoke the function in the period of a rate expression until cancelled, never twice at once."""
    if schedule.every_seconds is None:
        return
    while True:
        await asyncio.sleep(schedule.every_seconds)
        await pool.invoke(_payload(schedule, clock))


def _payload(schedule: Schedule, clock: Clock) -> bytes:
    if schedule.payload is not None:
        return schedule.payload.encode()
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{schedule.name}"],
        "detail": "{}",
    }
    return json.dumps(event).encode()
