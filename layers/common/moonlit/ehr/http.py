"""HTTP to an EHR: what a vendor answers becomes the port's errors, and reads are repeated.

The only module that imports httpx. Nothing here logs a body, a URL or an argument; httpx's own log of URLs is off.
"""

from __future__ import annotations

import base64
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, Protocol

import httpx
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from moonlit.ehr.port import (
    Budget,
    BudgetExhausted,
    EhrError,
    EhrLockedOut,
    EhrOutcomeUnknown,
    EhrRefused,
    EhrUnavailable,
    Lane,
)
from moonlit.observability import logger

# Queries carry e-mail addresses: httpx logs every URL at INFO, httpcore every exchange at DEBUG.
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(logging.WARNING)

_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 20.0
_LEAST_FOR_WRITE_SECONDS = 8.0
_RESERVED_SECONDS = 1.0  # Kept back from the time left, so that the outcome can still be written down.
_BACK_OFF_SECONDS, _LONGEST_BACK_OFF_SECONDS = 60.0, 3600.0
_READ_ATTEMPTS = 3
_BEARER = "Bearer "
_LOCKED_OUT = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)

# The request never left this machine, so it had no effect.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)

type Client = httpx.Client
"""What `open_client` returns, for those who hand it on."""

type RefusalCode = Callable[[int, Any], str | None]
"""Names a refusal by its status and its JSON body (None when it had none); None when it is the account's trouble."""

type Watch = Callable[[Mapping[str, str]], None]
"""Is shown the headers of every answer."""


class Tokens(Protocol):
    """The bearer tokens of an account, where no lasting key opens it."""

    def current(self) -> str:
        """Return a token that should be valid.

        Raises:
            EhrUnavailable: There is none to be had now.
        """
        ...

    def drop(self, token: str) -> None:
        """Forget a token that was turned away."""
        ...


def _log_retry(details: RetryDetails) -> None:
    """Log a coming repetition without what was asked; stamina's own hook prints the arguments."""
    logger.warning(
        "ehr_read_repeated",
        attempt=details.retry_num,
        wait_seconds=round(details.wait_for, 2),
        error=type(details.caused_by).__name__,
    )


set_on_retry_hooks([_log_retry])


