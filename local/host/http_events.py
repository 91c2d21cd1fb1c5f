"""HTTP requests as a function sees them, and its answers as a client sees them: payload format 2.0; pure.

After "Create AWS Lambda proxy integrations for HTTP APIs" in the API Gateway developer guide.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.host.intrinsics import ACCOUNT
from local.host.routes import Match

API_ID = "local"
_TEXT = re.compile(r"text/|application/([\w.-]+\+)?(json|xml)|application/javascript")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came in: path and query still encoded, headers in the order and case of the client."""

    method: str
    raw_path: str
    raw_query: str
    headers: Iterable[tuple[str, str]]
    body: bytes
    source_ip: str
    protocol: str = "HTTP/1.1"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a client is answered."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


class BadAnswer(ValueError):
    """A function returned what API Gateway cannot turn into an HTTP answer."""


def event_of(
    request: HttpRequest, match: Match, *, request_id: str, now: datetime, claims: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the event of `request`; `now` is an aware instant in UTC, `claims` are those of a checked token."""
    headers, cookies = _headers(request.headers)
    path = unquote(request.raw_path)
    host = headers.get("host", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route.key,
        "rawPath": path,
        "rawQueryString": request.raw_query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": API_ID,
            "domainName": host.partition(":")[0],
            "domainPrefix": host.partition(".")[0].partition(":")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": match.route.key,
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if claims is not None:
        told = {name: _claim(value) for name, value in claims.items()}
        # Scopes are those that the route asks for, and no route of ours does.
        event["requestContext"]["authorizer"] = {"jwt": {"claims": told, "scopes": None}}
    # What a request does not have is absent, not empty.
    optional = {
        "cookies": cookies,
        "queryStringParameters": _query(request.raw_query),
        "pathParameters": dict(match.parameters),
    }
    event |= {name: value for name, value in optional.items() if value}
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request.body, headers)
    return event


def answer_of(payload: bytes) -> HttpAnswer:
    """Return the HTTP answer in what a function returned.

    Raises:
        BadAnswer: It is not JSON of the shape that an HTTP API understands.
    """
    try:
        returned = json.loads(payload)
    except ValueError as error:
        raise BadAnswer("not JSON") from error
    if not isinstance(returned, dict) or "statusCode" not in returned:
        # Anything without a status is taken for the body of a good answer.
        whole = returned if isinstance(returned, str) else json.dumps(returned)
        return HttpAnswer(200, [("content-type", "application/json")], whole.encode())
    try:
        status, text = int(returned["statusCode"]), returned.get("body") or ""
        body = base64.b64decode(text, validate=True) if returned.get("isBase64Encoded") else text.encode()
        headers = [(str(name).lower(), str(value)) for name, value in (returned.get("headers") or {}).items()]
        headers += [("set-cookie", str(cookie)) for cookie in returned.get("cookies") or ()]
    except (AttributeError, TypeError, ValueError, binascii.Error) as error:
        raise BadAnswer(type(error).__name__) from error
    if all(name != "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return HttpAnswer(status, headers, body)


def _claim(value: Any) -> str:
    """Return a claim as functions get it: always text, lists as words in brackets."""
    if isinstance(value, list):
        return f"[{' '.join(map(_claim, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _headers(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Return the headers, lower-cased and with repeated ones joined, and the cookies apart from them."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in pairs:
        key = name.lower()
        if key == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
        else:
            headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers, cookies


def _query(raw: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def _body(body: bytes, headers: Mapping[str, str]) -> tuple[str, bool]:
    """Return the body as text, and whether that is base64: for all that is not plain text of a known kind."""
    encoded = headers.get("content-encoding", "identity") != "identity"
    if not encoded and _TEXT.match(headers.get("content-type", "").lower()):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
