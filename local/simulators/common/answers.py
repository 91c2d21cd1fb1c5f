"""Answers that are no vendor's own: a refusal to be put in the vendor's words, pages, plain text, and none at all."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

type Row = dict[str, Any]
"""One vendor object, its fields named as the vendor names them."""

DROPPED: web.ResponseKey[bool] = web.ResponseKey("dropped", bool)


class Refused(Exception):
    """A request that the vendor would turn down, with its one English sentence."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def page(title: str, status: int) -> web.Response:
    """Return the HTML page that stands where JSON was due."""
    html = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h2>{title}</h2></body></html>"
    return web.Response(text=html, status=status, content_type="text/html")


def plain(text: str, status: int, *, retry_after: int | None = None) -> web.Response:
    """Return the plain text with which a gateway in front of the vendor answers for it."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(text=text, status=status, headers=headers)


def dropped(request: web.Request) -> web.Response:
    """Close the connection; what is returned for form's sake never leaves."""
    if request.transport is not None:
        request.transport.abort()
    response = web.Response(status=500)
    response[DROPPED] = True
    return response


async def body_of(request: web.Request) -> Row:
    """Return the JSON object of a request.

    Raises:
        Refused: It is none.
    """
    try:
        body = json.loads(await request.text())
    except ValueError:
        raise Refused("Invalid request.") from None
    if not isinstance(body, dict):
        raise Refused("Invalid request.")
    return body
