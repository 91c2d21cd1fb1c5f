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


@dataclass(frozen=True, slots=True)
class Tally:
    """What was written for a patient: visits that are new, others that changed, and how many lie in the window now."""

    new: int = 0
    updated: int = 0
    inside: int = 0


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

    def lock(self, patients: Collection[str]) -> set[str]:
        """Wait for this transaction's turn on all whose time the waiting rows of `patients` are about.

        Returns:
            These persons, patients and rooms.
        """
        found = self._execute(sql.LOCK, patients=uuids(patients)).scalar_one()
        return set(found.split(",")) if found else set()

    def waiting(self, patients: Collection[str]) -> list[tuple[Row, Held | None]]:
        """Return the rows of `patients` that changed since they were last applied, each with the visit held for it."""
        found = json.loads(self._execute(sql.WAITING, patients=uuids(patients)).scalar_one() or "[]")
        return [(Row(*row[:_ROW]), Held(*row[_ROW:]) if row[_ROW] else None) for row in found]

    def add(self, changes: Collection[Change], now: datetime) -> int:
        """Add visits that are new here and return how many were: fewer when somebody else took over an id first.

        Time from the EHR is taken as it is, here and in `update`, even overlapping: people have to sort it out, not a
        constraint.
        """
        if not changes:
            return 0
        return self._execute(sql.ADD, rows=as_json(map(_written, changes)), now=now).rowcount

    def update(self, changes: Collection[Change], now: datetime) -> None:
        """Bring visits, and the time that they claim, to what the EHR says, and note that their rows are applied.

        A visit that moves or ends counts up its calendar sequence.
        """
        if changes:
            self._execute(sql.UPDATE, rows=as_json(map(_written, changes)), now=now)
        if booked_here := [change for change in changes if change.claims == "protect"]:
            self._connection.execute(sql.PROTECT, {"rows": as_json(map(_claimed, booked_here))})

    def open_conflicts(self, changes: Iterable[Change], now: datetime) -> None:
        """Open a conflict where a visit now takes time that a local booking holds."""
        if claiming := [change for change in changes if change.claims in ("take", "renew", "move", "protect")]:
            self._execute(sql.CONFLICTS, rows=as_json(map(_claimed, claiming)), now=now)

    def applied(self, rows: Collection[Row]) -> None:
        """Note that the rows, with this content, have been brought to the visits."""
        if rows:
            self._execute(
                sql.APPLIED, rows=as_json({"external_id": row.external_id, "hash": row.content_hash} for row in rows)
            )

    def refreshed(
        self, patients: Collection[str], tallies: Mapping[str, Tally], now: datetime, *, fresh: bool
    ) -> dict[str, Counts]:
        """Return each patient's counts; `fresh` notes that they are up to date with the EHR as of now.

        Unchanged is every visit inside the window that `tallies`, of the rows applied just now, does not tell of.
        """
        values = {"patients": uuids(patients), "fresh": fresh, "now": now}
        found = json.loads(self._execute(sql.REFRESH, **values).scalar_one() or "{}")
        counts = {}
        for patient_id in patients:
            each = tallies.get(patient_id, Tally())
            counts[patient_id] = Counts(each.new, each.updated, found.get(patient_id, 0) - each.inside)
        return counts

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


def uuids(texts: Collection[str]) -> str:
    """Return an array as PostgreSQL writes it; pg8000 is slow with arrays of its own."""
    return f"{{{','.join(texts)}}}"


def as_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as the statements take them."""
    return json.dumps(list(rows), separators=(",", ":"))


def _written(change: Change) -> dict[str, Any]:
    return {
        "id": change.appointment_id,
        "external_id": change.row.external_id,
        "patient_id": change.row.patient_id,
        "modified_ms": change.row.modified_ms,
        "content_hash": change.row.content_hash,
        "person_id": change.person_id,
        "claims": change.claims,
        **change.visit._asdict(),
    }


def _claimed(change: Change) -> dict[str, Any]:
    return {"id": change.appointment_id, "external_id": change.row.external_id, "person_id": change.person_id}
