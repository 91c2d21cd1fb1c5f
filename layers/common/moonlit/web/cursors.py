"""Cursors of lists that are ordered by an instant and an id: where the next page begins, as opaque text."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import TypeAdapter

from moonlit.web.models import Instant

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

type Place = tuple[datetime, UUID]

_PLACE: TypeAdapter[Place] = TypeAdapter(tuple[Instant, UUID])


def written(place: Place) -> str:
    """Return the cursor of a page that begins after `place`."""
    return urlsafe_b64encode(_PLACE.dump_json(place)).decode()


def read(cursor: str) -> Place:
    """Return the place that a cursor stands for.

    Raises:
        RequestValidationError: It is none of ours.
    """
    try:
        return _PLACE.validate_json(urlsafe_b64decode(cursor))
    except ValueError:  # Both of base64 and of pydantic.
        raise refused() from None


def refused() -> RequestValidationError:
    """Return what to raise for a cursor that is none of ours."""
    # Slow to import: functions without HTTP use lists, and read no cursor.
    from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

    bad: list[Any] = [{"loc": ("query", "cursor"), "type": "cursor"}]
    return RequestValidationError(bad)
