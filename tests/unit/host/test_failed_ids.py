"""Which messages of a batch count as handled."""

from __future__ import annotations

import pytest

from local.host.queue_source import failed_ids
from local.host.workers import Answer

MESSAGES = [{"MessageId": "a"}, {"MessageId": "b"}]


@pytest.mark.parametrize(
    ("payload", "failed"),
    [
        (b"null", set()),
        (b"{}", set()),
        (b'{"batchItemFailures": []}', set()),
        (b'{"batchItemFailures": null}', set()),
        (b'{"batchItemFailures": [{"itemIdentifier": "b"}]}', {"b"}),
        (b'{"batchItemFailures": [{"itemIdentifier": "unknown"}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{}]}', {"a", "b"}),
        (b'"text"', {"a", "b"}),
        (b"not json", {"a", "b"}),
    ],
)
def test_a_report_is_believed_only_when_it_makes_sense(payload: bytes, failed: set[str]) -> None:
    assert failed_ids(Answer(payload), MESSAGES, reports_failures=True) == failed


def test_without_reports_an_answer_handles_all_and_an_error_none() -> None:
    partial = b'{"batchItemFailures": [{"itemIdentifier": "b"}]}'
    assert failed_ids(Answer(partial), MESSAGES, reports_failures=False) == set()
    assert failed_ids(Answer(b"{}", failed=True), MESSAGES, reports_failures=False) == {"a", "b"}
