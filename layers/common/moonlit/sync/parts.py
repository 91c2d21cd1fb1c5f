"""Organizations' parts of a run: whom they are about, how far they are, and their end."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.db.tables import sync_logs
from moonlit.sync import parts_sql as sql
from moonlit.sync.runs import Runs
from moonlit.sync.schedule import Scope, Tally, as_json, uuids
from moonlit.sync.window import Window


@dataclass(frozen=True, slots=True)
class Part:
    """One organization's part of a run, or that of the patients of none.

    Attributes:
        log_id: The log that tells how far it is.
        scope: The account, and the days that the run is about.
        waiting: The patients for whom the run has no result yet, ordered by id.
    """

    log_id: UUID
    run_id: UUID
    scope: Scope
    sync_type: str
    patients_total: int
    waiting: Sequence[str]
    refresh_id: UUID | None = None
    requested_by: str | None = None
    organization_id: UUID | None = None
    reads: str = "changes"

    def processed(self, last: str) -> int:
        """Return how many patients have a result once all up to `last` have one."""
        return self.patients_total - len(self.waiting) + bisect_right(self.waiting, last)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Parts of one run that are worked on together; what somebody watches stands alone."""

    parts: Sequence[Part]

    @property
    def run_id(self) -> UUID:
        """The run of all of them."""
        return self.parts[0].run_id

    @property
    def scope(self) -> Scope:
        """The account and the days, which are the run's."""
        return self.parts[0].scope

    @property
    def refresh_id(self) -> UUID | None:
        """What somebody asked for and looks at, None when nobody does."""
        return self.parts[0].refresh_id

    @property
    def is_watched(self) -> bool:
        """Whether somebody asked for it and looks at how far it is."""
        return self.refresh_id is not None

    @property
    def actor(self) -> str:
        """Who asked for it, or what kind of sync it is."""
        return self.parts[0].requested_by or self.parts[0].sync_type

    @property
    def asked_by(self) -> UUID | None:
        """The organization whose people asked for it, None when it is everybody's."""
        return self.parts[0].organization_id if self.is_watched else None

    @property
    def patients_total(self) -> int:
        """How many patients the parts have; those of two organizations count twice."""
        return sum(part.patients_total for part in self.parts)

    @property
    def waiting(self) -> list[str]:
        """The patients for whom the run has no result yet, each once, ordered by id."""
        return sorted({patient_id for part in self.parts for patient_id in part.waiting})


def bundled(parts: Iterable[Part]) -> list[Bundle]:
    """Return the parts of each run together, but for those that somebody watches."""
    found: defaultdict[tuple[UUID, UUID | None], list[Part]] = defaultdict(list)
    for part in parts:
        found[part.run_id, part.log_id if part.refresh_id else None].append(part)
    return [Bundle(together) for together in found.values()]


class Parts:
    """The parts as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def start(self, log_ids: Collection[UUID], now: datetime) -> list[Part]:
        """Return the parts of logs, and note on each how many patients it has; of those that are not finished.

        Patients come and go: those of a message that comes again are counted again.
        """
        rows = self._connection.execute(sql.START, {"log_ids": _uuids(log_ids), "now": now})
        return [_part(row) for row in rows]

    def syncing(self, bundle: Bundle, patients: Collection[str]) -> None:
        """Show whose turn it is."""
        turn = [UUID(patient_id) for patient_id in patients]
        theirs = sync_logs.c.id.in_([part.log_id for part in bundle.parts])
        self._connection.execute(sa.update(sync_logs).where(theirs).values(syncing_patient_ids=turn))

    def record(self, bundle: Bundle, patients: Sequence[str], tallies: Mapping[str, Tally], now: datetime) -> None:
        """Store the results of patients whose rows have been applied in this transaction, and all that goes with them.

        A result that is there already stays: it was counted when it happened. Unchanged is every visit inside the
        window that `tallies` does not tell of.

        Args:
            bundle: The parts that are worked on.
            patients: Those of a batch, in the order of `Bundle.waiting`.
            tallies: By patient.
            now: The current instant.
        """
        values = {
            **asdict(bundle.scope),
            "run_id": bundle.run_id,
            "fresh": bundle.parts[0].reads != "days",  # Of some days alone nobody is up to date.
            "progress": _progress(bundle, patients[-1]),
            "patients": uuids(patients),
            "rows": as_json({"patient_id": patient_id, **asdict(each)} for patient_id, each in tallies.items()),
            "actor": bundle.actor,
            "organization_id": bundle.asked_by,
            "reference": json.dumps({"runId": str(bundle.run_id)}),
            "now": now,
        }
        self._connection.execute(sql.RECORD, values)

    def failed_patient(self, bundle: Bundle, patient_id: str, code: str, now: datetime) -> None:
        """Record that nothing could be done for a patient in this run."""
        values = {"run_id": bundle.run_id, "patient_id": patient_id, "code": code, "now": now}
        self._connection.execute(sql.FAILED_PATIENT, {**values, "progress": _progress(bundle, patient_id)})

    def finish(self, bundle: Bundle, now: datetime) -> None:
        """Add up the results of the parts' patients and complete their logs, and the run when no other log is left.

        Whoever completes a log holds the run from then on, so that of two workers who do so at once the second one
        sees what the first has done. A second time changes nothing.
        """
        log_ids = _uuids(part.log_id for part in bundle.parts)
        values = {"log_ids": log_ids, "run_id": bundle.run_id, "account_id": bundle.scope.account_id, "now": now}
        if self._connection.execute(sql.FINISH, values).one_or_none():
            Runs(self._connection).finish(bundle.run_id, bundle.refresh_id, now)


def _part(row: sa.Row[Any]) -> Part:
    first, last = Window(row.window_first, row.window_last).instants(ZoneInfo(row.timezone))
    return Part(
        log_id=row.id,
        run_id=row.run_id,
        scope=Scope(row.account_id, row.system, first, last),
        sync_type=row.sync_type,
        patients_total=row.patients_total,
        waiting=row.waiting.split(",") if row.waiting else [],
        refresh_id=row.refresh_id,
        requested_by=row.requested_by,
        organization_id=row.organization_id,
        reads=row.reads,
    )


def _progress(bundle: Bundle, last: str) -> str:
    return as_json({"id": str(part.log_id), "processed": part.processed(last)} for part in bundle.parts)


def _uuids(log_ids: Iterable[UUID]) -> str:
    return uuids([str(log_id) for log_id in log_ids])
