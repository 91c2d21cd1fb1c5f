"""Failures to order: a little language in which tests and demos say what shall go wrong.

A fault is an object: `kind`; `method` and `path` (below the API's own base, `*` and `?` as wildcards), both optional,
to choose requests; `times`, how many of them (1, null for all); `seconds` (0), waited before the kind does its work;
`status`; `retry_after`. The first fault that fits a request is spent on it. The kinds:

    delay          waits, then does what was asked
    delay_after    does what was asked, then waits with the answer
    error_before   answers `status` (500) without doing anything
    error_after    does what was asked, then answers `status` (500)
    drop_before    closes the connection without doing anything
    drop_after     does what was asked, then closes the connection without an answer
    429            answers 429, with Retry-After when `retry_after` says so
    html           answers an HTML page with `status` (200) without doing anything
    html_after     the same after doing what was asked
    gateway        answers plain text with `status` (502) without doing anything
    gateway_after  the same after doing what was asked
    refuse_taken   for bookings: answers `status` (409) when the practitioner's time is taken, whatever the rule is
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from local.simulators.common.answers import dropped, page, plain

REFUSE_TAKEN: web.RequestKey[int] = web.RequestKey("refuse_taken", int)

_STATUS = {"refuse_taken": 409, "html": 200, "html_after": 200, "gateway": 502, "gateway_after": 502}
_TWICE = ("delay", "html", "gateway")
_KINDS = f"^(error_(before|after)|drop_(before|after)|429|refuse_taken|({'|'.join(_TWICE)})(_after)?)$"

type Handle = Callable[[], Awaitable[web.StreamResponse]]


class Voice(Protocol):
    """How a vendor words what goes wrong on its side."""

    def failure(self, status: int) -> web.Response:
        """Say that something broke."""
        ...

    def too_many(self, retry_after: int | None = None) -> web.Response:
        """Say that there were too many requests."""
        ...


class Fault(BaseModel):
    """One failure; the module says what its fields mean."""

    model_config = ConfigDict(extra="forbid")
    kind: str = Field(pattern=_KINDS)
    method: str | None = None
    path: str = "*"
    times: int | None = Field(default=1, ge=0)
    seconds: float = Field(default=0.0, ge=0)
    status: int | None = Field(default=None, ge=200, le=599)
    retry_after: int | None = None

    def fits(self, method: str, path: str) -> bool:
        """Say whether this request is to be spoilt."""
        return self.times != 0 and self.method in (None, method) and fnmatchcase(path, self.path)

    async def spoil(self, request: web.Request, handle: Handle, voice: Voice) -> web.StreamResponse:
        """Answer the request as this fault would have it."""
        if not self.kind.endswith("_after"):
            await asyncio.sleep(self.seconds)
        if self.kind == "refuse_taken":
            request[REFUSE_TAKEN] = self._status()
        if self.kind in ("delay", "refuse_taken"):
            return await handle()
        if self.kind == "429":
            return voice.too_many(self.retry_after)
        if self.kind.endswith("_after"):
            answer = await handle()
            await asyncio.sleep(self.seconds)
            if self.kind == "delay_after":
                return answer
        return self._spoilt(request, voice)

    def _spoilt(self, request: web.Request, voice: Voice) -> web.StreamResponse:
        match self.kind.partition("_")[0]:
            case "drop":
                return dropped(request)
            case "html":
                return page("Something went wrong", self._status())
            case "gateway":
                return plain("upstream connect error or disconnect/reset before headers", self._status())
            case _:
                return voice.failure(self._status())

    def _status(self) -> int:
        return self.status or _STATUS.get(self.kind, 500)


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def order(self, faults: object) -> None:
        """Replace every fault; an empty list clears them.

        Raises:
            pydantic.ValidationError: It is not the language above.
        """
        self.waiting = TypeAdapter(list[Fault]).validate_python(faults)

    def take(self, method: str, path: str) -> Fault | None:
        """Spend the first fault that fits."""
        fault = next((fault for fault in self.waiting if fault.fits(method, path)), None)
        if fault and fault.times is not None:
            fault.times -= 1
        return fault
