"""A manage token opens its own visit for a while, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import jwt
import pytest

from moonlit.booking import tokens

KEY, OTHER_KEY = "k" * 32, "o" * 32
VISIT, OTHER = UUID(int=1), UUID(int=2)
END = datetime(2090, 3, 11, 18, tzinfo=UTC)  # Far from the machine's own time.
GOOD = tokens.issue(KEY, VISIT, END)


def test_the_visits_own_token_opens_it_and_says_until_when() -> None:
    assert tokens.issue(KEY, VISIT, END) == GOOD
    assert tokens.check(KEY, GOOD, VISIT) == END + tokens.VALID_AFTER_VISIT


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "x.y.z",
        GOOD[:-2],
        tokens.issue(OTHER_KEY, VISIT, END),
        tokens.issue(KEY, OTHER, END),
        jwt.encode({"sub": str(VISIT), "exp": 1 << 40}, KEY, "HS256"),  # For another audience.
        jwt.encode({"sub": str(VISIT), "aud": "moonlit-manage"}, KEY, "HS256"),  # Without an end.
        jwt.encode({"sub": str(VISIT), "aud": "moonlit-manage", "exp": 1 << 40}, "", "none"),
    ],
)
def test_anything_else_is_refused(token: str | None) -> None:
    with pytest.raises(tokens.TokenRefused):
        tokens.check(KEY, token, VISIT)
