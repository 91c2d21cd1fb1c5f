"""The nightly sync from its start to the fan-out, by schedule, by hand, or taken up again by message."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from moonlit.ehr.port import TRAITS
from moonlit.errors import MoonlitError
from moonlit.queues import LONGEST_DELAY_SECONDS, Queue
from moonlit.sync.fan_out import FanOut
from moonlit.sync.logs import Logs
from moonlit.sync.open_slots import refresh
from moonlit.sync.pull import Puller, lane_of, open_run
from moonlit.sync.runs import Runs
from moonlit.sync.window import Window

_POLL_SECONDS = 0.2
_SECONDS_KEPT = 5.0


@dataclass(frozen=True, slots=True)
class Nightly:
    """What a run works with; `system` names the EHR account."""

    system: str
    puller: Puller
    fan_out: FanOut
    pull_queue: Queue
    sleep: Callable[[float], None] = time.sleep

    def start(
        self,
        sync_type: str,
        *,
        confirm_brake: bool = False,
        night_id: UUID | None = None,
        days: Window | None = None,
    ) -> UUID:
        """Open a run, or join the one under way, and take it as far as time and budget reach.

        Args:
            sync_type: Who asks for it.
            confirm_brake: A person has said that the run may cancel however much.
            night_id: What a new run has in common with those of other accounts.
            days: Read these again, whatever changed.
        """
        run, is_ours = open_run(
            self.puller.begin,
            self.puller.clock,
            self.system,
            sync_type,
            confirm_brake=confirm_brake,
            night_id=night_id,
            days=days,
        )
        if is_ours:
            self.go_on(run.id)
        return run.id

    def go_on(self, run_id: UUID) -> None:
        """Take a run further; a message will do the rest when time or the minute's budget end.

        When the day's budget is gone no message can wait that long: the run stays as it is until it is resumed.
        """
        wait_seconds = self.puller.pull(run_id)
        if wait_seconds is None:
            try:
                self._read_open_slots(run_id)
                next_run_id = self.fan_out.complete(run_id)
            except MoonlitError:
                raise
            except Exception:
                self.puller.count_failure_of(run_id)
                raise
            if next_run_id:
                self.pull_queue.send([{"runId": str(next_run_id)}])
        elif wait_seconds <= LONGEST_DELAY_SECONDS:
            self.pull_queue.send([{"runId": str(run_id)}], delay_seconds=int(wait_seconds) + 1)

    def wait(self, run_id: UUID, seconds: float) -> None:
        """Wait up to `seconds`, and no longer than this process has, until others have applied the run.

        A pull is not waited for: it may take as long as the budget makes it.
        """
        deadline = time.monotonic() + min(seconds, self.puller.time_left() - _SECONDS_KEPT)
        while self._is_applying(run_id) and time.monotonic() < deadline:
            self.sleep(_POLL_SECONDS)

    def summary(self, run_id: UUID) -> dict[str, Any]:
        """Return where the run stands, ready for JSON: its state, requests, and what happened to whose visits."""
        with self.puller.begin() as connection:
            run = Runs(connection).get(run_id)
            logs = Logs(connection).of_run(run_id)
        counted = ("new", "updated", "unchanged", "errors")
        return {
            "runId": str(run_id),
            "state": run.state,
            "error": run.error,
            "requestsUsed": run.requests_used,
            "organizations": sum(log["organizationId"] is not None for log in logs),
            "counts": {name: sum(log[name] for log in logs) for name in counted},
            "logs": logs,
        }

    def _read_open_slots(self, run_id: UUID) -> None:
        """Read what is open in the EHR beside what is booked, where it tells; the run goes on without it."""
        if not TRAITS[self.system].has_open_slots:
            return
        puller = self.puller
        with puller.begin() as connection:
            run = Runs(connection).get(run_id)
        if run.state == "pulling" and run.reads == "changes":
            refresh(puller.begin, puller.clock, puller.ehr, run.account_id, puller.time_left, lane=lane_of(run))
            puller.spend(run_id)

    def _is_applying(self, run_id: UUID) -> bool:
        with self.puller.begin() as connection:
            return Runs(connection).get(run_id).state == "applying"
