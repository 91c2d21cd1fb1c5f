"""EventBridge rules: the local bus filters and wraps, a queue of the host's own hands over to the function."""

from __future__ import annotations

import asyncio

from local.host.asynchronous import invoke_asynchronously
from local.host.sqs import MAX_MESSAGES, Sqs, SqsError
from local.host.template import Rule
from local.host.workers import Pool

_LONG_POLL_SECONDS = 20
_PAUSE_SECONDS = 0.5  # After a failed call, so that a queue that is gone does not keep a core busy.


async def run_rule(rule: Rule, pool: Pool, sqs: Sqs) -> None:
    """Invoke the function for every event that the rule lets through, until cancelled."""
    async with asyncio.TaskGroup() as invocations:
        while True:
            try:
                messages = await sqs.receive(rule.queue, limit=MAX_MESSAGES, wait_seconds=_LONG_POLL_SECONDS)
                await sqs.delete(rule.queue, [message["ReceiptHandle"] for message in messages])
            except SqsError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            for message in messages:
                invocations.create_task(invoke_asynchronously(pool, message["Body"].encode(), sqs))
