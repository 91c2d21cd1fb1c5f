"""The comparison has to see every difference, or the nights prove nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from local.demo_data import expected
from tests import expectations

ORGANIZATION = next(iter(expected()["firstNight"]["summaries"]))


def payers() -> list[dict[str, Any]]:
    return [{"name": f"{name} ", "acceptance": dict(answer)} for name, answer in expected()["acceptance"].items()]


def answers() -> dict[tuple[str, ...], dict[str, Any]]:
    return {tuple(case[key] for key in ("payerId", "serviceId", "state", "from")): case
            for case in copy.deepcopy(expected()["slotsAfterFirstNight"])}  # fmt: skip


def asked(stored: dict[tuple[str, ...], dict[str, Any]]) -> Callable[[Any], Any]:
    return lambda query: stored[tuple(query[key] for key in ("payerId", "serviceId", "state", "from"))]


def export() -> dict[str, Any]:
    """Return the export that a correct system would write after the second night."""
    visits = expected()["firstNight"]["appointments"] | expected()["secondNight"]["appointments"]
    return {
        "appointments": [
            {"system": "intakeq", "external_id": external_id, "patient_id": visit["patientId"],
             "provider_id": visit["providerId"], "start": visit["start"].replace("Z", "+00:00"),
             "status": visit["status"], "meeting_url": visit["meetingUrl"],
             "location_info": {"kind": visit["locationKind"]}}
            for external_id, visit in visits.items()
        ],
        "sync_logs": [
            {"organization_id": organization, "sync_type": "automated_daily", "started_at": at, "counts": dict(counts)}
            for night, at in (("second", "2027-02-25T10:00:00Z"), ("first", "2027-02-25T02:30:00Z"))
            for organization, counts in expected()[f"{night}Night"]["summaries"].items()
        ],
    }  # fmt: skip


def roster() -> list[dict[str, Any]]:
    upcoming = expected()["firstNight"]["next"]
    rows = [
        {"patientId": patient, "consent": "active", "nextAppointment": dict(row)} for patient, row in upcoming.items()
    ]
    return [*rows, {"patientId": "nobody's", "consent": "active", "nextAppointment": None}]


def test_what_is_as_expected_has_no_differences() -> None:
    assert expectations.acceptance_differences(payers(), expected()) == []
    assert expectations.slot_differences(asked(answers()), expected()) == []
    assert expectations.night_differences(export(), expected(), "second") == []
    assert expectations.roster_differences(roster(), expected(), "first") == []


def test_a_payer_with_another_answer_is_seen() -> None:
    changed = payers()
    changed[0]["acceptance"]["status"] = "lead"
    del changed[1]
    assert len(expectations.acceptance_differences(changed, expected())) == 2


def test_a_slot_too_many_too_few_or_of_others_is_seen() -> None:
    changed = answers()
    slots = next(iter(changed.values()))["slots"]
    slots[0]["start"] = slots[0]["start"].replace(":00Z", ":01Z")
    slots[1]["providerIds"] = ["somebody else"]
    assert len(expectations.slot_differences(asked(changed), expected())) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patient_id", "another"),
        ("provider_id", "another"),
        ("start", "2030-01-01T00:00:00Z"),
        ("status", "failed"),
        ("meeting_url", "https://video.example/other"),
        ("location_info", {"kind": "moon"}),
        ("external_id", "unheard of"),
    ],
)
def test_a_visit_that_differs_is_seen(field: str, value: object) -> None:
    changed = export()
    changed["appointments"][0][field] = value
    assert expectations.night_differences(changed, expected(), "second")


def test_other_counts_and_a_missing_run_are_seen() -> None:
    changed = export()
    log = next(log for log in changed["sync_logs"] if log["organization_id"] == ORGANIZATION)
    log["counts"]["new"] += 1
    assert len(expectations.night_differences(changed, expected(), "second")) == 1
    changed["sync_logs"].remove(log)
    assert len(expectations.night_differences(changed, expected(), "second")) == 1


def test_another_next_visit_and_one_shown_without_consent_are_seen() -> None:
    changed = roster()
    changed[0]["nextAppointment"] = None
    changed[1]["consent"] = "missing"
    assert len(expectations.roster_differences(changed, expected(), "first")) == 2
