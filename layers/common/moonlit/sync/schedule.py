"""The visits that an EHR account has a say in: read for many patients at once, and written the same way."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.sync import schedule_sql as sql
from moonlit.sync.logs import Counts
from moonlit.sync.visits import Directory, Held, Row, Visit


@dataclass(frozen=True, slots=True)
class Change:
    """A visit to write, and what becomes of the time it claims.

    Attributes:
        person_id: The human who gives the visit, None when the practitioner is unknown.
        claims: `keep` them, `take` the first ones, `move` them to the new time, `renew` them for other people,
            `protect` the visit as a booking does, or `release` them.
    """

    appointment_id: str
    row: Row
    visit: Visit
    person_id: str | None
    claims: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The account, and the window [first, last) outside of which only visits that are held already are touched."""

    account_id: UUID
    system: str
    first: datetime
    last: datetime


class Schedule:
    """The visits of one account as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection, scope: Scope) -> None:
        self._connection = connection
        self._scope = scope

    def directory(self) -> Directory:
        """Return how the account's identifiers translate into ours."""
        found = json.loads(self._connection.execute(sql.DIRECTORY, {"system": self._scope.system}).scalar_one())
        return Directory(
            providers=_unambiguous(found["seats"]),
            services=dict(found["services"]),
            instances={(service, payer): instance for service, payer, instance in found["instances"]},
            seats={(seat[0], seat[1]): (seat[2], seat[3]) for seat in found["seats"] if seat[1] is not None},
        )

    def resources(self, patients: Collection[str]) -> set[str]:
        """Return the persons, patients and rooms whose time the waiting rows of `patients` are about."""
        found = self._execute(sql.RESOURCES, patients=_uuids(patients)).scalar_one()
        return set(found.split(",")) if found else set()

    def waiting(self, patients: Collection[str]) -> list[tuple[Row, Held | None]]:
        """Return the rows of `patients` that changed since they were last applied, each with the visit held for it."""
        found = json.loads(self._execute(sql.WAITING, patients=_uuids(patients)).scalar_one() or "[]")
        return [(Row(*row[:_ROW]), Held(*row[_ROW:]) if row[_ROW] else None) for row in found]

    def add(self, changes: Collection[Change], now: datetime) -> int:
        """Add visits that are new here and return how many were: fewer when somebody else took over an id first."""
        if not changes:
            return 0
        return self._execute(sql.ADD, rows=_json(map(_written, changes)), now=now).rowcount

    def update(self, changes: Collection[Change], now: datetime) -> None:
        """Bring visits to what the EHR says; a visit that moves or ends counts up its calendar sequence."""
        if changes:
            self._execute(sql.UPDATE, rows=_json(map(_written, changes)), now=now)

    def claim(self, changes: Collection[Change], now: datetime) -> None:
        """Claim and release time as the changes say, and open a conflict where a local booking holds it.

        Time from the EHR is taken as it is, even overlapping: people have to sort it out, not a constraint.
        """
        claiming = [change for change in changes if change.claims in ("take", "renew", "move", "protect")]
        self._claims(sql.RELEASE, changes, "release", "renew", "protect")
        self._claims(sql.MOVE, changes, "move")
        self._claims(sql.CLAIM, changes, "take", "renew")
        self._claims(sql.PROTECT, changes, "protect")
        if claiming:
            self._execute(sql.CONFLICTS, rows=_json(map(_claimed, claiming)), now=now)

    def _claims(self, statement: sa.TextClause, changes: Iterable[Change], *which: str) -> None:
        if rows := [_claimed(change) for change in changes if change.claims in which]:
            self._connection.execute(statement, {"rows": _json(rows)})

    def applied(self, rows: Collection[Row]) -> None:
        """Note that the rows, with this content, have been brought to the visits."""
        if rows:
            self._execute(
                sql.APPLIED, rows=_json({"external_id": row.external_id, "hash": row.content_hash} for row in rows)
            )

    def refreshed(self, patients: Collection[str], now: datetime) -> None:
        """Note that the patients are up to date with the EHR as of now."""
        self._execute(sql.REFRESHED, patients=_uuids(patients), now=now)

    def count(
        self, patients: Collection[str], changed: Mapping[str, Counts], inside: Mapping[str, int]
    ) -> dict[str, Counts]:
        """Return each patient's counts: `changed`, and as unchanged every other visit inside the window.

        Args:
            patients: The patients asked for.
            changed: What was counted for the rows that have been applied just now.
            inside: How many of those visits lie inside the window now.
        """
        found = json.loads(self._execute(sql.COUNT, patients=_uuids(patients)).scalar_one() or "{}")
        counts = {}
        for patient_id in patients:
            each = changed.get(patient_id, Counts())
            unchanged = found.get(patient_id, 0) - inside.get(patient_id, 0)
            counts[patient_id] = Counts(each.new, each.updated, unchanged, each.errors)
        return counts

    def record(self, run_id: UUID, counts: Mapping[str, Counts], now: datetime) -> None:
        """Store the patients' results in a run; one that is there already stays: it was counted when it happened."""
        rows = _json({"patient_id": patient_id, **asdict(each)} for patient_id, each in counts.items())
        self._connection.execute(sql.RECORD, {"rows": rows, "run_id": run_id, "now": now})

    def _execute(self, statement: sa.TextClause, **values: Any) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, {**asdict(self._scope), **values})


_ROW = len(Row._fields)


def _unambiguous(seats: Iterable[tuple[str, str | None, str, str]]) -> dict[str, tuple[str | None, str | None]]:
    """Return provider and person by practitioner, None for what is not the same in all the practitioner's seats."""
    providers: defaultdict[str, set[str]] = defaultdict(set)
    persons: defaultdict[str, set[str]] = defaultdict(set)
    for practitioner, _, provider, person in seats:
        providers[practitioner].add(provider)
        persons[practitioner].add(person)
    return {each: (_only(providers[each]), _only(persons[each])) for each in providers}


def _only(values: Collection[str]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None


def _uuids(texts: Collection[str]) -> str:
    """Return an array as PostgreSQL writes it; pg8000 is slow with arrays of its own."""
    return f"{{{','.join(texts)}}}"


def _json(rows: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(rows), separators=(",", ":"))


def _written(change: Change) -> dict[str, Any]:
    return {
        "id": change.appointment_id,
        "external_id": change.row.external_id,
        "patient_id": change.row.patient_id,
        "modified_ms": change.row.modified_ms,
        "content_hash": change.row.content_hash,
        **change.visit._asdict(),
    }


def _claimed(change: Change) -> dict[str, Any]:
    return {
        "id": change.appointment_id,
        "external_id": change.row.external_id,
        "patient_id": change.row.patient_id,
        "person_id": change.person_id,
        "start_ms": change.visit.start_ms,
        "end_ms": change.visit.end_ms,
    }
