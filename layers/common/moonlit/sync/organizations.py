"""One organization's part of a run: its patients, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import batched
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from moonlit.clock import Clock
from moonlit.db.engine import Begin, sqlstate
from moonlit.observability import logger
from moonlit.sync.activity import note_activity
from moonlit.sync.apply import applied_at_last, apply_patients
from moonlit.sync.errors import SyncContended
from moonlit.sync.logs import Log, Logs
from moonlit.sync.runs import Runs
from moonlit.sync.schedule import Schedule, Scope
from moonlit.sync.scopes import scope_of
from moonlit.sync.visits import Directory

BATCH_PATIENTS = 200
LIVE_STEPS = 40  # Into so many steps a refresh is cut that somebody watches.
SECONDS_KEPT = 30.0  # A batch takes a second or two; with less time left a message takes over.


@dataclass(frozen=True, slots=True)
class Part:
    """What a batch needs to know."""

    log: Log
    scope: Scope
    directory: Directory


@dataclass(frozen=True, slots=True)
class Organizations:
    """Applies the parts of runs; `time_left` is the seconds until this process is stopped."""

    begin: Begin
    clock: Clock
    time_left: Callable[[], float]
    batch_patients: int = BATCH_PATIENTS

    def bring_up_to_date(self, log_id: UUID) -> bool:
        """Apply the mirror to the patients of a log that have no result yet, and add up when all have one.

        Returns:
            Whether the log is finished; False when time ran out and somebody has to go on.
        """
        with self.begin() as connection:
            logs, runs = Logs(connection), Runs(connection)
            log = logs.start(log_id, self.clock.now())
            if log is None:
                return True
            scope = scope_of(runs, runs.get(log.run_id))
            part = Part(log, scope, Schedule(connection, scope).directory())
            waiting = logs.waiting_patients(log)
        left = len(waiting)
        for batch in batched(waiting, self._batch_size(part), strict=False):
            if self.time_left() < SECONDS_KEPT:
                return False
            left -= len(batch)
            if log.is_watched:
                with self.begin() as connection:
                    Logs(connection).syncing(log, batch)
            self._apply(part, batch, left)
        with self.begin() as connection:
            Logs(connection).finish(log, self.clock.now())
            Runs(connection).finish(log.run_id, self.clock.now())
        return True

    def _batch_size(self, part: Part) -> int:
        if not part.log.is_watched:
            return self.batch_patients
        return min(self.batch_patients, part.log.patients_total // LIVE_STEPS + 1)

    def _apply(self, part: Part, patients: Sequence[str], left: int) -> None:
        """Apply a batch in one transaction; split it when it fails, until the failing patient stands alone."""
        try:
            self._retried(part, patients, left)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise  # It is not the patients' fault; the message comes again.
            self._split(part, patients, left, sqlstate(error) or "database")
        except Exception as error:  # noqa: BLE001  # Whatever is wrong with one patient must not stop the others.
            self._split(part, patients, left, type(error).__name__)

    def _retried(self, part: Part, patients: Sequence[str], left: int) -> None:
        contended = SyncContended(f"sync log {part.log.id}")
        applied_at_last(lambda: self._in_one_transaction(part, patients, left), contended)

    def _in_one_transaction(self, part: Part, patients: Sequence[str], left: int) -> None:
        now = self.clock.now()
        reference = {"runId": str(part.log.run_id)}
        with self.begin() as connection:
            counts = apply_patients(connection, part.scope, part.directory, patients, now).counts
            Schedule(connection, part.scope).record(part.log.run_id, counts, now)
            note_activity(connection, counts, part.log.requested_by or part.log.sync_type, reference, now)
            Logs(connection).progress(part.log, left, now)

    def _split(self, part: Part, patients: Sequence[str], left: int, code: str) -> None:
        if len(patients) > 1:
            middle = len(patients) // 2
            self._apply(part, patients[:middle], left + len(patients) - middle)
            self._apply(part, patients[middle:], left)
            return
        logger.warning("sync_patient_failed", run_id=str(part.log.run_id), patient_id=patients[0], code=code)
        with self.begin() as connection:
            Logs(connection).failed_patient(part.log, patients[0], code, self.clock.now())
            Logs(connection).progress(part.log, left, self.clock.now())
