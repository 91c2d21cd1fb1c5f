"""The function that takes webhooks in, whatever is sent to it: 200, 400 or 401, and never a reason to send it again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from aws_lambda_powertools.utilities import parameters

from moonlit.queues import MessageNotSent, SqsQueue
from tests.fixtures_athena import CLIENT_ID, CLIENT_SECRET, PRACTICE
from tests.fixtures_functions import SIGNING_SECRET, WEBHOOK_SECRET, Functions, functions, sample
from tests.fixtures_intakeq import open_intakeq, start_intakeq

__all__ = ["functions", "open_intakeq", "start_intakeq"]

BODIES: dict[str, bytes] = {
    "empty": b"",
    "no_json": b"{",
    "not_utf_8": b"\xff\xfe{",
    "null_byte": b'{"EventType": "\x00"',
    "list": b"[]",
    "null": b"null",
    "deep": b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    "deeper_than_a_stack": b"[" * 250_000,
    "digits": b'{"EventType": ' + b"9" * 9_000 + b"}",
    "nan": b"NaN",
    "flood": b" " * 5_000_000,
}


def signature(body: bytes) -> str:
    return "sha256=" + hmac.new(SIGNING_SECRET.encode(), body, hashlib.sha256).hexdigest()


def athena(body: bytes, *, encoded: bool = False, **headers: str | None) -> dict[str, Any]:
    """Return the event of a delivery; a header that is None is left out."""
    event = sample("webhook/athena")
    given = {"x_hub_signature": signature(body), **headers}
    event["headers"] |= {name.replace("_", "-"): value for name, value in given.items()}
    event["headers"] = {name: value for name, value in event["headers"].items() if value is not None}
    return event | carried(body, encoded=encoded)


def intakeq(body: bytes, secret: str = WEBHOOK_SECRET, *, encoded: bool = False) -> dict[str, Any]:
    event = sample("webhook/intakeq")
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"/webhooks/intakeq/{secret}"
    return event | carried(body, encoded=encoded)


def carried(body: bytes, *, encoded: bool) -> dict[str, Any]:
    """Return how API Gateway hands on a body: as text when it is some, else in base64."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        encoded = True
    if encoded:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return {"body": text, "isBase64Encoded": False}


def stored(functions: Functions) -> list[tuple[str, str | None]]:
    found = functions.rows("select state, error from webhook_events order by source, state")
    return [(row["state"], row["error"]) for row in found]


def status(functions: Functions, event: dict[str, Any]) -> int:
    return int(functions.call("webhook", event)["statusCode"])


def test_whatever_makes_no_sense_is_kept_and_told_so(functions: Functions) -> None:
    # One test for all: each would have to wait for a database of its own.
    for name, body in BODIES.items():
        for event in (athena(body), intakeq(body)):
            assert status(functions, event) == 400, name
    rows = functions.rows("select source, state, error, length(body) as bytes from webhook_events")
    assert len(rows) == 2 * len(BODIES)
    assert {row["state"] for row in rows} == {"malformed"}
    assert max(row["bytes"] for row in rows) <= 256 * 1024
    assert [row["bytes"] for row in rows if row["error"] == "too_large"] == [64 * 1024] * 2
    assert functions.queues["EventQueue"].waiting == []


def test_a_stranger_leaves_nothing_whatever_they_send(functions: Functions) -> None:
    good = sample("webhook/athena")["body"].encode()
    for name, body in {**BODIES, "good": good}.items():
        for event in (
            athena(body, x_hub_signature=None),
            athena(body, x_hub_signature=""),
            athena(body, x_hub_signature=f"{signature(body)},{signature(body)}"),
            athena(body, x_hub_signature=signature(body + b" ")),
            intakeq(body, "another-secret-of-the-path"),
        ):
            assert status(functions, event) == 401, name
    assert stored(functions) == []


def test_a_queue_that_is_down_is_no_reason_to_send_the_event_again(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: object) -> None:
        raise MessageNotSent

    with monkeypatch.context() as patch:
        patch.setattr(SqsQueue, "send", down)
        for name in ("webhook/intakeq", "webhook/athena"):
            assert status(functions, sample(name)) == 200
    assert [state for state, _ in stored(functions)].count("received") == 2
    assert caplog.text.count("event_not_queued") == 2
    functions.clock.advance(minutes=6)
    assert functions.call("sweeper", sample("sweeper/every_minute"))["events"] == 2
    assert len(functions.queues["EventQueue"].take()) == 2


def test_a_strange_secret_is_none_of_ours(functions: Functions) -> None:
    for secret in ("%22", "%00", "\u043a\u043b\u044e\u0447", "a b", "..", "x" * 3000, "{secret}"):
        assert status(functions, intakeq(b"{}", secret)) in (401, 404), secret
    assert stored(functions) == []


def test_a_signature_is_over_the_bytes_that_came_and_not_over_their_base64(functions: Functions) -> None:
    body = sample("webhook/athena")["body"].encode()
    assert status(functions, athena(body, encoded=True)) == 200
    assert status(functions, athena(body + b"\n")) == 200  # Other bytes, other signature, the same notification.
    assert stored(functions) == [("received", None), ("ignored", None), ("ignored", None)]


def test_without_a_secret_of_its_own_no_delivery_is_taken(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "practiceId": PRACTICE}
    known = parameters.get_secret
    monkeypatch.setattr(parameters, "get_secret", lambda name, **how: kept if name == "athena" else known(name, **how))
    assert status(functions, sample("webhook/athena")) == 401
    assert status(functions, athena(b"", x_hub_signature=signature(b""))) == 401


@pytest.mark.parametrize("character", ["\\u0000", "\\ud800"])
def test_a_character_that_the_database_cannot_keep_is_no_mistake_of_ours(functions: Functions, character: str) -> None:
    body = sample("webhook/intakeq")["body"].replace("New Patient", character).encode()
    assert status(functions, intakeq(body)) == 400
    assert stored(functions) == [("malformed", "unreadable")]


def test_what_is_nested_as_deep_as_is_allowed_can_be_kept(functions: Functions) -> None:
    said = json.loads(sample("webhook/intakeq")["body"])
    said["Appointment"]["ClientNote"] = json.loads("[" * 48 + "]" * 48)
    assert status(functions, intakeq(json.dumps(said).encode())) == 200
    assert functions.call("apply_event", functions.take("EventQueue")) == {"batchItemFailures": []}
    assert stored(functions) == [("ignored", "unknown_patient")]
