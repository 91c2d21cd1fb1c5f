"""The nightly sync of every EHR account, side by side: each has its own run, and none waits for another's luck."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from moonlit.db.engine import Begin
from moonlit.observability import logger
from moonlit.sync.brakes import stands_braked
from moonlit.sync.nightly import Nightly
from moonlit.sync.runs import Runs
from moonlit.sync.window import Window

_COUNTED = ("new", "updated", "unchanged", "errors")
_UNFINISHED = ("pulling", "applying")


@dataclass(frozen=True, slots=True)
class Nights:
    """The practice's accounts; `nightly` returns the sync of a system's account."""

    begin: Begin
    nightly: Callable[[str], Nightly]

    def run(
        self, sync_type: str, *, confirm_brake: bool, wait_seconds: float, days: Window | None = None
    ) -> dict[str, Any]:
        """Open a run of each account, or join the one under way, and return where they stand after `wait_seconds`.

        What stops one account, even before its run is open, is reported and does not stop the others; with one account
        alone it is raised. With `days` these are read again, whatever changed.
        """
        with self.begin() as connection:
            systems = Runs(connection).systems()
        night_id = uuid4() if len(systems) > 1 else None
        started: dict[str, UUID] = {}
        failed: dict[str, str] = {}
        for system in systems:
            try:
                confirmed = confirm_brake and (len(systems) == 1 or self._stands_braked(system, days))
                nightly = self.nightly(system)
                started[system] = nightly.start(sync_type, confirm_brake=confirmed, night_id=night_id, days=days)
            except Exception as error:
                if len(systems) == 1:
                    raise
                failed[system] = type(error).__name__
                logger.error("sync_account_failed", system=system, error=failed[system])
        self._wait(started, wait_seconds)
        summaries = {system: self._summary(system, run_id) for system, run_id in started.items()}
        summaries |= {system: _not_opened(error) for system, error in failed.items()}
        return answer([{"system": system, **summaries[system]} for system in systems])

    def go_on(self, run_id: UUID) -> None:
        """Take up a run where it stopped."""
        with self.begin() as connection:
            runs = Runs(connection)
            system = runs.account(account_id=runs.get(run_id).account_id).system
        self.nightly(system).go_on(run_id)

    def _stands_braked(self, system: str, days: Window | None) -> bool:
        """Return whether the account waits for a confirmation: one for several is about those that do."""
        with self.begin() as connection:
            return stands_braked(connection, Runs(connection).account(system=system).id, days)

    def _wait(self, started: Mapping[str, UUID], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for system, run_id in started.items():
            self.nightly(system).wait(run_id, max(0.0, deadline - time.monotonic()))

    def _summary(self, system: str, run_id: UUID) -> dict[str, Any]:
        summary = self.nightly(system).summary(run_id)
        logger.info(
            "sync_run",
            system=system,
            run_id=str(run_id),
            state=summary["state"],
            requests_used=summary["requestsUsed"],
        )
        return summary


def _not_opened(error: str) -> dict[str, Any]:
    return {
        "runId": None,
        "state": "failed",
        "error": error,
        "requestsUsed": 0,
        "organizations": 0,
        "counts": dict.fromkeys(_COUNTED, 0),
        "logs": [],
    }


def answer(accounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a call is answered: one account's summary as it is, of several the sum with each account beside it.

    The run, where one is named, is the first account's.
    """
    if len(accounts) == 1:
        return {name: value for name, value in accounts[0].items() if name != "system"}
    states = [account["state"] for account in accounts]
    return {
        "runId": accounts[0]["runId"],
        "state": _state(states),
        "error": next((account["error"] for account in accounts if account["error"]), None),
        "requestsUsed": sum(account["requestsUsed"] for account in accounts),
        "organizations": max(account["organizations"] for account in accounts),
        "counts": {name: sum(account["counts"][name] for account in accounts) for name in _COUNTED},
        "logs": [log for account in accounts for log in account["logs"]],
        "accounts": [dict(account) for account in accounts],
    }


def _state(states: Sequence[str]) -> str:
    """Return the state of runs together: unfinished while any is, then what all agree on, else partial."""
    for unfinished in _UNFINISHED:
        if unfinished in states:
            return unfinished
    return states[0] if len(set(states)) == 1 else "partial"
