"""The SQS calls that sources of events need, as coroutines: a long poll must end when the host does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from local.host.intrinsics import ACCOUNT, REGION

MAX_MESSAGES = 10  # A limit of SQS for one call.
_CREDENTIAL = f"AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0"


class SqsError(Exception):
    """SQS was not reached, or refused; the text holds its code only."""


@dataclass(frozen=True, slots=True)
class Sqs:
    """A local SQS, which does not check signatures."""

    session: aiohttp.ClientSession
    url: str

    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[dict[str, Any]]:
        """Wait for messages of the queue called `queue` and return them with all attributes, none when there are none.

        Raises:
            SqsError: The call failed.
        """
        asked = {
            "QueueUrl": self.queue_url(queue),
            "MaxNumberOfMessages": min(limit, MAX_MESSAGES),
            "WaitTimeSeconds": int(wait_seconds),
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        answer = await self._call("ReceiveMessage", asked)
        return list(answer.get("Messages", []))

    async def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Delete messages by their receipt handles.

        Raises:
            SqsError: The call failed.
        """
        for start in range(0, len(receipts), MAX_MESSAGES):
            some = receipts[start : start + MAX_MESSAGES]
            entries = [{"Id": str(n), "ReceiptHandle": receipt} for n, receipt in enumerate(some)]
            await self._call("DeleteMessageBatch", {"QueueUrl": self.queue_url(queue), "Entries": entries})

    async def send(self, queue: str, body: str) -> None:
        """Send a message to the queue called `queue`.

        Raises:
            SqsError: The call failed.
        """
        await self._call("SendMessage", {"QueueUrl": self.queue_url(queue), "MessageBody": body})

    def queue_url(self, queue: str) -> str:
        """Return the URL of the queue called `queue`."""
        return f"{self.url}/{ACCOUNT}/{queue}"

    async def _call(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{action}",
            "Authorization": _CREDENTIAL,
        }
        try:
            async with self.session.post(self.url, json=asked, headers=headers) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, ValueError) as error:
            raise SqsError(type(error).__name__) from error
        if not response.ok:
            raise SqsError(str(answer.get("__type", response.status)))
        return answer
