"""The errors that callers are meant to see; everything else is a bug."""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar


class MoonlitError(Exception):
    """An expected failure. Its text holds ids, codes and times, never people.

    Attributes:
        status: What an HTTP route answers.
        slug: The last part of the problem's `type` (RFC 9457), described in docs/problems.md.
        title: The same in a few words.
        extra: Further members of the problem document, ready for JSON.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str = "", **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class Contended(MoonlitError):
    """Others held the same rows for too long, or both waited for one another; nothing was changed."""

    status, slug, title = HTTPStatus.CONFLICT, "contended", "Somebody else was changing the same"


class NotFound(MoonlitError):
    """No such thing, or none that this caller may know of."""

    status, slug, title = HTTPStatus.NOT_FOUND, "not-found", "Nothing is known under this id"
