"""Optimistic concurrency: an ETag is the hash of what may be changed, and a change says which one it was made from."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated

from pydantic import StringConstraints

from moonlit.errors import MoonlitError
from moonlit.web.models import Model

IfMatch = Annotated[str, StringConstraints(max_length=200, pattern=r'^(\*|(W/)?"[\x21\x23-\x7e]+")$')]
"""The ETag of the state that a change was made from, or `*` for whatever stands."""


class StaleEtag(MoonlitError):
    """Somebody has changed it since the caller read it."""

    status, slug, title = HTTPStatus.PRECONDITION_FAILED, "stale-etag", "It was changed in the meantime"


class PreconditionRequired(MoonlitError):
    """Without the ETag of what the caller saw, their change could undo somebody else's unseen."""

    status, slug, title = HTTPStatus.PRECONDITION_REQUIRED, "precondition-required", "Say which state you are changing"


def etag(shown: Model) -> str:
    """Return the strong ETag (RFC 9110) of what a change may change: the same content has the same one."""
    content = shown.model_dump_json(by_alias=True, exclude=set(shown.derived))
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def expect(if_match: str | None, current: Model, *, required: bool = False) -> None:
    """Refuse a change that was made from another state than `current`, which stands locked in this transaction.

    Raises:
        StaleEtag: It was made from another one.
        PreconditionRequired: It does not say from which, and has to.
    """
    if if_match is None:
        if required:
            raise PreconditionRequired("send If-Match with the ETag of what you read")
    elif if_match not in ("*", etag(current)):  # A weak one never matches: If-Match compares strongly.
        raise StaleEtag("read it again, and send the new ETag as If-Match")
