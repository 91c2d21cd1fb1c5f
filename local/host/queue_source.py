"""SQS event sources: batches to a function, successes deleted, failures left for SQS to bring again or to redrive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from local.host.intrinsics import REGION
from local.host.sqs import Sqs, SqsError
from local.host.template import QueueSource
from local.host.workers import Answer, Pool

LONG_POLL_SECONDS = 20
_PAUSE_SECONDS = 0.5  # After a failed call, so that a queue that is gone does not keep a core busy.
_WINDOW_POLL_SECONDS = 0.1
_ATTRIBUTE_TYPES = {"StringValue": "stringValue", "BinaryValue": "binaryValue", "DataType": "dataType"}


class QueuePoller:
    """Polls one queue for one function.

    One poll runs at a time: the local SQS may give a message to two at once. Batches run side by side.
    """

    def __init__(self, source: QueueSource, pool: Pool, sqs: Sqs) -> None:
        self._source = source
        self._pool = pool
        self._sqs = sqs
        self._queue = source.queue_arn.rpartition(":")[2]
        self._places = asyncio.Semaphore(min(source.concurrency, pool.limit))

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._places.acquire()
                try:
                    messages = await self._batch()
                except SqsError:
                    messages = []
                    await asyncio.sleep(_PAUSE_SECONDS)
                if messages:
                    batches.create_task(self._handle(messages))
                else:
                    self._places.release()

    async def _batch(self) -> list[dict[str, Any]]:
        """Wait for a first message, then for a full batch or the end of the batching window."""
        size = self._source.batch_size
        messages = await self._sqs.receive(self._queue, limit=size, wait_seconds=LONG_POLL_SECONDS)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._source.window_seconds
        while messages and len(messages) < size and (left := end - loop.time()) > 0:
            await asyncio.sleep(min(left, _WINDOW_POLL_SECONDS))
            messages += await self._sqs.receive(self._queue, limit=size - len(messages), wait_seconds=0)
        return messages

    async def _handle(self, messages: Sequence[dict[str, Any]]) -> None:
        try:
            event = {"Records": [_record(message, self._source.queue_arn) for message in messages]}
            _, answer = await self._pool.invoke(json.dumps(event).encode())
            failed = failed_ids(answer, messages, reports_failures=self._source.reports_failures)
            done = [message["ReceiptHandle"] for message in messages if message["MessageId"] not in failed]
            with suppress(SqsError):  # What stays comes again, which a handler has to bear anyway.
                await self._sqs.delete(self._queue, done)
        finally:
            self._places.release()


def failed_ids(answer: Answer, messages: Sequence[dict[str, Any]], *, reports_failures: bool) -> set[str]:
    """Return the ids of the messages that were not handled: all of them when the answer makes no sense."""
    every = {str(message["MessageId"]) for message in messages}
    if answer.failed:
        return every
    if not reports_failures:
        return set()
    try:
        returned = json.loads(answer.payload) or {}
        failures = {str(failure["itemIdentifier"]) for failure in returned.get("batchItemFailures") or ()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return every
    return every if failures - every else failures


def _record(message: dict[str, Any], queue_arn: str) -> dict[str, Any]:
    attributes = {
        name: {ours: value[theirs] for theirs, ours in _ATTRIBUTE_TYPES.items() if theirs in value}
        | {"stringListValues": [], "binaryListValues": []}
        for name, value in message.get("MessageAttributes", {}).items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }
