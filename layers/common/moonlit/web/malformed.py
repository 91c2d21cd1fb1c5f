"""What is wrong with a body beyond its shape, told as pydantic tells the rest: where, and a code."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError


def in_body(code: str, *place: str | int) -> RequestValidationError:
    """Return what to raise for a member of the body, such as `in_body("unknown_id", "rooms", 0, "locationId")`."""
    bad: list[Any] = [{"loc": ("body", *place), "type": code}]
    return RequestValidationError(bad)


def in_query(code: str, name: str) -> RequestValidationError:
    """Return what to raise for a parameter of the query."""
    bad: list[Any] = [{"loc": ("query", name), "type": code}]
    return RequestValidationError(bad)
