"""Manage tokens: what lets a patient act on one visit without an account. Signed, expiring, checked in the function."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import jwt

from moonlit.errors import MoonlitError

VALID_AFTER_VISIT = timedelta(days=30)
_ALGORITHM = "HS256"
_AUDIENCE = "moonlit-manage"


class TokenRefused(MoonlitError):
    """The manage token is missing, expired, for another visit, or not ours."""

    status, slug, title = HTTPStatus.UNAUTHORIZED, "token-refused", "The token does not open this visit"


def issue(key: str, appointment_id: UUID, visit_end: datetime) -> str:
    """Return the visit's token; the same each time, so that a repeated answer is equal to the first."""
    expires = int((visit_end + VALID_AFTER_VISIT).timestamp())
    return jwt.encode({"sub": str(appointment_id), "aud": _AUDIENCE, "exp": expires}, key, _ALGORITHM)


def check(key: str, token: str | None, appointment_id: UUID) -> datetime:
    """Accept the visit's own token and return when it expires, unless the visit has been moved since.

    Raises:
        TokenRefused: Anything else.
    """
    try:
        # The library would compare with the machine's clock; the time here is the one that was handed in.
        claims = jwt.decode(
            token or "", key, [_ALGORITHM], audience=_AUDIENCE, options={"verify_exp": False, "require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError:
        raise TokenRefused("not a valid token") from None
    if claims.get("sub") != str(appointment_id):
        raise TokenRefused("for another visit")
    return datetime.fromtimestamp(claims["exp"], UTC)
