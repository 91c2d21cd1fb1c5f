"""The running practice: its functions over HTTP, its database, its clock."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from typing import Any

import sqlalchemy as sa

from tests.e2e.crash.practice import SYSTEMS, Provider, Slot, hold, providers, starts
from tests.e2e.crash.snapshot import Snapshot
from tests.e2e.site import Answer, Site, call, until

SWEEPS = 60

# What is not decided yet, and when it is due next; what is not finished: also what is watched, holds, and slots that
# are frozen for them or have to be read again.
UNDECIDED = "select next_look_at due from ehr_writes where state in ('waiting', 'sending', 'unknown')"
DUE = """
    select next_look_at due from ehr_writes where state in ('waiting', 'sending', 'unknown', 'watching')
    union all select expires_at from appointment_holds union all select thaw_at from ehr_freezes
    union all select 'epoch' from ehr_accounts where system = 'athena' and slots_read_at is null
"""


@dataclass
class Office:
    """The practice under test."""

    site: Site
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.engine = sa.create_engine(self.site.stack["databaseUrl"])
        self._providers = {system: cycle(providers(system)) for system in SYSTEMS}
        self._starts = {each: starts() for system in SYSTEMS for each in providers(system)}

    def number(self) -> int:
        """Return the number of a patient whom nobody knows yet."""
        return next(self._numbers)

    def provider(self, system: str) -> Provider:
        """Return the providers in turn."""
        return next(self._providers[system])

    def slot(self, provider: Provider) -> Slot:
        """Return a slot of the provider's that nobody has used."""
        return Slot(provider, next(self._starts[provider]))

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self.site.api(method, path, body, headers=headers or {})

    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        with self.engine.begin() as connection:
            return [dict(row) for row in connection.execute(sa.text(statement), values).mappings()]

    def snapshot(self) -> Snapshot:
        return Snapshot.take(self.site, self.engine)

    def retire_workers(self) -> None:
        """End the idle workers of `book`: points are counted in fresh ones."""
        for worker in self.site.workers("book"):
            with suppress(ProcessLookupError):
                os.kill(worker["pid"], signal.SIGKILL)
        until(lambda: not self.site.workers("book"), "no worker")

    def fresh_token(self) -> None:
        """Let athenahealth's token be fetched now, so that it lasts for all that follows."""
        self.retire_workers()  # They remember theirs.
        self.forget_token()
        slot = self.slot(self.provider("athena"))
        held = self.ask("POST", "/holds", hold(slot))
        assert held.status == 201, held
        assert self.rows("select 1 from ehr_tokens where access_token is not null")

    def forget_token(self) -> None:
        """Let athenahealth's token be fetched by whoever needs it next."""
        with self.engine.begin() as connection:
            connection.execute(sa.text("delete from ehr_tokens"))

    def settle(self, due_next: str = DUE, together: timedelta = timedelta(seconds=50)) -> None:
        """Sweep, and move the clock to what is due next, until there is nothing left to be done.

        Args:
            due_next: What is to be done.
            together: What is due within this time is awaited, so that one sweep does for all of it.
        """
        for _ in range(SWEEPS):
            due = sorted(row["due"] for row in self.rows(due_next))
            if not due:
                return
            now = self.now()
            last = max(each for each in due if each <= max(due[0], now) + together)
            if last > now:
                self.site.move_clock((last + timedelta(milliseconds=1)).astimezone(UTC).isoformat())
            self.site.invoke("SweeperFunction")
        left = self.rows("select kind, state, last_error, count(*) n from ehr_writes group by 1, 2, 3")
        raise AssertionError(f"still open after {SWEEPS} sweeps: {left}")

    def now(self) -> datetime:
        return datetime.fromisoformat(call("GET", f"{self.site.stack['lambdaUrl']}/_control/clock").body["now"])
