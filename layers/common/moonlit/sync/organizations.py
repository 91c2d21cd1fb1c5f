"""Organizations' parts of a run: their patients, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import batched
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from moonlit.clock import Clock
from moonlit.db.engine import Begin, sqlstate
from moonlit.observability import logger
from moonlit.sync.apply import applied_at_last, apply_rows, tallies_of
from moonlit.sync.errors import SyncContended
from moonlit.sync.parts import Bundle, Parts, bundled

BATCH_PATIENTS = 500  # As many as ten messages of small organizations bring; their people wait for a tenth of a second.
LIVE_STEPS = 40  # Into so many steps a refresh is cut that somebody watches.
SECONDS_KEPT = 30.0  # A batch takes a second or two; with less time left a message takes over.


@dataclass(frozen=True, slots=True)
class Organizations:
    """Applies the parts of runs; `time_left` is the seconds until this process is stopped."""

    begin: Begin
    clock: Clock
    time_left: Callable[[], float]
    batch_patients: int = BATCH_PATIENTS

    def bring_up_to_date(self, log_id: UUID) -> bool:
        """Do what `bring_all_up_to_date` does for one log, and return whether it is finished."""
        return not self.bring_all_up_to_date([log_id])

    def bring_all_up_to_date(self, log_ids: Collection[UUID]) -> list[UUID]:
        """Apply the mirror to the patients of logs that have no result yet, and add up when all have one.

        Small organizations share batches: most of what a batch costs does not depend on how many patients are in it.

        Returns:
            The logs that time ran out for, so that somebody has to go on with them.
        """
        with self.begin() as connection:
            parts = Parts(connection).start(log_ids, self.clock.now())
        unfinished = [bundle for bundle in bundled(parts) if not self._bring_up_to_date(bundle)]
        return [part.log_id for bundle in unfinished for part in bundle.parts]

    def _bring_up_to_date(self, bundle: Bundle) -> bool:
        for batch in batched(bundle.waiting, self._batch_size(bundle), strict=False):
            if self.time_left() < SECONDS_KEPT:
                return False
            if bundle.is_watched:
                with self.begin() as connection:
                    Parts(connection).syncing(bundle, batch)
            self._apply(bundle, batch)
        with self.begin() as connection:
            Parts(connection).finish(bundle, self.clock.now())
        return True

    def _batch_size(self, bundle: Bundle) -> int:
        if not bundle.is_watched:
            return self.batch_patients
        return min(self.batch_patients, bundle.patients_total // LIVE_STEPS + 1)

    def _apply(self, bundle: Bundle, patients: Sequence[str]) -> None:
        """Apply a batch in one transaction; split it when it fails, until the failing patient stands alone."""
        try:
            self._retried(bundle, patients)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise  # It is not the patients' fault; the message comes again.
            self._split(bundle, patients, sqlstate(error) or "database")
        except Exception as error:  # noqa: BLE001  # Whatever is wrong with one patient must not stop the others.
            self._split(bundle, patients, type(error).__name__)

    def _retried(self, bundle: Bundle, patients: Sequence[str]) -> None:
        contended = SyncContended(f"sync run {bundle.run_id}")
        applied_at_last(lambda: self._in_one_transaction(bundle, patients), contended)

    def _in_one_transaction(self, bundle: Bundle, patients: Sequence[str]) -> None:
        now = self.clock.now()
        with self.begin() as connection:
            decisions = apply_rows(connection, bundle.scope, patients, now)
            Parts(connection).record(bundle, patients, tallies_of(decisions, bundle.scope), now)

    def _split(self, bundle: Bundle, patients: Sequence[str], code: str) -> None:
        if len(patients) > 1:
            middle = len(patients) // 2
            self._apply(bundle, patients[:middle])
            self._apply(bundle, patients[middle:])
            return
        logger.warning("sync_patient_failed", run_id=str(bundle.run_id), patient_id=patients[0], code=code)
        with self.begin() as connection:
            Parts(connection).failed_patient(bundle, patients[0], code, self.clock.now())
