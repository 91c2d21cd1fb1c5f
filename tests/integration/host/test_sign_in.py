"""Guarded routes through the HTTP API, with an issuer of the test's own and with the local Cognito."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import jwt
import pytest
import sqlalchemy as sa

from local.clinic import load
from local.identities import Identities
from moonlit.db.engine import Begin
from moonlit.db.tables import partner_users, staff_users
from tests.fixtures_booking import INES, make_clinic
from tests.integration.host.issuer import AUDIENCE, Issuer, serving
from tests.integration.host.workshop import ECHO, Workshop, http

ORIGIN = "https://dashboard.example.org"
HOUSE = "00000000-0000-0000-0000-0000000000a0"
BOTH = "both@example.org"


def guard(workshop: Workshop, issuer: str, audience: str) -> None:
    """Add two routes, one of them guarded."""
    workshop.add("Echo", ECHO, events=http("GET", "/open") | http("GET", "/mine", Auth={"Authorizer": "SignIn"}))
    authorizer = {
        "IdentitySource": "$request.header.Authorization",
        "JwtConfiguration": {"issuer": issuer, "audience": [audience]},
    }
    cors = {"AllowOrigins": [ORIGIN], "AllowMethods": ["GET"], "AllowHeaders": ["authorization"]}
    properties = {"Auth": {"Authorizers": {"SignIn": authorizer}}, "CorsConfiguration": cors}
    workshop.resources["Api"] = {"Type": "AWS::Serverless::HttpApi", "Properties": properties}


@pytest.fixture
async def issuer(workshop: Workshop) -> AsyncIterator[Issuer]:
    async with serving() as running:
        guard(workshop, running.url, AUDIENCE)
        yield running


async def test_a_function_sees_the_claims_as_text_and_no_scopes(
    workshop: Workshop, browser: aiohttp.ClientSession, issuer: Issuer
) -> None:
    token = issuer.token(exp=4102444800, groups=["a", "b"], mfa=True)
    async with (
        workshop.host() as host,
        browser.get(f"{host.api_url}/mine", headers={"authorization": f"Bearer {token}"}) as answer,
    ):
        event = await answer.json()
    jwt_seen = event["requestContext"]["authorizer"]["jwt"]
    assert jwt_seen["scopes"] is None
    seen = jwt_seen["claims"]
    assert (seen["sub"], seen["exp"], seen["groups"], seen["mfa"]) == ("s-1", "4102444800", "[a b]", "true")
    assert event["headers"]["authorization"] == f"Bearer {token}"


async def test_without_a_good_token_the_function_is_not_asked(
    workshop: Workshop, browser: aiohttp.ClientSession, issuer: Issuer
) -> None:
    headers: list[Mapping[str, str]] = [{}, {"authorization": "Bearer x"}, {"authorization": issuer.token(exp=1)}]
    async with workshop.host() as host:
        for each in headers:
            async with browser.get(f"{host.api_url}/mine", headers={"origin": ORIGIN, **each}) as answer:
                assert (answer.status, await answer.json()) == (401, {"message": "Unauthorized"})
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.headers["access-control-allow-origin"] == ORIGIN
        async with browser.get(f"{host.lambda_url}/_control/workers") as answer:
            assert await answer.json() == {"workers": []}


@pytest.mark.usefixtures("issuer")
async def test_other_routes_and_preflight_requests_need_no_token(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "GET"}
    async with workshop.host() as host:
        async with browser.options(f"{host.api_url}/mine", headers=asked) as answer:
            assert (answer.status, answer.headers["access-control-allow-headers"]) == (204, "authorization")
        async with browser.get(f"{host.api_url}/open", headers={"authorization": "Bearer x"}) as answer:
            assert answer.status == 200
            assert "authorizer" not in (await answer.json())["requestContext"]


@pytest.fixture
def people(begin: Begin) -> None:
    """Load a clinic with people: an admin, a provider, a case manager, and one who is of both sides."""
    clinic = make_clinic(
        staff_users=[
            {"id": f"00000000-0000-0000-0000-0000000000b{number}", "email": email, "name": "N", "role": role,
             "provider_id": provider}
            for number, (email, role, provider) in enumerate(
                [("admin@example.org", "admin", None), ("ines@example.org", "provider", str(INES)), (BOTH, "biller", None)]
            )
        ],
        organizations=[{"id": HOUSE, "name": "House", "active": True}],
        partner_users=[
            {"id": f"00000000-0000-0000-0000-0000000000c{number}", "organization_id": HOUSE, "email": email,
             "name": "N", "role": "case_manager"}
            for number, email in enumerate(["manager@example.org", BOTH])
        ],
    )  # fmt: skip
    with begin() as connection:
        load(connection, clinic)


def subs(begin: Begin) -> dict[str, set[Any]]:
    """Return the stored `sub` of everyone, by address."""
    found: dict[str, set[Any]] = {}
    with begin() as connection:
        for table in (staff_users, partner_users):
            for row in connection.execute(sa.select(table.c.email, table.c.identity_sub)):
                found.setdefault(row.email, set()).add(row.identity_sub)
    return found


@pytest.mark.usefixtures("people")
def test_everyone_has_one_user_whose_sub_the_database_knows(begin: Begin, database_url: str, aws_url: str) -> None:
    identities = Identities.create(aws_url)
    identities.enrol(database_url)
    told = {
        email: jwt.decode(token, options={"verify_signature": False}) for email, token in identities.tokens().items()
    }
    assert told.keys() == {"admin@example.org", "ines@example.org", "manager@example.org", BOTH}
    assert {email: {claims["sub"]} for email, claims in told.items()} == subs(begin)
    assert {claims["token_use"] for claims in told.values()} == {"access"}
    assert not [claims for claims in told.values() if "example.org" in str(claims)]  # They are sent with every request.


def test_a_practice_without_people_has_no_tokens(database_url: str, aws_url: str) -> None:
    identities = Identities.create(aws_url)
    identities.enrol(database_url)
    assert identities.tokens() == {}


@pytest.mark.usefixtures("people")
async def test_tokens_of_the_local_cognito_open_a_guarded_route(
    workshop: Workshop, browser: aiohttp.ClientSession, database_url: str, aws_url: str
) -> None:
    identities = Identities.create(aws_url)
    identities.enrol(database_url)
    guard(workshop, identities.issuer, identities.client_id)
    workshop.aws_url = aws_url
    async with workshop.host() as host:
        for tokens in (identities.tokens(), identities.tokens()):  # A second sign-in is as good as the first.
            headers = {"authorization": f"Bearer {tokens['admin@example.org']}"}
            async with browser.get(f"{host.api_url}/mine", headers=headers) as answer:
                assert answer.status == 200
        other = Identities.create(aws_url)
        other.enrol(database_url)
        headers = {"authorization": f"Bearer {other.tokens()['admin@example.org']}"}
        async with browser.get(f"{host.api_url}/mine", headers=headers) as answer:
            assert (answer.status, "issuer" in answer.headers["www-authenticate"]) == (401, True)
