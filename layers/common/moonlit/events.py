"""Telling the rest of the bundle what has happened; the only module that knows EventBridge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import batched
from typing import Any, Protocol
from uuid import UUID

SOURCE = "moonlit"
_BATCH = 10  # EventBridge takes no more in one call.
# Whoever waits for an answer gets one although the bus hangs: the sweeper tells it again.
_PATIENCE: Mapping[str, Any] = {"connect_timeout": 1, "read_timeout": 3, "retries": {"total_max_attempts": 2}}


class EventsNotPublished(RuntimeError):
    """The bus did not take an event; it waits in the outbox and is published again."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened, by ids alone; `id` is the same each time it is told."""

    id: UUID
    kind: str
    detail: Mapping[str, Any]


class Publisher(Protocol):
    """Takes events that each subscriber will get, at least once and in any order."""

    def publish(self, events: Sequence[Event]) -> None:
        """Publish `events`.

        Raises:
            EventsNotPublished: Some were not taken; others may have been.
        """
        ...


@dataclass(frozen=True)
class EventBus:
    """An EventBridge bus."""

    name: str

    @cached_property
    def _client(self) -> Any:
        import boto3  # The runtime brings it, and it is slow to import: only who publishes pays.
        from botocore.config import Config

        return boto3.client("events", config=Config(**_PATIENCE))

    def publish(self, events: Sequence[Event]) -> None:
        """Publish `events`, ten in a call."""
        for some in batched(events, _BATCH, strict=False):
            answer = self._put([self._entry(event) for event in some])
            if answer.get("FailedEntryCount"):
                raise EventsNotPublished(f"{answer['FailedEntryCount']} of {len(some)} events")

    def _entry(self, event: Event) -> dict[str, Any]:
        detail = json.dumps({"eventId": str(event.id), **event.detail})
        return {"EventBusName": self.name, "Source": SOURCE, "DetailType": event.kind, "Detail": detail}

    def _put(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = self._client.put_events(Entries=entries)
        except (BotoCoreError, ClientError) as error:  # Refused, out of reach or too slow: it comes to the same.
            raise EventsNotPublished(f"{type(error).__name__}, {len(entries)} events") from None
        return answer