def open_client(
    base_url: str, headers: Mapping[str, str], transport: httpx.BaseTransport | None = None
) -> httpx.Client:
    """Return a client for one vendor account. It reads no proxies or credentials from the environment."""
    return httpx.Client(
        base_url=base_url,
        headers={"Accept": "application/json", **headers},
        transport=transport,
        trust_env=False,
        verify=_trusted(),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Return whom TLS trusts; reading them takes longer than a call, and all clients trust the same."""
    return httpx.create_ssl_context(trust_env=False)


def unlimited() -> float:
    """Return the time left of a process that nobody will stop."""
    return float("inf")


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    lane: Lane
    parameters: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None


class EhrHttp:
    """The requests of one EHR account, each counted against its budget before it is sent."""

    def __init__(
        self,
        client: httpx.Client,
        budget: Budget,
        *,
        refusal_code: RefusalCode = lambda status, _: str(status),
        time_left: Callable[[], float] = unlimited,
        form: bool = False,
        tokens: Tokens | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Take what a request needs.

        Args:
            client: Knows the base URL, and the key unless there are `tokens`.
            budget: Counts every attempt.
            refusal_code: The vendor's way of saying why.
            time_left: Seconds until this process is stopped; no request waits longer.
            form: Bodies are sent as forms instead of JSON.
            tokens: What requests carry instead of a key.
            watch: Looks at the headers of answers.
        """
        self._client = client
        self._budget = budget
        self._refusal_code = refusal_code
        self._time_left = time_left
        self._form = form
        self._tokens = tokens
        self._watch = watch

    def close(self) -> None:
        """Close the connections; a process that lives as long as its client need not."""
        self._client.close()

    def read(self, path: str, lane: Lane, parameters: Mapping[str, str] | None = None) -> Any:
        """GET `path` and return its JSON; what is unavailable is tried three times with growing pauses.

        Raises:
            EhrRefused: The EHR said no; `404` when it answered, in JSON, that it does not know the thing.
            EhrUnavailable: Everything else that went wrong.
            BudgetExhausted: There was no room, or the EHR answered 429; not repeated.
        """
        for attempt in stamina.retry_context(
            on=_is_worth_repeating,
            attempts=_READ_ATTEMPTS,
            timeout=min(45.0, max(0.0, self._time_left())),
            wait_initial=0.5,
            wait_max=4.0,
            wait_jitter=0.5,
        ):
            with attempt:
                response = self._send(_Call("GET", path, lane, parameters), EhrUnavailable)
                return self._accepted(response, EhrUnavailable)
        raise AssertionError  # pragma: no cover  # retry_context returns or raises.

    def take(self, path: str, lane: Lane, parameters: Mapping[str, str], *, forbidden: str | None = None) -> Any:
        """GET, once, what is handed out only once, and return its JSON.

        Raises:
            EhrRefused: The EHR said no; `forbidden` when it said 402 or 403.
            EhrUnavailable: It surely had no effect.
            EhrOutcomeUnknown: It may have been handed out, and is lost.
        """
        response = self._send(_Call("GET", path, lane, parameters), EhrOutcomeUnknown)
        return self._accepted(response, EhrOutcomeUnknown, forbidden)

    def write(
        self,
        method: str,
        path: str,
        lane: Lane,
        body: Mapping[str, Any],
        *,
        answers: bool = True,
        forbidden: str | None = None,
    ) -> Any:
        """Send `body` once and return the answer's JSON.

        Args:
            method: POST or PUT.
            path: Below the base URL.
            lane: Who pays.
            body: JSON, or the fields of a form.
            answers: False for a call whose success may have no body.
            forbidden: The refusal that 402 and 403 are where they speak of this call, not of the whole account.

        Raises:
            EhrRefused: The EHR said no.
            EhrUnavailable: It surely had no effect.
            EhrOutcomeUnknown: It may have had one.
        """
        response = self._send(_Call(method, path, lane, body=body), EhrOutcomeUnknown)
        if not answers and response.is_success and not response.content:
            return None
        return self._accepted(response, EhrOutcomeUnknown, forbidden)

    def _send(self, call: _Call, doubt: type[EhrError]) -> httpx.Response:
        """Send a request, and once more when its token was turned away: that surely had no effect."""
        response = self._attempt(call, doubt)
        if self._tokens and response.status_code == HTTPStatus.UNAUTHORIZED:
            self._tokens.drop(response.request.headers["Authorization"].removeprefix(_BEARER))
            response = self._attempt(call, doubt)
        if self._watch:
            self._watch(response.headers)
        return response

    def _attempt(self, call: _Call, doubt: type[EhrError]) -> httpx.Response:
        self._seconds(call)
        self._budget.take(call.lane)
        headers = {"Authorization": f"{_BEARER}{self._tokens.current()}"} if self._tokens else {}
        seconds = self._seconds(call)  # Fetching a token may have taken its time.
        request = self._client.build_request(
            call.method,
            call.path,
            params=call.parameters,
            json=None if self._form else call.body,
            data=dict(call.body) if call.body and self._form else None,
            headers=headers,
            timeout=_timeout(seconds),
        )
        return _exchanged(self._client, request, doubt)

    def _seconds(self, call: _Call) -> float:
        """Return how long the answer may be waited for.

        Raises:
            EhrUnavailable: Too little time is left. Cut off half-way, nobody would know what became of a write.
        """
        left = self._time_left()
        if left <= _RESERVED_SECONDS or (call.body is not None and left < _LEAST_FOR_WRITE_SECONDS):
            raise EhrUnavailable("no time left")
        return min(_ANSWER_SECONDS, left - _RESERVED_SECONDS)

    def _accepted(self, response: httpx.Response, doubt: type[EhrError], forbidden: str | None = None) -> Any:
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            seconds = _back_off_seconds(response)
            self._budget.back_off(seconds)
            raise BudgetExhausted(seconds)
        body = _json_or_none(response)
        if response.is_client_error and status != HTTPStatus.REQUEST_TIMEOUT:
            raise self._refusal(status, body, forbidden)
        answer = body if response.is_success else None
        if answer is None:
            raise doubt(f"answered {status}" if not response.is_success else f"answered {status} without JSON")
        return answer

    def _refusal(self, status: int, body: Any, forbidden: str | None) -> EhrError:
        # A key that is being rotated, an allow-list, a gateway's page: the account's trouble, not this request's.
        if status in _LOCKED_OUT:
            about_this = forbidden if body is not None and status != HTTPStatus.UNAUTHORIZED else None
            return EhrRefused(about_this) if about_this else EhrLockedOut(f"answered {status}")
        if body is None and status != HTTPStatus.CONFLICT:
            return EhrUnavailable(f"answered {status} without JSON")
        code = self._refusal_code(status, body)
        return EhrLockedOut(f"answered {status}") if code is None else EhrRefused(code)


def post_form(
    client: httpx.Client, url: str, login: tuple[str, str], form: Mapping[str, str], seconds: float
) -> tuple[int, float, Any]:
    """Post a form as `login`, a name and its password, to a whole address.

    Returns:
        The status, how many seconds to stay away in case it is 429, and the JSON, None when there is none.

    Raises:
        EhrUnavailable: There was no answer within `seconds`.
    """
    basic = base64.b64encode(":".join(login).encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    request = client.build_request("POST", url, data=form, headers=headers, timeout=_timeout(seconds))
    response = _exchanged(client, request, EhrUnavailable)
    return response.status_code, _back_off_seconds(response), _json_or_none(response)


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))


def _exchanged(client: httpx.Client, request: httpx.Request, doubt: type[EhrError]) -> httpx.Response:
    """Send the request; raise `doubt` unless it is answered, or surely never left this machine."""
    try:
        return client.send(request)
    except _NEVER_SENT as error:
        raise EhrUnavailable(type(error).__name__) from None
    except httpx.RequestError as error:  # Its text may quote what was received, so only its name is kept.
        raise doubt(type(error).__name__) from None


def _is_worth_repeating(error: Exception) -> bool:
    return isinstance(error, EhrUnavailable) and not isinstance(error, BudgetExhausted | EhrLockedOut)


def _back_off_seconds(response: httpx.Response) -> float:
    told = response.headers.get("retry-after", "")
    return min(float(told), _LONGEST_BACK_OFF_SECONDS) if told.isdecimal() else _BACK_OFF_SECONDS


def _is_json(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _json_or_none(response: httpx.Response) -> Any:
    """Return the body's JSON, None when it is not JSON. No EHR answers a bare null."""
    if not _is_json(response):
        return None
    try:
        return response.json()
    except ValueError:
        return None
