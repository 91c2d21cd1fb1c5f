"""The button that brings all patients of an organization up to date, and how several who press it share a pull."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.db.tables import organization_refreshes
from moonlit.queues import Queue
from moonlit.sync.errors import SyncContended
from moonlit.sync.logs import Logs
from moonlit.sync.pull import planned
from moonlit.sync.run import Account, Practice, Run
from moonlit.sync.runs import Runs
from moonlit.sync.window import Window

# What was pulled so lately is not asked for again: IntakeQ answers ten requests a minute, whoever asks.
SHARED_FOR = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Refreshes:
    """Opens refreshes. The work is done by those who take the messages, as in a night."""

    begin: Begin
    clock: Clock
    pull_queue: Queue

    def start(self, organization_id: UUID, actor: Actor, days: Window | None = None) -> UUID:
        """Have an organization's patients brought up to date and return the refresh; of one under way, that one.

        Each EHR account is pulled by a run of its own. A pull of changes that is under way is joined, one that has
        just ended is shared; else one is opened.

        Args:
            organization_id: Whose patients.
            actor: Who asks.
            days: Read these days again, whatever changed; such a reading is never shared.

        Raises:
            SyncContended: Others held the same runs for too long; nothing was opened.
        """
        contended = SyncContended(f"organization {organization_id}")
        refresh_id, opened = retried_once(lambda: self._open(organization_id, actor, days), contended)
        # What a crash leaves unsent is found by `resume_stuck`.
        self.pull_queue.send([{"runId": str(run_id)} for run_id in opened])
        return refresh_id

    def _open(self, organization_id: UUID, actor: Actor, days: Window | None) -> tuple[UUID, list[UUID]]:
        with self.begin() as connection:
            now = self.clock.now()
            runs, logs = Runs(connection), Logs(connection)
            systems = runs.systems()
            refresh_id = _claimed(connection, organization_id, actor, now, finished=not systems)
            if refresh_id is None:
                return _under_way(connection, organization_id), []
            Audit(connection, actor, now).changed("requested", "organization_refresh", refresh_id)
            opened = []
            for system in systems:
                run, is_ours = _run(runs, system, now, days)
                logs.open_for(run, organization_id, refresh_id, actor.reference, now)
                opened += [run.id] if is_ours else []
        return refresh_id, opened


def _claimed(
    connection: sa.Connection, organization_id: UUID, actor: Actor, now: datetime, *, finished: bool
) -> UUID | None:
    """Store a refresh, `finished` when there is no EHR to ask, and return its id; None while one is under way."""
    claim = (
        insert(organization_refreshes)
        .values(
            id=uuid4(),
            organization_id=organization_id,
            requested_by=actor.reference,
            requested_at=now,
            finished_at=now if finished else None,
        )
        .on_conflict_do_nothing()
        .returning(organization_refreshes.c.id)
    )
    refresh_id: UUID | None = connection.execute(claim).scalar_one_or_none()
    return refresh_id


def _under_way(connection: sa.Connection, organization_id: UUID) -> UUID:
    """Return the refresh that is there: the latest, if it ended just now."""
    query = sa.select(organization_refreshes.c.id).where(organization_refreshes.c.organization_id == organization_id)
    latest = query.order_by(organization_refreshes.c.requested_at.desc()).limit(1)
    found: UUID = connection.execute(latest).scalar_one()
    return found


def _run(runs: Runs, system: str, now: datetime, days: Window | None) -> tuple[Run, bool]:
    """Return the account's run that the refresh belongs to, and whether it has just been opened."""
    while True:
        account = runs.account(system=system)  # Anew: whom we waited for may have ended a pull.
        if days is None and (running := runs.pulling(account.id)):
            return running, False
        run = planned(runs, system, now, days, shares=days is None and _is_fresh(account, runs.practice(), now))
        run = replace(run, sync_type="manual_org", for_everybody=False)
        if runs.open(run):
            return run, True


def _is_fresh(account: Account, practice: Practice, now: datetime) -> bool:
    """Return whether the account has just been pulled, over all days that are looked at now."""
    if account.cursor is None or account.known is None or now - account.cursor > SHARED_FOR:
        return False
    return account.known.covers(practice.window(now))
