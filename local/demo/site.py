"""The running stack as its users see it: the HTTP API, boto3's invokes, an export, the clock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from botocore.exceptions import BotoCoreError, ClientError

from local.aws import client
from local.clinic import export
from local.demo.http import Answer, call
from local.demo.report import NotHeld, hold
from moonlit.db.engine import connect, transaction

# The account's budget counts requests in a minute, and a bit.
_QUIET = timedelta(seconds=62)


@dataclass(frozen=True, slots=True)
class Site:
    """A stack; `description` is what its stack.json says."""

    description: Mapping[str, Any]

    def api(
        self, method: str, path: str, body: Any = None, *,
        query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Call the HTTP API."""
        asked = f"?{urlencode(query)}" if query else ""
        return call(method, f"{self.description['apiUrl']}{path}{asked}", body, headers)

    def get(self, path: str, **query: Any) -> Any:
        """Return the body of a GET.

        Raises:
            NotHeld: It was not answered with 200.
        """
        answer = self.api("GET", path, query=query)
        hold(f"GET {path} is answered", expected=200, seen=answer.status)
        return answer.body

    def invoke(self, function: str, payload: Mapping[str, Any]) -> Any:
        """Call a function as boto3 does in the cloud.

        Raises:
            NotHeld: It failed.
        """
        lambda_ = client("lambda", self.description["lambdaUrl"], read_seconds=120)
        claim = f"{function} can be invoked"
        try:
            answer = lambda_.invoke(FunctionName=function, Payload=json.dumps(payload))
        except (BotoCoreError, ClientError) as error:
            raise NotHeld(claim, expected="an answer", seen=type(error).__name__) from None
        said = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise NotHeld(claim, expected="no error", seen=said.get("errorType"))
        return said

    def now(self) -> datetime:
        """Return the stack's time."""
        return datetime.fromisoformat(call("GET", self._clock_url).body["now"])

    def move_clock(self, to: datetime) -> None:
        """Move the stack's time forward."""
        moved = call("POST", self._clock_url, {"to": to.isoformat()})
        hold("the clock goes forward", expected=200, seen=moved.status)

    def let_a_minute_pass(self) -> None:
        """Move the time so far that the EHR account's requests of the last minute no longer count."""
        self.move_clock(self.now() + _QUIET)

    def export(self) -> dict[str, Any]:
        """Return the database as a clinic file."""
        now = self.now()
        with self._transaction() as connection:
            return export(connection, now)

    def rows(self, query: str, **values: Any) -> list[Mapping[str, Any]]:
        """Return what the database itself says."""
        with self._transaction() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    @property
    def _clock_url(self) -> str:
        return f"{self.description['lambdaUrl']}/_control/clock"

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        engine = connect(self.description["databaseUrl"])
        try:
            with transaction(engine) as connection:
                yield connection
        finally:
            engine.dispose()
