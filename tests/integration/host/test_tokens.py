"""Which tokens a JWT authorizer takes, and what it says of those that it does not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest

from local.host.authorizers import Authorizer
from local.host.tokens import TokenCheck, Unauthorized
from tests.integration.host.issuer import AUDIENCE, Issuer, new_key, serving

NOWHERE = "http://127.0.0.1:9"
HOUR = 3600


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with serving() as running:
        yield running


@pytest.fixture
def check(issuer: Issuer) -> TokenCheck:
    return TokenCheck(Authorizer(issuer.url, (AUDIENCE, "mobile")), NOWHERE)


async def refusal(check: TokenCheck, *headers: str) -> str:
    with pytest.raises(Unauthorized) as refused:
        await check.claims(headers)
    return refused.value.challenge


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  ", ""])
async def test_a_good_token_is_taken_with_or_without_its_scheme(issuer: Issuer, check: TokenCheck, scheme: str) -> None:
    assert (await check.claims([scheme + issuer.token()]))["sub"] == "s-1"


async def test_the_audience_counts_before_the_client_and_may_be_one_of_several(
    issuer: Issuer, check: TokenCheck
) -> None:
    assert await check.claims([issuer.token(client_id="mobile")])
    assert await check.claims([issuer.token(aud=["elsewhere", AUDIENCE], client_id="elsewhere")])
    assert "valid audience" in await refusal(check, issuer.token(aud="elsewhere"))


@pytest.mark.parametrize("headers", [(), ("",), ("  ",)])
async def test_without_a_token_the_caller_is_asked_for_one(check: TokenCheck, headers: tuple[str, ...]) -> None:
    assert await refusal(check, *headers) == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer a b",
        "Basic YTpi",
        "Bearer ....",
        "Bearer \u00e9",
    ],
)
async def test_what_is_no_token_is_malformed(check: TokenCheck, header: str) -> None:
    challenge = await refusal(check, header)
    assert challenge == 'Bearer scope="" error="invalid_token" error_description="the token is malformed"'


async def test_two_tokens_are_none(issuer: Issuer, check: TokenCheck) -> None:
    token = issuer.token()
    assert "malformed" in await refusal(check, f"Bearer {token}", f"Bearer {token}")


FORGED: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "unsigned": (lambda issuer: issuer.by_hand("none"), "signing method"),
    "unsigned, oddly spelt": (lambda issuer: issuer.by_hand("nOnE"), "signing method"),
    "the public key as a shared secret": (lambda issuer: issuer.by_hand("HS256"), "signing method"),
    "a key of its own in the header": (lambda issuer: issuer.by_hand("none", jwk={"kty": "oct"}), "signing method"),
    "signed by somebody else": (lambda issuer: issuer.token(signer=new_key()), "signature"),
    "with another's claims": (lambda issuer: _spliced(issuer.token(), issuer.token(sub="s-2")), "signature"),
    "an unknown key": (lambda issuer: issuer.token(key="two", signer=issuer.keys["one"]), "unknown key"),
    "that names no key": (lambda _: "e30.e30.", "unknown key"),
    "of another issuer": (lambda issuer: issuer.token(iss="https://elsewhere.example.org"), "valid issuer"),
    "of nobody": (lambda issuer: issuer.token(iss=None), "malformed"),
    "for somebody else": (lambda issuer: issuer.token(client_id="elsewhere"), "valid audience"),
    "for nobody": (lambda issuer: issuer.token(client_id=None), "valid audience"),
    "expired": (lambda issuer: issuer.token(exp=int(time.time()) - 1), "expired"),
    "without an end": (lambda issuer: issuer.token(exp=None), "malformed"),
    "from tomorrow": (lambda issuer: issuer.token(nbf=int(time.time()) + HOUR), "not valid yet"),
    "issued tomorrow": (lambda issuer: issuer.token(iat=int(time.time()) + HOUR), "not valid yet"),
}


def _spliced(signed: str, claims: str) -> str:
    header, _, signature = signed.split(".")
    return ".".join([header, claims.split(".")[1], signature])


@pytest.mark.parametrize("kind", FORGED)
async def test_any_other_token_is_refused_with_the_reason(issuer: Issuer, check: TokenCheck, kind: str) -> None:
    make, reason = FORGED[kind]
    assert await check.claims([issuer.token()])  # The keys are known by now, so that nothing else can be the reason.
    challenge = await refusal(check, f"Bearer {make(issuer)}")
    assert challenge.startswith('Bearer scope="" error="invalid_token" error_description="')
    assert reason in challenge


async def test_keys_are_fetched_once_and_again_for_one_that_is_new(issuer: Issuer, check: TokenCheck) -> None:
    for _ in range(3):
        await check.claims([issuer.token()])
    assert issuer.fetched == 1
    issuer.keys["two"] = new_key()
    await check.claims([issuer.token(key="two")])
    await check.claims([issuer.token()])
    assert issuer.fetched == 2


async def test_a_key_that_was_withdrawn_counts_no_longer(issuer: Issuer, check: TokenCheck) -> None:
    old = issuer.token()
    await check.claims([old])
    issuer.keys = {"two": new_key()}
    await check.claims([issuer.token(key="two")])
    assert "unknown key" in await refusal(check, old)


async def test_an_issuer_that_is_down_opens_nothing_and_is_asked_again(issuer: Issuer, check: TokenCheck) -> None:
    issuer.working = False
    assert "communication error" in await refusal(check, issuer.token())
    issuer.working = True
    assert await check.claims([issuer.token()])


async def test_nobody_listens_at_the_issuer(issuer: Issuer) -> None:
    check = TokenCheck(Authorizer(NOWHERE, (AUDIENCE,)), NOWHERE)
    assert "communication error" in await refusal(check, issuer.token(iss=NOWHERE))
