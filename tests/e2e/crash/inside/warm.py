"""A function's process that has imported everything and read its secrets, and forks a worker for each line it is sent.

A worker is AWS's own runtime client on the function's handler, as in any other process of the local host; but starting
it costs milliseconds, as when the cloud restores a snapshot. This process itself handles no event of the stack and
opens no connection to the database or an EHR, so that every worker begins without any.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import json
import os
import select
import signal
import ssl
import sys
from types import SimpleNamespace
from typing import Any

_PR_SET_PDEATHSIG = 1
_IMPORTED = ("httpcore", "moonlit.ehr.athena", "moonlit.ehr.athena_token", "moonlit.ehr.budget", "moonlit.ehr.intakeq")
_BAD_REQUESTS = (
    ("POST", "/holds"),
    ("DELETE", "/holds/x"),
    ("POST", "/appointments"),
    ("POST", "/appointments/x/cancel"),
    ("POST", "/appointments/x/reschedule"),
)


def main(handler: str) -> None:
    """Warm up, then fork for each environment that comes in, until the input ends."""
    _warm_up(handler)
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    _say(ready=True)
    while True:
        ready, _, _ = select.select([sys.stdin, wakes], [], [])
        if wakes in ready:
            os.read(wakes, 4096)
            _bury()
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            _fork(json.loads(line), handler)


def _warm_up(handler: str) -> None:
    """Import what requests import, and let each route build what it builds on its first request."""
    # The simulators speak no TLS; reading all certificates for each worker would take as long as the rest of a request.
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    importlib.import_module("httpx").Client().close()
    for name in _IMPORTED:
        importlib.import_module(name)
    app: Any = importlib.import_module("app")
    wiring: Any = importlib.import_module("moonlit.wiring")
    wiring.token_key()
    wiring.intakeq_secret()
    wiring.athena_secret()
    for method, path in _BAD_REQUESTS:
        app.app.resolve(_event(method, path), _context())
    sys.stdout.flush()


def _event(method: str, path: str) -> dict[str, Any]:
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""}
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "body": "{}",
        "headers": {"content-type": "application/json"}, "isBase64Encoded": False,
        "requestContext": {"http": http, "requestId": "0", "stage": "$default"},
    }  # fmt: skip


def _context() -> Any:
    return SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000, aws_request_id="0")


def _fork(environment: dict[str, str], handler: str) -> None:
    parent, pid = os.getpid(), os.fork()
    if pid:
        _say(started=pid)
        return
    try:
        _work(environment, handler, parent)
    finally:
        os._exit(1)


def _work(environment: dict[str, str], handler: str, parent: int) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    os.close(0)
    os.dup2(2, 1)  # The parent's own output is for the host; a worker's goes where its errors go.
    os.environ |= environment
    # Only now: the runtime client reads the worker's own address when it is imported.
    from awslambdaric.__main__ import main as serve

    app: Any = importlib.import_module("app")
    app.handler = importlib.import_module("points").watched(app.handler)
    serve(["awslambdaric", handler])


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(ended=pid, status=os.waitstatus_to_exitcode(status))


def _say(**words: Any) -> None:
    os.write(_REPORTS, f"{json.dumps(words)}\n".encode())


_REPORTS = os.dup(1)
if __name__ == "__main__":
    os.dup2(2, 1)
    main(sys.argv[1])
