"""HTTP to an EHR: what a vendor answers becomes the port's errors, and reads are repeated.

The only module that imports httpx. Nothing here logs a body, a URL or an argument; httpx's own log of URLs is off.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

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

# The request never left this machine, so it had no effect.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)

type RefusalCode = Callable[[int, Any], str]
"""Names a refusal by its status and its JSON body (None when it had none)."""


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
    )


def unlimited() -> float:
    """Return the time left of a process that nobody will stop."""
    return float("inf")


class EhrHttp:
    """The requests of one EHR account, each counted against its budget before it is sent."""

    def __init__(
        self,
        client: httpx.Client,
        budget: Budget,
        *,
        refusal_code: RefusalCode = lambda status, _: str(status),
        time_left: Callable[[], float] = unlimited,
    ) -> None:
        """Take what a request needs.

        Args:
            client: Knows the base URL and the key.
            budget: Counts every attempt.
            refusal_code: The vendor's way of saying why.
            time_left: Seconds until this process is stopped; no request waits longer.
        """
        self._client = client
        self._budget = budget
        self._refusal_code = refusal_code
        self._time_left = time_left

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
                response = self._send("GET", path, lane, EhrUnavailable, parameters=parameters)
                return self._accepted(response, EhrUnavailable)
        raise AssertionError  # pragma: no cover  # retry_context returns or raises.

    def write(self, method: str, path: str, lane: Lane, body: Mapping[str, Any], *, answers: bool = True) -> Any:
        """Send `body` once, as JSON, and return the answer's JSON.

        Args:
            method: POST or PUT.
            path: Below the base URL.
            lane: Who pays.
            body: JSON.
            answers: False for a call whose success may have no body.

        Raises:
            EhrRefused: The EHR said no.
            EhrUnavailable: It surely had no effect.
            EhrOutcomeUnknown: It may have had one.
        """
        if self._time_left() < _LEAST_FOR_WRITE_SECONDS:  # Cut off half-way, nobody would know what became of it.
            raise EhrUnavailable("no time left")
        response = self._send(method, path, lane, EhrOutcomeUnknown, body=body)
        if not answers and response.is_success and not response.content:
            return None
        return self._accepted(response, EhrOutcomeUnknown)

    def _send(
        self,
        method: str,
        path: str,
        lane: Lane,
        doubt: type[EhrError],
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        seconds = min(_ANSWER_SECONDS, self._time_left() - _RESERVED_SECONDS)
        if seconds <= 0:
            raise EhrUnavailable("no time left")
        self._budget.take(lane)
        timeout = httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        try:
            return self._client.request(method, path, params=parameters, json=body, timeout=timeout)
        except _NEVER_SENT as error:
            raise EhrUnavailable(type(error).__name__) from None
        except httpx.RequestError as error:  # Its text may quote what was received, so only its name is kept.
            raise doubt(type(error).__name__) from None

    def _accepted(self, response: httpx.Response, doubt: type[EhrError]) -> Any:
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            seconds = _back_off_seconds(response)
            self._budget.back_off(seconds)
            raise BudgetExhausted(seconds)
        body = _json_or_none(response)
        if response.is_client_error and status != HTTPStatus.REQUEST_TIMEOUT:
            # A key that is being rotated, an allow-list, a gateway's page: the account's trouble, not this request's.
            if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise EhrLockedOut(f"answered {status}")
            if body is None and status != HTTPStatus.CONFLICT:
                raise EhrUnavailable(f"answered {status} without JSON")
            raise EhrRefused(self._refusal_code(status, body))
        answer = body if response.is_success else None
        if answer is None:
            raise doubt(f"answered {status}" if not response.is_success else f"answered {status} without JSON")
        return answer


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
