"""Payload format 2.0, in and out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from local.host.http_events import BadAnswer, HttpRequest, answer_of, event_of
from local.host.routes import Match
from local.host.template import Route

NOW = datetime(2026, 3, 12, 19, 3, 58, tzinfo=UTC)


def event(*, query: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> dict[str, Any]:
    request = HttpRequest("POST", "/payers/a%20b", query, headers, body, "127.0.0.1")
    match = Match(Route("POST", "/payers/{id}", "F"), {"id": "a b"})
    return event_of(request, match, request_id="r-1", now=NOW)


def test_an_event_names_its_route_and_carries_the_context() -> None:
    seen = event(headers=[("Host", "api.example.org:8000"), ("User-Agent", "test/1")])
    assert (seen["version"], seen["routeKey"], seen["rawPath"]) == ("2.0", "POST /payers/{id}", "/payers/a b")
    context = seen["requestContext"]
    assert context["http"] == {
        "method": "POST",
        "path": "/payers/a b",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test/1",
    }
    assert (context["requestId"], context["stage"], context["time"]) == (
        "r-1",
        "$default",
        "12/Mar/2026:19:03:58 +0000",
    )
    assert (context["timeEpoch"], context["domainName"]) == (int(NOW.timestamp() * 1000), "api.example.org")


def test_what_a_request_does_not_have_is_absent() -> None:
    assert event().keys().isdisjoint({"body", "cookies", "queryStringParameters"})
    assert event()["isBase64Encoded"] is False


def test_who_is_not_signed_in_has_no_authorizer() -> None:
    assert "authorizer" not in event()["requestContext"]


def test_repeated_parameters_and_headers_are_joined_by_commas() -> None:
    seen = event(query="a=1&b=x%20y&a=2&c=&d=p+q", headers=[("Accept", "text/html"), ("accept", "text/plain")])
    assert seen["queryStringParameters"] == {"a": "1,2", "b": "x y", "c": "", "d": "p q"}
    assert seen["rawQueryString"] == "a=1&b=x%20y&a=2&c=&d=p+q"
    assert seen["headers"]["accept"] == "text/html,text/plain"


def test_cookies_stand_apart_from_the_headers() -> None:
    seen = event(headers=[("Cookie", "a=1; b=2")])
    assert seen["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in seen["headers"]


@pytest.mark.parametrize(
    ("headers", "body", "encoded"),
    [
        ({"content-type": "application/json"}, b'{"a": 1}', False),
        ({"content-type": "application/problem+json; charset=utf-8"}, b"{}", False),
        ({"content-type": "text/calendar"}, b"BEGIN", False),
        ({"content-type": "application/json"}, b"\xff\xfe", True),
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"{}", True),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=1", True),
        ({"content-type": "image/png"}, b"\x89PNG", True),
        ({}, b"what is this", True),
    ],
)
def test_only_known_text_arrives_as_text(headers: dict[str, str], body: bytes, encoded: bool) -> None:  # noqa: FBT001
    seen = event(headers=headers.items(), body=body)
    assert seen["isBase64Encoded"] is encoded
    assert (base64.b64decode(seen["body"]) if encoded else seen["body"].encode()) == body


@pytest.mark.parametrize("returned", [{"hello": 1}, [1, 2], "text", 7, None])
def test_an_answer_without_a_status_is_the_body_of_a_good_one(returned: object) -> None:
    answer = answer_of(json.dumps(returned).encode())
    expected = returned if isinstance(returned, str) else json.dumps(returned)
    assert (answer.status, answer.body.decode()) == (200, expected)
    assert answer.headers == [("content-type", "application/json")]


def test_status_headers_and_cookies_of_an_answer_are_kept() -> None:
    returned = {"statusCode": "404", "headers": {"X-A": 1}, "cookies": ["a=1", "b=2"], "body": "gone"}
    answer = answer_of(json.dumps(returned).encode())
    assert (answer.status, answer.body) == (404, b"gone")
    assert answer.headers == [
        ("x-a", "1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("content-type", "text/plain;charset=UTF-8"),
    ]


@pytest.mark.parametrize(
    "returned",
    [
        b"not json",
        b'{"statusCode": "many"}',
        b'{"statusCode": 200, "body": {"a": 1}}',
        b'{"statusCode": 200, "headers": [1]}',
        b'{"statusCode": 200, "body": "%%", "isBase64Encoded": true}',
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(returned: bytes) -> None:
    with pytest.raises(BadAnswer):
        answer_of(returned)
