"""athenahealth's access token, which all processes share: its endpoint takes few calls a minute, whoever asks.

A token lives for an hour. It is looked for in memory, then in the account's row of `ehr_tokens`; only when neither has
one that lasts for a while, one process asks the endpoint, and the others wait for what it brings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.dialects.postgresql import insert

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.tables import ehr_tokens
from moonlit.ehr.http import Client, post_form, unlimited
from moonlit.ehr.port import BudgetExhausted, EhrError, EhrLockedOut, EhrUnavailable

_SCOPE = "athena/service/Athenanet.MDP.*"
_CALLS_PER_MINUTE = 5  # What the preview allows; production allows 50, and an hour needs one.
_WINDOW = timedelta(seconds=61)  # A call that travels slowly must not fall into the vendor's next minute.
_MARGIN = timedelta(seconds=60)  # A token is replaced before a request could find it expired on arrival.
_ANSWER_SECONDS = 8.0
_RESERVED_SECONDS = 1.0
_TURN = timedelta(seconds=12)  # How long whoever asks the endpoint has it to themselves: longer than an answer takes.
_LOOK_SECONDS = 0.1
_LOOKS = round((_TURN.total_seconds() + 1) / _LOOK_SECONDS)  # Long enough to take over from one who died.
_LOCKED_OUT = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
)

type Ask = Callable[[], Granted]
"""Asks the vendor for a token, and raises EhrUnavailable or a kind of it."""


class Granted(BaseModel):
    """A token and how long it lives, in seconds, which are sent as text."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)
    access_token: str = Field(min_length=1, repr=False)
    seconds: float = Field(alias="expires_in", default=3600, ge=0, le=86_400, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where the app's id and secret are exchanged for a token.

    Attributes:
        client: Knows no key.
        url: The endpoint's whole address.
        login: The app's id and secret.
        time_left: Seconds until this process is stopped.
    """

    client: Client
    url: str
    login: tuple[str, str] = field(repr=False)
    time_left: Callable[[], float] = unlimited

    def ask(self) -> Granted:
        """Return a new token.

        Raises:
            BudgetExhausted: There were too many such calls.
            EhrLockedOut: The id or the secret is not accepted.
            EhrUnavailable: Everything else that went wrong.
        """
        seconds = min(_ANSWER_SECONDS, self.time_left() - _RESERVED_SECONDS)
        if seconds <= 0:
            raise EhrUnavailable("no time left")
        form = {"grant_type": "client_credentials", "scope": _SCOPE}
        status, stay_away, answer = post_form(self.client, self.url, self.login, form, seconds)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise BudgetExhausted(stay_away)
        if status in _LOCKED_OUT:
            raise EhrLockedOut(f"answered {status} for a token")
        try:
            return Granted.model_validate(answer if status == HTTPStatus.OK else None)
        except ValidationError:
            raise EhrUnavailable(f"answered {status} without a token") from None


@dataclass(frozen=True, slots=True)
class _Stored:
    """What processes share.

    Attributes:
        minute_hits: Epoch milliseconds of the latest calls of the endpoint, rising.
        blocked_until: Nobody calls the endpoint before it: somebody is at it, or it said that there were too many.
    """

    access_token: str | None = field(repr=False)
    expires_at: datetime | None
    minute_hits: Sequence[int]
    blocked_until: datetime | None

    def lasts(self, now: datetime) -> bool:
        """Tell whether the token is good for a request that leaves now."""
        return bool(self.access_token and self.expires_at and now < self.expires_at - _MARGIN)


class SharedToken:
    """The token of one account as `moonlit.ehr.http.Tokens`; call it outside every transaction."""

    def __init__(
        self,
        begin: Begin,
        account_id: UUID,
        clock: Clock,
        ask: Ask,
        *,
        time_left: Callable[[], float] = unlimited,
        per_minute: int = _CALLS_PER_MINUTE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take what is shared, and who to ask.

        Args:
            begin: Opens the short transactions in which the row is read and written.
            account_id: Whose token it is.
            clock: Tells when it expires.
            ask: Asks the endpoint.
            time_left: Seconds until this process is stopped.
            per_minute: How many calls the endpoint takes.
            sleep: Waits between two looks for what another process brings.
        """
        self._begin = begin
        self._account_id = account_id
        self._clock = clock
        self._ask = ask
        self._time_left = time_left
        self._per_minute = per_minute
        self._sleep = sleep
        self._known = _Stored(None, None, (), None)

    def current(self) -> str:
        """Return a token that lasts for a while.

        Raises:
            BudgetExhausted: The endpoint takes no more calls for now.
            EhrUnavailable: It does not answer, or the process that asks it does not.
        """
        if not self._known.lasts(self._clock.now()):
            for _ in range(_LOOKS):
                turn_ends = self._look()
                if turn_ends:
                    self._fetch(turn_ends)
                if self._known.access_token or self._time_left() <= _RESERVED_SECONDS:
                    break
                self._sleep(_LOOK_SECONDS)
        if not self._known.access_token:
            raise EhrUnavailable("no token in time")
        return self._known.access_token

    def drop(self, token: str) -> None:
        """Forget a token that was turned away, unless another process has replaced it already."""
        self._known = _Stored(None, None, (), None)
        gone = sa.update(ehr_tokens).values(access_token=None, expires_at=None)
        with self._begin() as connection:
            connection.execute(
                gone.where(ehr_tokens.c.account_id == self._account_id, ehr_tokens.c.access_token == token)
            )

    def _look(self) -> datetime | None:
        """Take over the stored token if it lasts; else take the turn at the endpoint if it is free.

        Returns:
            Until when the turn lasts, None when there is no need for it or somebody else has it.

        Raises:
            BudgetExhausted: The endpoint takes no more calls for now.
        """
        with self._begin() as connection:
            stored = self._locked(connection)
            now = self._clock.now()  # Read under the lock, so that the hits stay in order.
            self._known = stored if stored.lasts(now) else _Stored(None, None, (), None)
            if self._known.access_token:
                return None
            if stored.blocked_until and stored.blocked_until > now:
                if stored.blocked_until > now + _TURN:
                    raise BudgetExhausted((stored.blocked_until - now).total_seconds())
                return None
            hits = [hit for hit in stored.minute_hits if hit > _milliseconds(now - _WINDOW)]
            if len(hits) >= self._per_minute:
                raise BudgetExhausted((hits[-self._per_minute] - _milliseconds(now - _WINDOW)) / 1000)
            self._set(connection, minute_hits=[*hits, _milliseconds(now)], blocked_until=now + _TURN)
            return now + _TURN

    def _fetch(self, turn_ends: datetime) -> None:
        """Ask the endpoint, share what it gives, and end the turn."""
        try:
            granted = self._ask()
        except BudgetExhausted as exhausted:
            self._end_turn(turn_ends, self._clock.now() + timedelta(seconds=exhausted.retry_after))
            raise
        except EhrError:
            self._end_turn(turn_ends, None)
            raise
        expires_at = self._clock.now() + timedelta(seconds=granted.seconds)
        self._known = _Stored(granted.access_token, expires_at, (), None)
        with self._begin() as connection:
            self._locked(connection)
            self._set(connection, access_token=granted.access_token, expires_at=expires_at, blocked_until=None)

    def _end_turn(self, turn_ends: datetime, blocked_until: datetime | None) -> None:
        with self._begin() as connection:
            if self._locked(connection).blocked_until == turn_ends:  # Or somebody else has taken over meanwhile.
                self._set(connection, blocked_until=blocked_until)

    def _locked(self, connection: sa.Connection) -> _Stored:
        query = (
            sa.select(
                ehr_tokens.c.access_token,
                ehr_tokens.c.expires_at,
                ehr_tokens.c.minute_hits,
                ehr_tokens.c.blocked_until,
            )
            .where(ehr_tokens.c.account_id == self._account_id)
            .with_for_update()
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            connection.execute(insert(ehr_tokens).values(account_id=self._account_id).on_conflict_do_nothing())
            row = connection.execute(query).one()
        return _Stored(*row)

    def _set(self, connection: sa.Connection, **values: Any) -> None:
        connection.execute(sa.update(ehr_tokens).where(ehr_tokens.c.account_id == self._account_id).values(**values))


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
