"""Sync runs: where a pull stands, and what it takes to open one and to bring it to its end."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.db.tables import ehr_accounts, sync_runs
from moonlit.errors import NotFound
from moonlit.sync.run import Account, Practice, Run
from moonlit.sync.window import Window


class Runs:
    """The runs as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def practice(self) -> Practice:
        """Return the practice."""
        row = self._connection.execute(_PRACTICE).one()
        return Practice(ZoneInfo(row.timezone), row.settings, (row.back, row.ahead))

    def account(self, *, system: str | None = None, account_id: UUID | None = None) -> Account:
        """Return the account of `system`, or by its id.

        Raises:
            NotFound: There is none.
        """
        by = ehr_accounts.c.system == system if system else ehr_accounts.c.id == account_id
        row = self._connection.execute(sa.select(ehr_accounts).where(by)).one_or_none()
        if row is None:
            raise NotFound(f"EHR account {system or account_id}")
        known = Window(row.window_first, row.window_last) if row.window_first and row.window_last else None
        return Account(row.id, row.system, known, row.synced_through)

    def accounts(self) -> list[tuple[UUID, Literal["intakeq", "athena"]]]:
        """Return the id and system of every account, IntakeQ's first: it is the one that every practice has."""
        query = sa.select(ehr_accounts.c.id, ehr_accounts.c.system).order_by(ehr_accounts.c.system.desc())
        return [(row.id, row.system) for row in self._connection.execute(query)]

    def systems(self) -> list[str]:
        """Return the system of every account, in the order of `accounts`."""
        return [system for _, system in self.accounts()]

    def take_turn(self, account_id: UUID) -> None:
        """Wait for whoever opens a run of the account in turn: the second is to find the first one's."""
        turn = sa.select(ehr_accounts.c.id).where(ehr_accounts.c.id == account_id)
        self._connection.execute(turn.with_for_update(key_share=True))

    def reading(self, account_id: UUID, days: Window) -> Run | None:
        """Return the oldest run under way that reads all of these days, for everybody and not for one organization."""
        oldest = (
            sa.select(sync_runs.c.id)
            .where(
                sync_runs.c.account_id == account_id,
                sync_runs.c.state == "pulling",
                sync_runs.c.reads == "days",
                sync_runs.c.for_everybody,
                sync_runs.c.window_first <= days.first,
                sync_runs.c.window_last >= days.last,
            )
            .order_by(sync_runs.c.started_at)
            .limit(1)
        )
        return self._run(sync_runs.c.id == oldest.scalar_subquery())

    def pulling(self, account_id: UUID) -> Run | None:
        """Return the account's pull of changes that is not complete yet, locked; there is one at most."""
        by = (sync_runs.c.account_id == account_id, sync_runs.c.state == "pulling", sync_runs.c.reads == "changes")
        return self._run(*by, lock=True)

    def open(self, run: Run) -> Run | None:
        """Store a new run; None when another pull of the account was faster."""
        opened = self._connection.execute(
            insert(sync_runs)
            .values(
                id=run.id,
                account_id=run.account_id,
                sync_type=run.sync_type,
                state=run.state,
                phase=run.phase,
                page=run.page,
                changed_since=run.changed_since,
                window_first=run.window.first,
                window_last=run.window.last,
                started_at=run.started_at,
                touched_at=run.touched_at,
                brake_confirmed=run.brake_confirmed,
                night_id=run.night_id,
                reads=run.reads,
                for_everybody=run.for_everybody,
                requested_by=run.requested_by,
            )
            .on_conflict_do_nothing()
        )
        return run if opened.rowcount else None

    def get(self, run_id: UUID) -> Run:
        """Return a run.

        Raises:
            NotFound: There is none with this id.
        """
        run = self._run(sync_runs.c.id == run_id)
        if run is None:
            raise NotFound(f"sync run {run_id}")
        return run

    def at(self, run: Run) -> bool:
        """Lock the run and return whether it still stands where `run` says: another worker may have moved it on."""
        current = self._run(sync_runs.c.id == run.id, lock=True)
        return current is not None and _position(current) == _position(run)

    def spend(self, run_id: UUID, requests: int) -> None:
        """Count requests that were used for the run, whatever came of them."""
        self.set(run_id, requests_used=sync_runs.c.requests_used + requests)

    def count_failure(self, run_id: UUID) -> int:
        """Count what went wrong with a pull beside the EHR's own errors, and return how often that was."""
        counted = sa.update(sync_runs).where(sync_runs.c.id == run_id).values(failures=sync_runs.c.failures + 1)
        failures: int = self._connection.execute(counted.returning(sync_runs.c.failures)).scalar_one()
        return failures

    def move(self, run: Run, phase: str, page: int, *, rows: int, now: datetime) -> None:
        """Note that the run has read `rows` rows and goes on with `page` of `phase`."""
        self.set(run.id, phase=phase, page=page, rows_read=sync_runs.c.rows_read + rows, touched_at=now)

    def begin_round(self, run: Run, now: datetime) -> None:
        """Let the run read everything that it was opened for once more."""
        self.set(run.id, phase=run.first_phase, page=1, round=run.round + 1, round_started_at=now, touched_at=now)

    def set(self, run_id: UUID, **values: Any) -> None:
        """Change columns of a run."""
        self._connection.execute(sa.update(sync_runs).where(sync_runs.c.id == run_id).values(**values))

    def advance_account(self, run: Run) -> None:
        """Note that the account is known up to the start of `run`, which has read everything it was opened for."""
        if run.reads != "changes":
            return
        account = self.account(account_id=run.account_id)
        first, last = run.window.first, run.window.last
        if run.changed_since and account.known:  # Changes are read for all days, so what was known stays known.
            first, last = account.known.first, max(account.known.last, last)
        self._connection.execute(
            sa.update(ehr_accounts)
            .where(ehr_accounts.c.id == run.account_id)
            .values(synced_through=run.started_at, window_first=first, window_last=last)
        )

    def fail(self, run: Run, code: str, now: datetime) -> None:
        """End the run with `code` and report it: in the logs of those who asked, for everybody in one of its own."""
        self.set(run.id, state="failed", error=code, finished_at=now, touched_at=now)
        failed = {"run_id": run.id, "code": code, "now": now, "requests": self.get(run.id).requests_used}
        if run.for_everybody:
            self._connection.execute(_LOG_FAILURE, failed)
        self._connection.execute(_FAIL_LOGS, failed)
        self._finish_refreshes(run.id, now)

    def finish(self, run_id: UUID, refresh_id: UUID | None, now: datetime) -> None:
        """Complete the run if its last log is finished, and the refresh that the caller's log belongs to likewise.

        The caller has locked the run in a statement before, so that this one sees what others did until then.
        """
        self._connection.execute(_FINISH, {"run_id": run_id, "now": now})
        if refresh_id:
            self._finish_refreshes(run_id, now)

    def _finish_refreshes(self, run_id: UUID, now: datetime) -> None:
        """Close the refreshes that have nothing left to do. Runs of two accounts may end at once: each in its turn."""
        refreshes = list(self._connection.execute(_LOCK_REFRESHES, {"run_id": run_id}).scalars())
        if refreshes:
            self._connection.execute(_FINISH_REFRESHES, {"refresh_ids": refreshes, "now": now})

    def take_stuck(self, before: datetime, now: datetime) -> list[UUID]:
        """Return the pulls that nobody has moved since `before`, as touched now: they are about to be sent again."""
        return list(self._connection.execute(_STUCK, {"before": before, "now": now}).scalars())

    def would_cancel(self, account_id: UUID, first: datetime) -> tuple[int, int]:
        """Return how many held visits from `first` on the mirror is about to cancel, and how many are held.

        Workers apply what waits for visits that are held, however far ahead they are.
        """
        values = {"account_id": account_id, "first": first}
        cancelled, held = self._connection.execute(_WOULD_CANCEL, values).one()
        return cancelled, held

    def _run(self, *by: sa.ColumnElement[bool], lock: bool = False) -> Run | None:
        query = sa.select(sync_runs).where(*by)
        row = self._connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            return None
        return Run(
            id=row.id,
            account_id=row.account_id,
            sync_type=row.sync_type,
            state=row.state,
            phase=row.phase,
            page=row.page,
            changed_since=row.changed_since,
            window=Window(row.window_first, row.window_last),
            requests_used=row.requests_used,
            error=row.error,
            started_at=row.started_at,
            touched_at=row.touched_at,
            round_started_at=row.round_started_at or row.started_at,
            round=row.round,
            brake_confirmed=row.brake_confirmed,
            night_id=row.night_id,
            reads=row.reads,
            for_everybody=row.for_everybody,
            requested_by=row.requested_by,
        )


