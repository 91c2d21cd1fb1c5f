"""Which route a request belongs to."""

from __future__ import annotations

import pytest

from local.host.routes import RouteTable
from local.host.template import Route

ROUTES = [
    Route("ANY", "$default", "Default"),
    Route("GET", "/files/{path+}", "Greedy"),
    Route("ANY", "/payers/{id}", "AnyPayer"),
    Route("GET", "/payers/{id}", "Payer"),
    Route("GET", "/payers/mine", "Mine"),
    Route("POST", "/payers/{id}/notes/{note}", "Note"),
]


@pytest.mark.parametrize(
    ("method", "path", "function", "parameters"),
    [
        ("GET", "/payers/7", "Payer", {"id": "7"}),
        ("GET", "/payers/mine", "Mine", {}),
        ("DELETE", "/payers/mine", "AnyPayer", {"id": "mine"}),
        ("POST", "/payers/a%20b/notes/c%2Fd", "Note", {"id": "a b", "note": "c/d"}),
        ("GET", "/files/a/b%20c", "Greedy", {"path": "a/b c"}),
        ("GET", "/files/", "Default", {}),
        ("GET", "/payers/7/notes", "Default", {}),
        ("GET", "/", "Default", {}),
    ],
)
def test_the_most_specific_route_wins(method: str, path: str, function: str, parameters: dict[str, str]) -> None:
    match = RouteTable(ROUTES).match(method, path)
    assert match
    assert (match.route.function, match.parameters) == (function, parameters)


@pytest.mark.parametrize(("method", "path"), [("PUT", "/payers"), ("POST", "/files/a"), ("GET", "/payers//notes")])
def test_without_a_default_the_rest_has_no_route(method: str, path: str) -> None:
    assert RouteTable(ROUTES[1:]).match(method, path) is None
