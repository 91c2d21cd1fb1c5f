"""Parameters of a request, from its query or its form, read as athenahealth reads them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from aiohttp import web
from multidict import MultiDict, MultiMapping

from local.simulators.athena.answers import invalid, missing
from local.simulators.athena.wire import read_day, read_stamp

_FORM = "application/x-www-form-urlencoded"


class Parameters:
    """Named values; an empty one counts as not given."""

    def __init__(self, values: MultiMapping[Any]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """Return a value, None when it was not given."""
        return str(self._values.get(name, "")).strip() or None

    def need(self, *names: str) -> list[str]:
        """Return the values of these names.

        Raises:
            Refusal: Some were not given.
        """
        values = [self.text(name) for name in names]
        absent = [name for name, value in zip(names, values, strict=True) if value is None]
        if absent:
            raise missing(absent)
        return [str(value) for value in values]

    def ids(self, name: str) -> list[str]:
        """Return a list, comma separated, repeated, or both."""
        given = (part.strip() for value in self._values.getall(name, []) for part in str(value).split(","))
        return [part for part in given if part]

    def flag(self, name: str) -> bool:
        """Return a boolean, false unless it says true."""
        return (self.text(name) or "").lower() == "true"

    def number(self, name: str, default: int) -> int:
        """Return a number that is not negative.

        Raises:
            Refusal: It is something else.
        """
        text = self.text(name)
        if text is not None and not text.isdecimal():
            raise invalid(name)
        return default if text is None else int(text)

    def day(self, name: str) -> date | None:
        """Return a day.

        Raises:
            Refusal: It is not mm/dd/yyyy.
        """
        return self._read(name, read_day)

    def instant(self, name: str) -> datetime | None:
        """Return an instant.

        Raises:
            Refusal: It is not mm/dd/yyyy hh24:mi:ss.
        """
        return self._read(name, read_stamp)

    def rows(self) -> dict[str, str]:
        """Return every value by its name, the last when it was repeated."""
        return {name: str(value) for name, value in self._values.items()}

    def _read[T](self, name: str, read: Callable[[str], T]) -> T | None:
        text = self.text(name)
        try:
            return None if text is None else read(text)
        except ValueError:
            raise invalid(name) from None


def query_of(request: web.Request) -> Parameters:
    """Return the parameters of a read."""
    return Parameters(request.query)


async def form_of(request: web.Request) -> Parameters:
    """Return the parameters of a write; a body that is not a form, JSON above all, has none."""
    return Parameters(await request.post() if request.content_type == _FORM else MultiDict())
