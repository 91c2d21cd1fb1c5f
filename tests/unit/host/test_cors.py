"""Who may call from a browser."""

from __future__ import annotations

import pytest

from local.host.cors import preflight, with_cors
from local.host.http_events import HttpAnswer
from local.host.template import Cors

WIDGET, STRANGER = "https://widget.example.org", "https://elsewhere.example.org"
CORS = Cors(
    origins=(WIDGET,),
    methods=("GET", "POST"),
    headers=("content-type", "idempotency-key"),
    exposed=("etag",),
    max_age_seconds=600,
    credentials=True,
)
ASKS = {"access-control-request-method": "POST"}


def test_a_known_origin_is_told_what_it_may_do() -> None:
    answer = preflight(CORS, "OPTIONS", ASKS | {"origin": WIDGET})
    assert answer
    assert answer.status == 204
    assert dict(answer.headers) == {
        "access-control-allow-origin": WIDGET,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "content-type,idempotency-key",
        "access-control-max-age": "600",
    }


def test_an_unknown_origin_is_told_nothing() -> None:
    answer = preflight(CORS, "OPTIONS", ASKS | {"origin": STRANGER})
    assert answer
    assert (answer.status, answer.headers) == (204, [])


@pytest.mark.parametrize(
    ("method", "headers"), [("OPTIONS", ASKS), ("OPTIONS", {"origin": WIDGET}), ("POST", ASKS | {"origin": WIDGET})]
)
def test_everything_else_is_no_preflight(method: str, headers: dict[str, str]) -> None:
    assert preflight(CORS, method, headers) is None


def test_the_gateway_speaks_for_the_function() -> None:
    answer = HttpAnswer(200, [("etag", "1"), ("access-control-allow-origin", "*")])
    known = dict(with_cors(CORS, WIDGET, answer).headers)
    assert known["access-control-allow-origin"] == WIDGET
    assert known["access-control-expose-headers"] == "etag"
    assert with_cors(CORS, STRANGER, answer).headers == [("etag", "1")]
    assert with_cors(CORS, None, answer).headers == [("etag", "1")]


def test_without_a_configuration_the_function_speaks_for_itself() -> None:
    answer = HttpAnswer(200, [("access-control-allow-origin", "*")])
    assert with_cors(Cors(), WIDGET, answer) is answer


def test_a_star_lets_everybody_in() -> None:
    assert dict(with_cors(Cors(origins=("*",)), STRANGER, HttpAnswer(200)).headers) == {
        "access-control-allow-origin": "*"
    }
