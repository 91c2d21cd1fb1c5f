"""A warm instance of a function: a process of its own, in the environment that the function has in the stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LIMIT_MS = 900_000


class Context:
    """What Lambda tells a handler beside its event."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-west-2:123456789012:function:bench"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left; here it never runs out."""
        return LIMIT_MS


class Instance:
    """The process. Whatever it is asked to do runs there, where `handle` calls the function's own handler."""

    def __init__(self, environment: Mapping[str, str], code: Path, log: Path) -> None:
        """Start it.

        Args:
            environment: The function's.
            code: The folder of its `app.py`.
            log: The file that its log is added to.
        """
        self._log = log
        self._pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_become, initargs=(dict(environment), str(code), log)
        )

    def call[**Given, Answer](
        self, work: Callable[Given, Answer], *arguments: Given.args, **named: Given.kwargs
    ) -> Answer:
        """Do `work`, a module's own function, in the process and return its answer."""
        try:
            return self._pool.submit(work, *arguments, **named).result()
        except Exception as error:
            error.add_note(self._log.read_text()[-2000:])
            raise

    def __enter__(self) -> Self:
        """Return the instance."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._pool.shutdown(cancel_futures=True)


def handle(event: Mapping[str, Any]) -> Any:
    """Call the handler of the function that this process is an instance of."""
    return import_module("app").handler(dict(event), Context())


def http_event(
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
) -> dict[str, Any]:
    """Return an event of an HTTP API, payload 2.0."""
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "&".join(f"{name}={value}" for name, value in (query or {}).items()),
        "queryStringParameters": dict(query or {}),
        "headers": {"content-type": "application/json", **(headers or {})},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "bench",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def _become(environment: dict[str, str], code: str, log: Path) -> None:
    os.environ.update(environment)
    sys.path.insert(0, code)
    with log.open("ab") as output:  # The log is written as ever, but not between our own lines.
        os.dup2(output.fileno(), 1)
