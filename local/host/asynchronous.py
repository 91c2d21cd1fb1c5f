"""Asynchronous invocations: what fails is repeated, then put into the function's queue of failures, as Lambda does."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime

from local.host.sqs import Sqs, SqsError
from local.host.workers import Answer, Pool

PAUSES_SECONDS = (1.0, 2.0)  # Minutes in the cloud; who tries it here does not want to wait for those.


async def invoke_asynchronously(pool: Pool, payload: bytes, sqs: Sqs) -> bool:
    """Run the function on an event until it succeeds or its attempts are used up, and return whether it succeeded."""
    function = pool.function
    request_id, answer = await pool.invoke(payload)
    for pause in PAUSES_SECONDS[: function.retries]:
        if not answer.failed:
            return True
        await asyncio.sleep(pause)
        request_id, answer = await pool.invoke(payload)
    if answer.failed and function.failures_arn:
        queue = function.failures_arn.rpartition(":")[2]
        with suppress(SqsError):
            await sqs.send(queue, json.dumps(_record(pool, payload, request_id, answer)))
    return not answer.failed


def _record(pool: Pool, payload: bytes, request_id: str, answer: Answer) -> dict[str, object]:
    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{pool.function.arn}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": pool.function.retries + 1,
        },
        "requestPayload": json.loads(payload),
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": json.loads(answer.payload),
    }
