"""What a webhook's body says, and who may send one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from moonlit.ehr.intakeq_events import event_of
from moonlit.ehr.port import EhrRefused
from moonlit.sync.webhook import is_known_secret
from tests.fixtures_intakeq import NOON, make_visit


def body(event_type: str, **fields: Any) -> bytes:
    return json.dumps({"EventType": event_type, "Appointment": make_visit(1, NOON), **fields}).encode()


def test_an_appointment_event_carries_the_visit() -> None:
    event = event_of(body("AppointmentRescheduled"))
    assert event.visit
    assert (event.event_type, event.visit.external_id, event.deleted) == ("AppointmentRescheduled", f"{1:024x}", False)


def test_a_deletion_is_known_by_the_event_because_the_status_still_says_confirmed() -> None:
    event = event_of(body("AppointmentDeleted"))
    assert event.visit
    assert (event.visit.status, event.deleted) == ("confirmed", True)


@pytest.mark.parametrize(
    ("said", "event_type"),
    [
        ({"EventType": "InvoicePaid", "Invoice": {}}, "InvoicePaid"),
        ({"Type": "Intake Submitted", "ClientId": 1}, "Intake Submitted"),
        ({"EventType": 7}, None),
        ({}, None),
    ],
)
def test_other_kinds_are_no_error(said: dict[str, Any], event_type: str | None) -> None:
    event = event_of(json.dumps(said).encode())
    assert (event.event_type, event.visit) == (event_type, None)


@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"EventType": "AppointmentCreated"}',
     b'{"EventType": "AppointmentCreated", "Appointment": {"Id": "1"}}'],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_without_being_quoted(said: bytes) -> None:
    with pytest.raises(EhrRefused) as refused:
        event_of(said)
    assert str(refused.value) == "refused: unreadable"


def test_both_secrets_are_valid_while_one_is_rotated() -> None:
    secrets = ["old-secret", "new-secret"]
    assert is_known_secret("old-secret", secrets)
    assert is_known_secret("new-secret", secrets)
    assert not is_known_secret("new-secre", secrets)
    assert not is_known_secret("", secrets)
    assert not is_known_secret("ключ", secrets)
