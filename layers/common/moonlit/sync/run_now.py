"""Sync runs that people start. They are pulled by whoever reads the queue, never while somebody waits for an answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.queues import Queue
from moonlit.sync.brakes import may_be_confirmed, reading_again
from moonlit.sync.errors import RunNotStopped
from moonlit.sync.pull import open_run
from moonlit.sync.run import Run
from moonlit.sync.runs import Runs
from moonlit.web.models import Model


class RunWanted(Model):
    """Which account to sync; all of them unless one is named."""

    system: Literal["intakeq", "athena"] | None = None


class RunOpened(Model):
    """A run that is under way: a new one, or the one that was."""

    run_id: UUID
    system: Literal["intakeq", "athena"]


class RunsOpened(Model):
    """The runs, one for each account."""

    runs: list[RunOpened]


@dataclass(frozen=True, slots=True)
class RunNow:
    """Opens runs and sends them to the queue of pulls, which is not asked for before there is one to send."""

    begin: Begin
    clock: Clock
    queue: Callable[[], Queue]

    def start(self, system: str | None, actor: Actor) -> RunsOpened:
        """Open a run of the account of `system`, or of every account, or join those under way.

        Raises:
            NotFound: There is no such account.
        """
        with self.begin() as connection:
            systems = [system] if system else Runs(connection).systems()
            night_id = uuid4() if len(systems) > 1 else None
            opened = {each: self._open(connection, each, actor, night_id=night_id) for each in systems}
            audit = Audit(connection, actor, self.clock.now())
            for each, (run, _) in opened.items():
                audit.changed("start", "sync_run", run.id, after={"system": each})
        return self._sent(opened)

    def confirm(self, run_id: UUID, actor: Actor) -> RunsOpened:
        """Open a run like the one that the brake stopped, which may cancel as much, or join the one under way.

        Raises:
            NotFound: There is no such run.
            RunNotStopped: The brake did not stop it, or a later one of its kind has passed.
        """
        with self.begin() as connection:
            runs = Runs(connection)
            stopped = runs.get(run_id)
            if not may_be_confirmed(connection, run_id):
                raise RunNotStopped(f"sync run {run_id}")
            system = runs.account(account_id=stopped.account_id).system
            days = stopped.window if stopped.reads == "days" else None
            again = reading_again(connection, run_id)
            opened = (
                (runs.get(again), False)
                if again
                else self._open(connection, system, actor, confirm_brake=True, days=days)
            )
            Audit(connection, actor, self.clock.now()).changed(
                "confirm_brake",
                "sync_run",
                run_id,
                before={"state": "failed", "error": "brake"},
                after={"confirmedBy": str(opened[0].id)},
            )
        return self._sent({system: opened})

    def _open(self, connection: sa.Connection, system: str, actor: Actor, **how: Any) -> tuple[Run, bool]:
        def begin() -> nullcontext[sa.Connection]:
            return nullcontext(connection)  # With the audit log's row, or not at all.

        return open_run(begin, self.clock, system, "manual_org", requested_by=actor.reference, **how)

    def _sent(self, opened: dict[str, tuple[Run, bool]]) -> RunsOpened:
        """Send what nobody pulls yet; what a crash leaves unsent is found by `resume_stuck`."""
        messages = [{"runId": str(run.id)} for run, is_ours in opened.values() if is_ours]
        if messages:
            self.queue().send(messages)
        return RunsOpened.model_validate({
            "runs": [{"runId": run.id, "system": system} for system, (run, _) in opened.items()]
        })  # fmt: skip
