"""Die where a request says: loaded into a function's process from outside, which knows nothing of it.

A request names in the header `x-crash-at` a point (`3 after commit`, `2 before POST /appointments`), or a number of
seconds. `2 late POST /appointments` dies before the call and leaves it in the file of the header `x-crash-record`, for
somebody to send it later. `record` dies nowhere and gets the points that it passes into that file. The process of such
a request serves no second one, so that points are always counted in a fresh process.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
from sqlalchemy.engine.default import DefaultDialect

RECORD = "record"
_BASE = re.compile(r"^/(api/)?v1(/\d+(?=/))?")
_ID = re.compile(r"(?<=/)(\d+|[0-9a-f]{24})(?=/|$)")

type Handler = Callable[[dict[str, Any], Any], Any]


class Points:
    """The points that one request passes, numbered by kind: commits of transactions, and calls of an EHR."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._deadly: str | None = None
        self._record = Path(os.devnull)
        self.is_spent = False

    def arm(self, at: str, record: str | None) -> None:
        """Take a request's order."""
        self._counts.clear()
        self.is_spent = True
        self._record = Path(record or os.devnull)
        if at.replace(".", "", 1).isdecimal():
            _kill_after(float(at))
        elif at != RECORD:
            self._deadly = at

    @contextmanager
    def around(self, kind: str, what: str, parcel: dict[str, Any] | None = None) -> Iterator[None]:
        """Pass the points before and after something, the second only when it did not raise.

        Args:
            kind: What it is counted with.
            what: Its name.
            parcel: What is left behind when it is to be done late.
        """
        self._counts[kind] += 1
        number = self._counts[kind]
        if self._deadly == f"{number} late {what}":
            self._record.write_text(json.dumps(parcel))
            _die()
        self._reach(f"{number} before {what}")
        yield
        self._reach(f"{number} after {what}")

    def _reach(self, name: str) -> None:
        if name == self._deadly:
            _die()
        if self._deadly is None:
            with self._record.open("a") as record:
                record.write(f"{name}\n")


def watched(handler: Handler) -> Handler:
    """Return the handler with every point of its requests watched; call it once in a process."""
    points = Points()
    _watch_commits(points)
    _watch_calls(points)
    _end_when_spent(points)

    def watching(event: dict[str, Any], context: Any) -> Any:
        headers = event.get("headers", {})
        if at := headers.get("x-crash-at"):
            points.arm(at, headers.get("x-crash-record"))
        return handler(event, context)

    return watching


def _watch_commits(points: Points) -> None:
    commit = DefaultDialect.do_commit

    def do_commit(self: Any, dbapi_connection: Any) -> None:
        with points.around("commit", "commit"):
            commit(self, dbapi_connection)  # type: ignore[no-untyped-call]

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def _watch_calls(points: Points) -> None:
    real = httpx.Client.send

    def send(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        path = _ID.sub("{id}", _BASE.sub("", request.url.path))
        parcel = {
            "method": request.method,
            "url": str(request.url),
            "headers": dict(request.headers),
            "body": request.content.decode(),
        }
        with points.around("call", f"{request.method} {path}", parcel):
            return real(self, request, **options)

    httpx.Client.send = send  # type: ignore[method-assign]


def _end_when_spent(points: Points) -> None:
    wait = LambdaRuntimeClient.wait_next_invocation

    def wait_next_invocation(self: Any) -> Any:
        if points.is_spent:
            os._exit(0)
        return wait(self)

    LambdaRuntimeClient.wait_next_invocation = wait_next_invocation


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_after(seconds: float) -> None:
    """Have another process send the signal: a thread of this one would wait for its turn at the interpreter."""
    victim = os.getpid()
    if os.fork() == 0:
        time.sleep(seconds)
        if os.getppid() == victim:  # Else it has ended by itself.
            os.kill(victim, signal.SIGKILL)
        os._exit(0)
