"""What a call is answered when a practice has several EHR accounts."""

from __future__ import annotations

from typing import Any

import pytest

from moonlit.sync.nights import answer


def account(system: str, state: str, **fields: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("new", "updated", "unchanged", "errors"), 1)
    told = {"runId": f"run of {system}", "state": state, "error": None, "requestsUsed": 2, "organizations": 3}
    return {"system": system, **told, "counts": counts, "logs": [system], **fields}


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("completed", "completed", "completed"),
        ("failed", "failed", "failed"),
        ("completed", "failed", "partial"),
        ("partial", "completed", "partial"),
        ("applying", "completed", "applying"),
        ("failed", "applying", "applying"),
        ("applying", "pulling", "pulling"),
    ],
)
def test_state_of_two_runs_together(first: str, second: str, together: str) -> None:
    assert answer([account("intakeq", first), account("athena", second)])["state"] == together


def test_sums_of_two_accounts() -> None:
    accounts = [account("intakeq", "completed"), account("athena", "failed", error="brake", organizations=0)]
    assert answer(accounts) == {
        "runId": "run of intakeq",
        "state": "partial",
        "error": "brake",
        "requestsUsed": 4,
        "organizations": 3,
        "counts": {"new": 2, "updated": 2, "unchanged": 2, "errors": 2},
        "logs": ["intakeq", "athena"],
        "accounts": accounts,
    }


def test_answer_of_one_account_is_its_summary() -> None:
    alone = account("intakeq", "failed", error="brake")
    assert answer([alone]) == {name: value for name, value in alone.items() if name != "system"}
