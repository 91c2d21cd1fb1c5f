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

        return boto3.client("sqs")

    def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
        """Send `messages`, ten in a call."""
        for some in batched(messages, _BATCH, strict=False):
            entries = [
                {"Id": str(index), "MessageBody": json.dumps(message), "DelaySeconds": delay_seconds}
                for index, message in enumerate(some)
            ]
            answer = self._client.send_message_batch(QueueUrl=self.url, Entries=entries)
            if answer.get("Failed"):
                raise MessageNotSent(f"{len(answer['Failed'])} of {len(entries)} messages")
