"""How athenahealth says no: an `error` for people, now and then more for programs; its gateway speaks plain text."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from local.simulators.common.answers import Refused, Row, plain

TAKEN = "That appointment time was already booked or not available for booking."
_TAKEN_DETAIL = "The appointment ID is already booked or is not marked as being available to be scheduled via the API."


class Refusal(Refused):
    """A refusal with what some of them tell beside their sentence."""

    def __init__(self, message: str, status: int = 400, **more: object) -> None:
        super().__init__(message, status)
        self.more = more


def missing(fields: Iterable[str]) -> Refusal:
    """Return the refusal of a request without fields that it needs."""
    return Refusal("Additional fields are required.", missingfields=list(fields), invalidfields=[])


def invalid(*fields: str, message: str = "The data provided is invalid.") -> Refusal:
    """Return the refusal of fields that make no sense."""
    return Refusal(message, invalidfields=list(fields), missingfields=[])


def taken(status: int = 409) -> Refusal:
    """Return the refusal of a slot that cannot be booked, for whatever reason."""
    return Refusal(TAKEN, status, detailedmessage=_TAKEN_DETAIL)


def unknown(kind: str) -> Refusal:
    """Return the refusal of an id that the practice does not have."""
    return Refusal(f"The {kind} is not found.", 404)


def told(refused: Refused) -> web.Response:
    """Return a refusal as JSON; the order of its keys means nothing."""
    more: Row = dict(refused.more) if isinstance(refused, Refusal) else {}
    return web.json_response(more | {"error": refused.message}, status=refused.status)


class AthenaVoice:
    """How athenahealth words what goes wrong on its side."""

    def failure(self, status: int) -> web.Response:
        """Say that something broke."""
        return web.json_response({"error": "The server encountered an unexpected condition."}, status=status)

    def too_many(self, retry_after: int | None = None) -> web.Response:
        """Say that there were too many requests, which the gateway does."""
        return plain("Too Many Requests", 429, retry_after=retry_after)