def _position(run: Run) -> tuple[object, ...]:
    return run.state, run.round, run.phase, run.page


_PRACTICE = sa.text("""
    select p.timezone, p.settings, o.back, o.ahead from practice_settings p
    cross join (select max(sync_days_back) as back, max(sync_days_ahead) as ahead from organizations where active) o
""")

_LOG_FAILURE = sa.text("""
    insert into sync_logs (
        id, run_id, sync_type, requested_by, status, error_message, requests_used, duration_ms, started_at, touched_at,
        completed_at)
    select gen_random_uuid(), id, sync_type, requested_by, 'failed', :code, :requests,
        extract(epoch from cast(:now as timestamptz) - started_at) * 1000, started_at, :now, :now
    from sync_runs where id = :run_id
""")

# Those who asked and wait for the pull. What it used stands on one log of the run.
_FAIL_LOGS = sa.text("""
    with waiting as (
        select id, row_number() over (order by started_at, id) as number,
            exists (select from sync_logs l where l.run_id = :run_id and l.status <> 'in_progress') as is_told
        from sync_logs where run_id = :run_id and status = 'in_progress'
    )
    update sync_logs l set status = 'failed', error_message = :code, touched_at = :now, completed_at = :now,
        requests_used = case when w.number = 1 and not w.is_told then :requests else l.requests_used end,
        duration_ms = extract(epoch from cast(:now as timestamptz) - l.started_at) * 1000
    from waiting w where l.id = w.id
""")

