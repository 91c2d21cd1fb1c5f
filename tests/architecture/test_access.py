"""Routes of people who sign in are guarded by the template, described as such, and ask for a role."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local.host.intrinsics import read_document
from tests.conftest import ROOT

GUARDED = ("/admin", "/billing", "/partner-dashboard")
BY_CALENDARS = {"GET /partner-dashboard/calendar.ics"}  # Calendars cannot sign in: its token is in the query.
RESOURCES: Mapping[str, Any] = read_document(ROOT / "template.yaml")["Resources"]
METHODS = {"get", "post", "put", "patch", "delete"}


def routes() -> dict[str, str | None]:
    """Return the authorizer of every route."""
    return {
        f"{event['Properties']['Method']} {shape(event['Properties']['Path'])}": event["Properties"]
        .get("Auth", {})
        .get("Authorizer")
        for resource in RESOURCES.values()
        if resource["Type"] == "AWS::Serverless::Function"
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }


def shape(path: str) -> str:
    """Return a path with its parameters' names left out, as the template, Powertools and OpenAPI write them."""
    return re.sub(r"\{[^}]+\}|<[^>]+>", "{}", path)


def guarded() -> set[str]:
    return {key for key, authorizer in routes().items() if authorizer}


def test_the_routes_of_staff_and_partners_have_the_authorizer_and_no_others() -> None:
    assert guarded()
    assert set(routes().values()) <= {"SignIn", None}
    private = {key for key in routes() if key.split()[1].startswith(GUARDED)}
    assert guarded() == private - BY_CALENDARS


def test_the_authorizer_is_of_the_parameters_and_not_for_every_route() -> None:
    assert RESOURCES["Api"]["Properties"]["Auth"] == {
        "Authorizers": {
            "SignIn": {
                "IdentitySource": "$request.header.Authorization",
                "JwtConfiguration": {"issuer": {"Ref": "TokenIssuer"}, "audience": {"Ref": "TokenAudience"}},
            }
        }
    }


def test_the_document_says_which_routes_need_a_sign_in_and_how_they_refuse() -> None:
    document = json.loads((ROOT / "layers/common/moonlit/web/openapi.json").read_text())
    assert document["components"]["securitySchemes"]["signIn"]["scheme"] == "bearer"
    described = {
        f"{method.upper()} {shape(path)}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {key for key, operation in described.items() if "security" in operation} == guarded()
    for key in guarded():
        assert described[key]["security"] == [{"signIn": []}]
        assert {"401", "403"} <= described[key]["responses"].keys()


def handlers() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield every function of the code that answers a route, with the route."""
    for path in [*(ROOT / "functions").glob("*/app.py"), *(ROOT / "layers/common/moonlit").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                match decorator:
                    case ast.Call(
                        ast.Attribute(ast.Name("app" | "router"), method), [ast.Constant(str(route)), *_]
                    ) if method in METHODS:
                        yield f"{method.upper()} {shape(route)}", node  # type: ignore[misc]


def test_a_guarded_route_asks_for_a_role_before_anything_else() -> None:
    found = dict(handlers())
    assert found.keys() == routes().keys()
    for key in guarded():
        first = next(node for node in found[key].body if not _is_docstring(node))
        assert "auth.require(" in ast.unparse(first), key


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
