"""Which routes need a token: what the template says, or the host refuses to run it."""

from __future__ import annotations

from typing import Any

import pytest

from local.host.authorizers import Authorizer, authorizer_of, declared_authorizers
from local.host.intrinsics import TemplateError

HEADER = "$request.header.Authorization"
ISSUER = {"issuer": "https://issuer.example.org", "audience": ["a", "b"]}
SIGN_IN = Authorizer("https://issuer.example.org", ("a", "b"))


def declared(**auth: Any) -> dict[str, Authorizer]:
    return declared_authorizers([("Api", auth), ("Other", {})])


def test_an_authorizer_has_an_issuer_and_audiences() -> None:
    assert declared(Authorizers={"SignIn": {"IdentitySource": HEADER, "JwtConfiguration": ISSUER}}) == {
        "SignIn": SIGN_IN
    }
    assert declared() == {}


@pytest.mark.parametrize(
    "auth",
    [
        {"DefaultAuthorizer": "SignIn"},
        {"EnableIamAuthorizer": True},
        {"Authorizers": {"Own": {"FunctionArn": "arn", "IdentitySource": HEADER}}},
        {"Authorizers": {"SignIn": {"IdentitySource": "$request.querystring.token", "JwtConfiguration": ISSUER}}},
    ],
)
def test_a_guard_that_is_not_imitated_is_no_open_door(auth: dict[str, Any]) -> None:
    with pytest.raises(TemplateError):
        declared(**auth)


@pytest.mark.parametrize(
    ("auth", "expected"), [({}, None), ({"Authorizer": "NONE"}, None), ({"Authorizer": "SignIn"}, SIGN_IN)]
)
def test_a_route_has_the_authorizer_that_it_names(auth: dict[str, Any], expected: Authorizer | None) -> None:
    assert authorizer_of("F", auth, {"SignIn": SIGN_IN}) == expected


@pytest.mark.parametrize("auth", [{"Authorizer": "SignOut"}, {"Authorizer": "SignIn", "AuthorizationScopes": ["x"]}])
def test_a_route_with_an_unknown_guard_is_refused(auth: dict[str, Any]) -> None:
    with pytest.raises(TemplateError):
        authorizer_of("F", auth, {"SignIn": SIGN_IN})
