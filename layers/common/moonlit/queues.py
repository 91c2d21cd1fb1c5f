"""Sending messages; the only module that knows SQS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import batched
from typing import Any, Protocol

LONGEST_DELAY_SECONDS = 900  # SQS delays no message longer.
_BATCH = 10  # SQS takes no more in one call.
# Less than a webhook's function may run: who waits for an answer gets one although the queue hangs.
_PATIENCE: Mapping[str, Any] = {"connect_timeout": 1, "read_timeout": 3, "retries": {"total_max_attempts": 2}}


class MessageNotSent(RuntimeError):
    """The queue did not take a message; what it stands for is still in the database and is sent again later."""


class Queue(Protocol):
    """Takes messages that one worker each will get, at least once and in any order."""

    def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
        """Send `messages`, each to be seen after `delay_seconds`.

        Raises:
            MessageNotSent: Some were not taken; others may have been.
        """
        ...


@dataclass(frozen=True)
class SqsQueue:
    """An SQS queue."""

    url: str

    @cached_property
    def _client(self) -> Any:
        import boto3  # The runtime brings it, and it is slow to import: only who sends pays.
        from botocore.config import Config

        return boto3.client("sqs", config=Config(**_PATIENCE))

    def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
        """Send `messages`, ten in a call."""
        for some in batched(messages, _BATCH, strict=False):
            entries = [
                {"Id": str(index), "MessageBody": json.dumps(message), "DelaySeconds": delay_seconds}
                for index, message in enumerate(some)
            ]
            answer = self._sent(entries)
            if answer.get("Failed"):
                raise MessageNotSent(f"{len(answer['Failed'])} of {len(entries)} messages")

    def _sent(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = self._client.send_message_batch(QueueUrl=self.url, Entries=entries)
        except (BotoCoreError, ClientError) as error:  # Refused, out of reach or too slow: it comes to the same.
            raise MessageNotSent(f"{type(error).__name__}, {len(entries)} messages") from None
        return answer
