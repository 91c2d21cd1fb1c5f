"""Errors as problem documents (RFC 9457). They carry ids, codes and times, never a value that was sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from moonlit.errors import MoonlitError
from moonlit.settings import WebSettings, load

CONTENT_TYPE = "application/problem+json"
UNKNOWN = "extra_forbidden"  # Pydantic's word for a member or parameter that the route does not have.
LONGEST_NAME = 30


class FieldError(BaseModel):
    """Where a request is malformed (a JSON pointer into the body, else /query/… or /header/…), and how."""

    pointer: str
    code: str


class Problem(BaseModel):
    """RFC 9457's members; some kinds add more, such as `alternatives` with slots that are free."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str = ""
    errors: Annotated[list[FieldError] | None, Field(default=None)]


def document(status: int, slug: str, title: str, detail: str = "", **extra: object) -> Response[str]:
    """Return a problem document as an answer."""
    body = {"type": f"{load(WebSettings).problems_base}/{slug}", "title": title, "status": status, "detail": detail}
    return Response(status_code=status, content_type=CONTENT_TYPE, body=json.dumps(body | extra))


def of(error: MoonlitError) -> Response[str]:
    """Return the document of an expected failure."""
    answer = document(error.status, error.slug, error.title, error.detail, **error.extra)
    if (seconds := error.extra.get("retryAfterSeconds")) is not None:
        answer.headers["retry-after"] = str(seconds)
    return answer


def malformed(error: RequestValidationError) -> Response[str]:
    """Return the document of a malformed request."""
    errors = [{"pointer": pointer(_told(found)), "code": str(found["type"])} for found in error.errors()]
    return document(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed-request", "The request is malformed", errors=errors)


def _told(found: Mapping[str, Any]) -> Sequence[Any]:
    """Return where an error is. An unknown name is the caller's text: one that is no likely misspelling is left out."""
    *parents, last = found["loc"]
    misspelt = str(last).isidentifier() and len(str(last)) <= LONGEST_NAME
    return found["loc"] if found["type"] != UNKNOWN or misspelt else (*parents, "?")


def pointer(location: Iterable[Any]) -> str:
    """Return a JSON pointer (RFC 6901) for the place that a validation error names."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location]
    return "".join(f"/{part}" for part in (parts[1:] if parts[:1] == ["body"] else parts))


def responses(
    *statuses: int, success: Mapping[int, type[BaseModel] | None], tables: Sequence[int] = ()
) -> dict[int, Any]:
    """Return what a route documents: its answers by status, and the problems that it can answer.

    Those of `tables` are also to be had as CSV, by `Accept: text/csv`.
    """
    documented: dict[int, Any] = {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"model": model}} if model else {},
        }
        for status, model in success.items()
    }
    for status in tables:
        documented[status]["content"]["text/csv"] = {"schema": {"type": "string"}}
    for status in (*statuses, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR):
        documented[int(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {CONTENT_TYPE: {"model": Problem}},
        }
    return documented
