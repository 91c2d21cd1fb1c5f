"""The shapes of IntakeQ's answers that are not rows: refusals, HTML pages, and no answer at all."""

from __future__ import annotations

from aiohttp import web

DROPPED: web.ResponseKey[bool] = web.ResponseKey("dropped", bool)


def problem(message: str, status: int, *, retry_after: int | None = None) -> web.Response:
    """Return a refusal: one English sentence."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response({"Message": message}, status=status, headers=headers)


def page(title: str, status: int) -> web.Response:
    """Return the HTML page that stands where JSON was due."""
    html = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h2>{title}</h2></body></html>"
    return web.Response(text=html, status=status, content_type="text/html")


def dropped(request: web.Request) -> web.Response:
    """Close the connection; what is returned for form's sake never leaves."""
    if request.transport is not None:
        request.transport.abort()
    response = web.Response(status=500)
    response[DROPPED] = True
    return response
