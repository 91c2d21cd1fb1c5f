"""Once a pull is complete: match, make sure that nothing runs wild, and send each organization's part to its worker."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.observability import logger
from moonlit.queues import Queue
from moonlit.sync.brakes import brakes, stands_braked
from moonlit.sync.conflicts import open_conflicts
from moonlit.sync.linking import link_patients
from moonlit.sync.logs import Logs
from moonlit.sync.mirror import Mirror
from moonlit.sync.new_ids import follow
from moonlit.sync.pull import planned
from moonlit.sync.refreshes import SHARED_FOR
from moonlit.sync.run import Run
from moonlit.sync.runs import Runs
from moonlit.sync.schedule import Schedule, Scope
from moonlit.sync.scopes import scope_of
from moonlit.sync.sightings import Sightings


@dataclass(frozen=True, slots=True)
class FanOut:
    """Sends the parts of runs to the workers that apply them."""

    begin: Begin
    clock: Clock
    queue: Queue

    def complete(self, run_id: UUID) -> UUID | None:
        """Close the pull of a run that has read everything, and send its parts. Harmless when that is done already.

        The logs are stored before their messages are sent: what a crash leaves unsent is found by `resume_stuck`.

        Returns:
            A run that has to be pulled next, for those who asked when this pull had long begun.
        """
        log_ids: list[UUID] = []
        next_run_id = None
        with self.begin() as connection:
            runs = Runs(connection)
            run = runs.get(run_id)
            if run.state == "pulling" and run.phase == "pulled" and runs.at(run):
                # Anew, since who joined until we had the lock has changed whom it is for and what it may cancel.
                log_ids, next_run_id = self._close(connection, runs, runs.get(run_id))
        self.send(log_ids)
        return next_run_id

    def send(self, log_ids: Collection[UUID]) -> None:
        """Send a message for each of the logs, and note it."""
        if not log_ids:
            return
        with self.begin() as connection:
            messages = Logs(connection).messages(log_ids)
        self.queue.send(messages)
        with self.begin() as connection:
            Logs(connection).sent(log_ids, self.clock.now())

    def _close(self, connection: sa.Connection, runs: Runs, run: Run) -> tuple[list[UUID], UUID | None]:
        now = self.clock.now()
        scope = scope_of(runs, run)
        mirror = Mirror(connection, run.account_id)
        clients = link_patients(mirror, scope.first, scope.last, now)
        if not _buried(connection, run, scope):
            runs.fail(run, "brake", now)  # The cursor stays, so that the next run reads all days again.
            return [], None
        follow(connection, run.account_id)
        mirror.reopen(scope.first, scope.last, Schedule(connection, scope).directory().services)
        runs.advance_account(run)
        conflicts = open_conflicts(connection, run.account_id, now)
        usual = runs.practice().window(now)  # Days that were read again lead to all that waits, of whatever day.
        first = min(scope.first, usual.instants(runs.practice().zone)[0])
        cancelled, held = runs.would_cancel(run.account_id, first)
        unknown = mirror.unknown(scope.first, scope.last)
        logger.info(
            "sync_pulled",
            run_id=str(run.id),
            rows_of_nobody=unknown,
            visits_to_cancel=cancelled,
            conflicts_opened=conflicts,
            clients_linked=clients["linked"],
            clients_in_doubt=clients["in_doubt"],
        )
        if brakes(cancelled, held) and not run.brake_confirmed:
            runs.fail(run, "brake", now)
            return [], None
        runs.set(run.id, state="applying", touched_at=now)
        next_run_id = _postponed(connection, runs, run, now)
        log_ids = Logs(connection).open(run, unknown, now)
        if not log_ids:
            runs.finish(run.id, None, now)
        return log_ids, next_run_id


def _buried(connection: sa.Connection, run: Run, scope: Scope) -> bool:
    """Take rows for deleted that a complete reading of all days did not show; refuse when they are too many.

    Days that an organization asked for prove nothing: few at a time, they would go below the brake. Whoever has days
    read again while a run of changes waits for a person's word would have all that waits applied, of whatever day.
    """
    if run.reads == "days" and stands_braked(connection, run.account_id):
        return False
    if not run.reads_all or (run.reads == "days" and not run.for_everybody):
        return True
    sightings = Sightings(connection, run.account_id)
    missing, known = sightings.missing(scope.first, scope.last, run.started_at)
    logger.info("sync_window_read", run_id=str(run.id), rows_missing=missing, rows_known=known)
    if brakes(missing, known) and not run.brake_confirmed:
        return False
    sightings.bury(scope.first, scope.last, run.started_at)
    return True


def _postponed(connection: sa.Connection, runs: Runs, run: Run, now: datetime) -> UUID | None:
    """Let those who asked when the pull had long begun have another, since theirs is the present and not its past."""
    since = run.round_started_at + SHARED_FOR
    logs = Logs(connection)
    if run.reads != "changes" or not logs.asked_after(run.id, since):
        return None
    system = runs.account(account_id=run.account_id).system
    following = replace(planned(runs, system, now), sync_type="manual_org", for_everybody=False)
    if runs.open(following) is None:
        return None  # Somebody's pull began in this very moment; they are told of this one.
    logs.move(run.id, following.id, since)
    return following.id
