"""Bring the mirror of one EHR account up to date: once for everybody, page by page.

IntakeQ lets ten requests a minute through for the whole account, so a pull may outlast a function. Rows and position
are committed together after every page; whoever takes up the run next goes on there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.ehr.port import Budget, BudgetExhausted, Ehr, EhrError, EhrRefused, EhrUnavailable, Lane, Page
from moonlit.errors import MoonlitError
from moonlit.observability import logger
from moonlit.sync.errors import SyncContended
from moonlit.sync.mirror import Mirror
from moonlit.sync.run import Account, Run
from moonlit.sync.runs import Runs
from moonlit.sync.sightings import Sightings
from moonlit.sync.window import Window, must_read_all, unread

# A worker moves its run on at least this often, or it is gone and another may take over.
SIGN_OF_LIFE = timedelta(seconds=60)
SECONDS_KEPT = 60.0  # Time for one more page with all its attempts; with less left a message takes over.
MOST_ROUNDS = 3
MOST_FAILURES = 10  # A message comes five times, then the sweeper sends another.
INTERNAL_ERROR = "internal_error"
_LANES = {"automated_daily": Lane.NIGHTLY}


@dataclass(slots=True)
class Meter:
    """A budget that also counts what passes, so that a run can record what it used."""

    budget: Budget
    requests: int = 0

    def take(self, lane: Lane) -> None:
        """Count one request; see `Budget.take`."""
        self.budget.take(lane)
        self.requests += 1

    def back_off(self, seconds: float) -> None:
        """Let no lane through for `seconds`."""
        self.budget.back_off(seconds)

    def read(self) -> int:
        """Return what passed since the last reading."""
        requests, self.requests = self.requests, 0
        return requests


@dataclass(frozen=True, slots=True)
class Puller:
    """What a pull works with; `meter` is the budget that `ehr` spends, `time_left` the seconds until it is stopped."""

    begin: Begin
    clock: Clock
    ehr: Ehr
    meter: Meter
    time_left: Callable[[], float]

    def pull(self, run_id: UUID) -> float | None:
        """Read pages until the run has all it needs, it fails, or time or budget end.

        Returns:
            None when there is nothing left to pull, else how many seconds to wait before somebody goes on.
        """
        try:
            return self._pull(run_id)
        except MoonlitError:
            raise
        except Exception:
            self.count_failure_of(run_id)
            raise

    def _pull(self, run_id: UUID) -> float | None:
        while True:
            with self.begin() as connection:
                run = Runs(connection).get(run_id)
                account = Runs(connection).account(account_id=run.account_id)
            if run.state != "pulling" or run.phase == "pulled":
                return None
            if self.time_left() < SECONDS_KEPT:
                return 0.0
            try:
                page = self._read(run, account)
            except BudgetExhausted as exhausted:
                self._pause(run)
                return exhausted.retry_after
            except EhrError as error:
                self._fail(run, error)
                return None
            self.spend(run.id)
            retried_once(lambda: self._keep(run, account, page), SyncContended(f"sync run {run.id}"))  # noqa: B023

    def _read(self, run: Run, account: Account) -> Page:
        lane = lane_of(run)
        match run.phase:
            case "changed" if run.changed_since:
                return self.ehr.changed_since(run.changed_since, run.page, lane)
            case "window":
                days = _days_to_read(run, account) or run.window
                return self.ehr.window(days.first, days.last, run.page, lane)
            case "deleted":
                return self.ehr.deleted(run.page, lane)
            case _:
                raise ValueError(f"a pull has no phase {run.phase}")

    def _keep(self, run: Run, account: Account, page: Page) -> None:
        now = self.clock.now()
        phase, number = (next_phase(run, account), 1) if page.is_last else (run.phase, run.page + 1)
        with self.begin() as connection:
            runs = Runs(connection)
            if not runs.at(run):
                return  # Another worker has read this page too, and was faster.
            shifted = _has_shifted(connection, run, page)
            _save(connection, run, page, now)
            runs.move(run, phase, number, rows=len(page.visits), now=now)
            if run.round < MOST_ROUNDS and (shifted or _is_doubtful(connection, run, phase)):
                runs.begin_round(run, now)
        for external_id in page.unreadable:
            logger.warning("ehr_row_unreadable", run_id=str(run.id), external_id=external_id)

    def count_failure_of(self, run_id: UUID) -> None:
        """Note that something went wrong that nobody has foreseen; a run that never gets any further has to end.

        Its account could not be pulled any more, since the next run would join it.
        """
        with self.begin() as connection:
            runs = Runs(connection)
            if runs.count_failure(run_id) >= MOST_FAILURES and (run := runs.get(run_id)).state == "pulling":
                logger.error("sync_pull_failed", run_id=str(run_id), code=INTERNAL_ERROR)
                runs.fail(run, INTERNAL_ERROR, self.clock.now())

    def spend(self, run_id: UUID) -> None:
        """Count what was asked for the run, also by a worker that is about to be overtaken."""
        with self.begin() as connection:
            Runs(connection).spend(run_id, self.meter.read())

    def _pause(self, run: Run) -> None:
        with self.begin() as connection:
            Runs(connection).set(run.id, touched_at=self.clock.now())

    def _fail(self, run: Run, error: EhrError) -> None:
        code = failure_code(error)
        logger.error("sync_pull_failed", run_id=str(run.id), code=code)
        with self.begin() as connection:
            runs = Runs(connection)
            runs.spend(run.id, self.meter.read())
            if runs.at(run):
                runs.fail(runs.get(run.id), code, self.clock.now())  # Whoever joined meanwhile is told too.


def _has_shifted(connection: sa.Connection, run: Run, page: Page) -> bool:
    """Return whether a visit was deleted while the run was reading.

    The rows behind it moved up, and one may have slipped from a page still to be read onto one that had been.
    """
    if run.phase != "deleted" or not page.visits:
        return False
    external_ids = [visit.external_id for visit in page.visits]
    return Sightings(connection, run.account_id).any_disappeared(external_ids, run.round_started_at)


def _is_doubtful(connection: sa.Connection, run: Run, next_one: str) -> bool:
    """Return whether rows are missing from the first reading of all days: one look is not enough to call them gone."""
    if next_one != "pulled" or not run.reads_all or run.round > 1:
        return False
    first, last = run.window.instants(Runs(connection).practice().zone)
    missing, _ = Sightings(connection, run.account_id).missing(first, last, run.round_started_at)
    return missing > 0


def _save(connection: sa.Connection, run: Run, page: Page, now: datetime) -> None:
    deleted = run.phase == "deleted"
    Mirror(connection, run.account_id).save(page.visits, now, deleted=deleted)
    shown = [*(visit.external_id for visit in page.visits), *page.unreadable]  # What makes no sense is there as well.
    if shown and not deleted:
        Sightings(connection, run.account_id).seen(shown, now)


def lane_of(run: Run) -> Lane:
    """Return whose requests those of the run are."""
    return _LANES.get(run.sync_type, Lane.ON_DEMAND)


def open_run(
    begin: Begin,
    clock: Clock,
    system: str,
    sync_type: str,
    *,
    confirm_brake: bool = False,
    night_id: UUID | None = None,
    days: Window | None = None,
    requested_by: str | None = None,
) -> tuple[Run, bool]:
    """Open a run for everybody, or join the account's one that is being pulled: two would fight over the cursor.

    Args:
        begin: Opens a transaction.
        clock: Tells the time.
        system: Names the account.
        sync_type: Who asks for it.
        confirm_brake: A person said that it may cancel however much.
        night_id: What it has in common with the runs of other accounts.
        days: Read these again, in a run of its own; None for all that has changed.
        requested_by: The person who asks, as `Actor.reference` says it; None for a schedule.

    Returns:
        The run, and whether the caller should pull it: no, while another worker shows signs of life.
    """
    wanted: dict[str, Any] = {
        "sync_type": sync_type,
        "night_id": night_id,
        "requested_by": requested_by,
        "for_everybody": True,
    }
    while True:
        with begin() as connection:
            runs = Runs(connection)
            now = clock.now()
            run = replace(planned(runs, system, now, days), brake_confirmed=confirm_brake, **wanted)
            if runs.open(run):
                return run, True
            if running := runs.pulling(run.account_id):  # Else it was completed in between.
                is_more = not running.for_everybody or sync_type == "automated_daily"  # A night is told of as such.
                told = wanted if is_more else {}
                runs.set(running.id, brake_confirmed=running.brake_confirmed or confirm_brake, **told)
                return running, now - running.touched_at >= SIGN_OF_LIFE


def planned(runs: Runs, system: str, now: datetime, days: Window | None = None, *, shares: bool = False) -> Run:
    """Return a run of the account of `system` that begins now.

    Args:
        runs: The runs.
        system: Names the account.
        now: The current instant.
        days: Read these again; None for all that has changed.
        shares: Read nothing: another run has just read what changed.
    """
    account, practice = runs.account(system=system), runs.practice()
    local_now = now.astimezone(practice.zone)
    window = days or practice.window(now)
    full = days is not None or must_read_all(account.known, account.cursor, window, local_now)
    since = None if full or account.cursor is None else account.cursor.astimezone(local_now.tzinfo).date()
    return Run(
        id=uuid4(),
        account_id=account.id,
        sync_type="automated_daily",
        state="pulling",
        phase="pulled" if shares else "changed" if since else "window",
        page=1,
        changed_since=since,
        window=window,
        requests_used=0,
        error=None,
        started_at=local_now,
        touched_at=local_now,
        round_started_at=local_now,
        reads="nothing" if shares else "days" if days else "changes",
    )


def _days_to_read(run: Run, account: Account) -> Window | None:
    return unread(account.known, run.window) if run.changed_since else run.window


def next_phase(run: Run, account: Account) -> str:
    """Return what is asked for after the last page of the run's phase."""
    match run.phase:
        case "changed":
            return "window" if _days_to_read(run, account) else "deleted"
        case "window":
            return "deleted"
        case _:
            return "pulled"


def failure_code(error: EhrError) -> str:
    """Name the failure for logs and people; the error's own text is not for them."""
    match error:
        case EhrRefused():
            return f"ehr_refused_{error.code}"
        case EhrUnavailable():
            return "ehr_unavailable"
        case _:
            return "ehr_failed"