_LOCK_REFRESHES = sa.text("""
    select f.id from organization_refreshes f
    where f.finished_at is null and f.id in (select refresh_id from sync_logs where run_id = :run_id)
    order by f.id for update
""")

_FINISH_REFRESHES = sa.text("""
    update organization_refreshes f set finished_at = :now
    where f.id = any(:refresh_ids)
        and not exists (select from sync_logs l where l.refresh_id = f.id and l.status = 'in_progress')
""").bindparams(sa.bindparam("refresh_ids", type_=sa.ARRAY(sa.Uuid)))

_FINISH = sa.text("""
    update sync_runs r set finished_at = :now, touched_at = :now, state = case
        when exists (select from sync_logs l where l.run_id = r.id and l.status <> 'completed') then 'partial'
        else 'completed' end
    where r.id = :run_id and r.state = 'applying'
        and not exists (select from sync_logs l where l.run_id = r.id and l.status = 'in_progress')
""")

_STUCK = (
    sa.update(sync_runs)
    .where(sync_runs.c.state == "pulling", sync_runs.c.touched_at < sa.bindparam("before"))
    .values(touched_at=sa.bindparam("now"))
    .returning(sync_runs.c.id)
)

_WOULD_CANCEL = sa.text("""
    select
        count(*) filter (where a.status in ('pending', 'scheduled', 'confirmed')
            and x.applied_hash is distinct from m.content_hash
            and (m.deleted_in_ehr or (m.status in ('cancelled', 'declined') and m.moved_to is null))),
        count(*) filter (where a.status in ('pending', 'scheduled', 'confirmed'))
    from appointment_external_ids x
    join appointments a on a.id = x.appointment_id
    left join ehr_appointments m on m.account_id = x.account_id and m.external_id = x.external_id
    where x.account_id = :account_id and x.is_current and a."start" >= :first
""")
