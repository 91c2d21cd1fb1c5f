"""Messages that are worked on together: one that fails does not take the others with it."""

from __future__ import annotations

import json
from typing import Any

from moonlit.records import all_records


class Context:
    """As much of Lambda's as is looked at."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def event(*bodies: Any) -> dict[str, Any]:
    records = [
        {
            "messageId": str(number),
            "body": body if isinstance(body, str) else json.dumps(body),
            "eventSource": "aws:sqs",
        }
        for number, body in enumerate(bodies)
    ]
    return {"Records": records}


def failures(answer: dict[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def test_all_are_done_at_once() -> None:
    calls: list[Any] = []
    assert all_records(event(1, 2, 3), Context(), calls.append) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert calls == [[1, 2, 3]]


def test_the_failing_one_alone_comes_again() -> None:
    calls: list[Any] = []

    def work(bodies: Any) -> None:
        calls.append(bodies)
        if 2 in bodies:
            raise RuntimeError("no")

    assert failures(all_records(event(1, 2, 3), Context(), work)) == ["1"]  # type: ignore[arg-type]
    assert calls == [[1, 2, 3], [1], [2], [3]]


def test_one_that_cannot_be_read_alone_comes_again() -> None:
    calls: list[Any] = []
    answer = all_records(event(1, "{"), Context(), calls.append)  # type: ignore[arg-type]
    assert (failures(answer), calls) == (["1"], [[1]])


def test_single_one_that_fails_is_tried_once() -> None:
    calls: list[Any] = []

    def work(bodies: Any) -> None:
        calls.append(bodies)
        raise RuntimeError("no")

    assert failures(all_records(event(1), Context(), work)) == ["0"]  # type: ignore[arg-type]
    assert calls == [[1]]
