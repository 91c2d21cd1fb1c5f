"""The check of a caller's token by which an HTTP API guards a route: its JWT authorizer.

After "Control access to HTTP APIs with JWT authorizers" in the API Gateway developer guide. Tokens keep real time: they
come from a sign-in that knows nothing of the stack's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp
import jwt

from local.host.authorizers import Authorizer
from local.host.intrinsics import REGION

COGNITO = f"https://cognito-idp.{REGION}.amazonaws.com"
_ALGORITHM = "RS256"  # All that Cognito signs with.
_DISCOVERY = "/.well-known/openid-configuration"
_FETCH_SECONDS = 5


class Unauthorized(Exception):
    """The caller has no token that opens the route.

    Attributes:
        challenge: What the header `www-authenticate` says of it.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        told = f' scope="" error="invalid_token" error_description="{reason}"' if reason else ""
        self.challenge = f"Bearer{told}"


class TokenCheck:
    """Checks tokens for one authorizer. The issuer's keys are fetched on first use, and again for a key unheard of.

    Args:
        authorizer: Whose tokens are good.
        aws_url: The local AWS services, which answer for an issuer of AWS's.
    """

    def __init__(self, authorizer: Authorizer, aws_url: str) -> None:
        self._authorizer = authorizer
        self._base = authorizer.issuer.replace(COGNITO, aws_url, 1).rstrip("/")
        self._keys: dict[str | None, jwt.PyJWK] = {}

    async def claims(self, headers: Sequence[str]) -> dict[str, Any]:
        """Return the claims of the token in the values of the header `authorization`.

        Raises:
            Unauthorized: There is none, or none that is good.
        """
        token = _token(headers)
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            if key_id not in self._keys:
                self._keys = await self._fetched()
            if key_id is None or key_id not in self._keys:
                raise Unauthorized("the token was signed with an unknown key")
            return verified(token, self._keys[key_id], self._authorizer)
        except jwt.InvalidTokenError as error:
            raise Unauthorized(_reason(error)) from None

    async def _fetched(self) -> dict[str | None, jwt.PyJWK]:
        """Return the issuer's RSA keys by their ids, found as OpenID Connect says."""
        timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
                async with session.get(self._base + _DISCOVERY) as answer:
                    keys_url = str((await answer.json(content_type=None))["jwks_uri"])
                async with session.get(keys_url) as answer:
                    listed = (await answer.json(content_type=None))["keys"]
            keys = [jwt.PyJWK(each, _ALGORITHM) for each in listed if each["kty"] == "RSA"]
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, jwt.PyJWTError):
            raise Unauthorized("OIDC discovery endpoint communication error") from None
        return {key.key_id: key for key in keys}


def verified(token: str, key: jwt.PyJWK, authorizer: Authorizer) -> dict[str, Any]:
    """Return the claims of a token whose signature, issuer, times and audience are right.

    Raises:
        jwt.InvalidTokenError: One of them is not.
    """
    # The audience is checked below: an access token of Cognito has none, but a `client_id`.
    options: jwt.types.Options = {"require": ["exp", "iss"], "verify_aud": False}
    claims = jwt.decode(token, key, [_ALGORITHM], options, issuer=authorizer.issuer)
    audience = claims.get("aud", claims.get("client_id"))
    if not any(named in authorizer.audiences for named in (audience if isinstance(audience, list) else [audience])):
        raise jwt.InvalidAudienceError
    return claims


def _token(headers: Sequence[str]) -> str:
    """Return the token in the header, with or without the word Bearer before it."""
    words = ",".join(headers).split()
    match words:
        case []:
            raise Unauthorized
        case [token]:
            return token
        case [scheme, token] if scheme.lower() == "bearer":
            return token
        case _:
            raise Unauthorized("the token is malformed")


def _reason(error: jwt.InvalidTokenError) -> str:
    reasons: dict[type[jwt.InvalidTokenError], str] = {
        jwt.ExpiredSignatureError: "the token has expired",
        jwt.ImmatureSignatureError: "the token is not valid yet",
        jwt.InvalidAudienceError: "the token does not have a valid audience",
        jwt.InvalidIssuerError: "the token does not have a valid issuer",
        jwt.InvalidSignatureError: "the signature is invalid",
        jwt.InvalidAlgorithmError: "the signing method is invalid",
    }
    return reasons.get(type(error), "the token is malformed")
