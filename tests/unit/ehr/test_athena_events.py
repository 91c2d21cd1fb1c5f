"""What a delivery of athenahealth says, and whom it is from."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from moonlit.ehr.athena_events import appointment_of, delivery_of, is_signed
from moonlit.ehr.port import EhrRefused

SECRETS = ["the-new-secret-of-webhooks", "the-old-secret-of-webhooks"]
BODY = b'{"resourceType": "Bundle" }\n'


def notification(value: object = "1204881", **fields: Any) -> dict[str, Any]:
    system = fields.pop("system", "urn:athenahealth:athenanet:appointment:195900")
    identifier = {"system": system, "value": value}
    return {"eventNumber": "1", "id": "e-1", "timestamp": "2027-03-10T19:00:00Z", "focus": {"identifier": identifier}} | fields  # fmt: skip


def bundle(*notifications: Any, **status: Any) -> bytes:
    said = {"resourceType": "SubscriptionStatus", "notificationEvent": list(notifications)} | status
    entries = [{"resource": said}, {"resource": {"resourceType": "AuditEvent"}}]
    return json.dumps({"resourceType": "Bundle", "type": "history", "entry": entries}).encode()


def signature(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


# ── The signature ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("secret", SECRETS)
def test_a_body_is_signed_with_either_secret(secret: str) -> None:
    assert is_signed(BODY, signature(BODY, secret), SECRETS)


def test_a_known_signature_is_computed_as_the_vendor_computes_it() -> None:
    # RFC 4231, test case 2.
    body, secret = b"what do ya want for nothing?", "Jefe"
    told = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert is_signed(body, told, [secret])


GOOD = signature(BODY, SECRETS[0])


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "sha256=",
        GOOD.removeprefix("sha256="),
        GOOD.upper(),
        "sha256=" + GOOD.removeprefix("sha256=").upper(),
        GOOD.replace("sha256=", "sha1="),
        f"{GOOD},{GOOD}",
        f"{GOOD}, sha256=00",
        f" {GOOD}",
        GOOD[:-1],
        "sha256=\u00e9",
        "sha256=\ud800",
        signature(BODY.strip(), SECRETS[0]),
        signature(BODY, "another-secret-of-webhooks"),
    ],
)
def test_anything_else_is_no_signature(given: str | None) -> None:
    assert not is_signed(BODY, given, SECRETS)


def test_without_a_secret_nothing_is_signed() -> None:
    assert not is_signed(BODY, signature(BODY, ""), [])


# ── The delivery ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_delivery_names_appointments_and_their_practice() -> None:
    told = delivery_of(
        bundle(notification(), notification(1204882, id="e-2"), topic="https://host/x/Appointment.cancel")
    )
    assert told.topic == "Appointment.cancel"
    assert [(each.kind, each.appointment_id, each.practice_id) for each in told.notifications] == [
        ("appointment", "1204881", "195900"), ("appointment", "1204882", "195900"),
    ]  # fmt: skip
    assert json.loads(told.notifications[0].raw) == notification()


def test_a_notification_is_known_again_by_its_id_whatever_stands_beside_it() -> None:
    first, again, other = (
        delivery_of(bundle(each)).notifications[0]
        for each in (notification(), notification(eventNumber="9"), notification(id="e-2"))
    )
    assert first.key == again.key != other.key


def test_a_notification_without_an_id_is_known_again_by_all_that_it_says() -> None:
    first, again, other = (
        delivery_of(bundle(notification(id=None, eventNumber=number))).notifications[0] for number in ("1", "1", "2")
    )
    assert first.kind == "appointment"
    assert first.key == again.key != other.key


@pytest.mark.parametrize(
    "said",
    [
        7,
        None,
        {},
        notification(focus=None),
        notification(focus={"identifier": {"system": "urn:athenahealth:athenanet:appointment:195900"}}),
        notification(value=""),
        notification(value={"id": 1}),
        notification(value="1/../2"),
        notification(value="1\x00"),
        notification(value="9" * 65),
        notification(value="\ud800"),
        notification(system="urn:athenahealth:athenanet:appointment"),
        notification(system="urn:athenahealth:athenanet:appointment:195900:1"),
        notification(system=7),
    ],
    ids=repr,
)
def test_a_notification_that_makes_no_sense_is_kept_beside_those_that_do(said: Any) -> None:
    told = delivery_of(bundle(notification(id="good"), said))
    assert [each.kind for each in told.notifications] == ["appointment", "unreadable"]
    assert told.notifications[1].raw


def test_a_notification_about_something_else_is_of_no_use() -> None:
    (told,) = delivery_of(bundle(notification(system="urn:athenahealth:athenanet:patient:195900"))).notifications
    assert (told.kind, told.appointment_id) == ("other", None)


@pytest.mark.parametrize("said", [bundle(), bundle(notificationEvent=None), bundle(type="handshake")])
def test_a_delivery_without_notifications_is_none_the_worse(said: bytes) -> None:
    assert list(delivery_of(said).notifications) == []


DEEP = b'{"resourceType":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"[]",
        b'"Bundle"',
        b"\xff\xfe",
        b"null",
        b"9" * 9_000,
        DEEP,
        b"[" * 60 + b"]" * 60,
        bundle(notification()).replace(b'"history"', b'"batch"'),
        bundle(notification()).replace(b'"Bundle"', b'"Patient"'),
        bundle(notification()).replace(b'"SubscriptionStatus"', b'"AuditEvent"'),
        bundle(notificationEvent={"id": 1}),
        b'{"resourceType": "Bundle", "type": "history", "entry": []}',
        b'{"resourceType": "Bundle", "type": "history", "entry": {"0": 1}}',
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_without_being_quoted(said: bytes) -> None:
    with pytest.raises(EhrRefused) as refused:
        delivery_of(said)
    assert str(refused.value) == "refused: unreadable"


# ── Rows of the feed ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("row", "ids"),
    [
        ({"appointmentid": 7, "patientid": "50341"}, ("7", "50341")),
        ({"appointmentid": "7"}, ("7", None)),
        ({"appointmentid": "7", "patientid": None}, ("7", None)),
    ],
)
def test_a_row_names_its_appointment_and_patient(row: dict[str, Any], ids: tuple[str, str | None]) -> None:
    assert appointment_of(json.dumps(row).encode()) == ids


@pytest.mark.parametrize("row", [b"[]", b"{}", b'{"appointmentid": null}', b'{"appointmentid": "a b"}', b"{"])
def test_a_row_that_names_none_is_refused(row: bytes) -> None:
    with pytest.raises(EhrRefused):
        appointment_of(row)
