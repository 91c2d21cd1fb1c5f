"""Bring patients' visits up to date from the mirror. Nothing here asks the EHR.

A patient's visits, the claims on their time and the result in the run commit together, so a worker that is killed
and whose message comes again goes on where it stopped, and the same message twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.booking.claims import Claims
from moonlit.booking.ledger import Ledger
from moonlit.booking.settlement import Settlement, is_settled
from moonlit.db.engine import retried_once
from moonlit.errors import MoonlitError
from moonlit.sync.brakes import holds_cancellations
from moonlit.sync.errors import SyncContended
from moonlit.sync.logs import Counts
from moonlit.sync.matching import Client, Review
from moonlit.sync.mirror import Mirror, Unmatched
from moonlit.sync.schedule import Change, Schedule, Scope, Tally
from moonlit.sync.scopes import scope_today
from moonlit.sync.visits import ACTIVE, Directory, Held, Outcome, Row, Visit, milliseconds, outcome, visit


class Moved(MoonlitError):
    """Somebody changed the rows between two looks at them; the transaction has to begin again."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one row; `change` is None where nothing is to be written."""

    row: Row
    held: Held | None
    outcome: Outcome
    change: Change | None

    @property
    def appointment_id(self) -> str | None:
        """The visit that the row is about, None when there is none."""
        if self.change:
            return self.change.appointment_id
        return self.held.appointment_id if self.held else None


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did.

    Attributes:
        counts: By patient.
        outcomes: By visit, of those whose rows were looked at; all others are unchanged.
    """

    counts: dict[str, Counts]
    outcomes: dict[str, Outcome]


def applied_at_last[Result](work: Callable[[], Result], contended: SyncContended) -> Result:
    """Run `work`, a whole transaction around `apply_patients`, once more when the rows changed under it.

    Raises:
        SyncContended: They changed again.
    """
    try:
        return retried_once(work, contended)
    except Moved:
        pass
    try:
        return retried_once(work, contended)
    except Moved:
        raise contended from None


def apply_patients(
    connection: sa.Connection,
    scope: Scope,
    patients: Collection[str],
    now: datetime,
    *,
    fresh: bool = False,
    told: str | None = None,
) -> Applied:
    """Apply every waiting row of `patients`, and count what that did.

    Args:
        connection: The transaction to do it in.
        scope: The account and the days.
        patients: Whose rows.
        now: The current instant.
        fresh: The EHR has just told all of their visits, so that they are up to date as of now.
        told: The visit of the event that is applied: what an event says of it is no matter of the brake.

    Raises:
        Moved: Begin the transaction again; `applied_at_last` does.
    """
    decisions = apply_rows(connection, scope, patients, now, told)
    counts = Schedule(connection, scope).refreshed(patients, tallies_of(decisions, scope), now, fresh=fresh)
    # A visit with an old id and a new one has two rows; what changed it is what became of it.
    latest = sorted(decisions, key=lambda each: each.change is not None)
    return Applied(counts, {each.appointment_id: each.outcome for each in latest if each.appointment_id})


def apply_rows(
    connection: sa.Connection, scope: Scope, patients: Collection[str], now: datetime, told: str | None = None
) -> list[Decision]:
    """Apply every waiting row of `patients`, in a fixed number of statements; a single one where none is waiting.

    Raises:
        Moved: Begin the transaction again; `applied_at_last` does.
    """
    schedule = Schedule(connection, scope)
    locked = schedule.lock(patients)
    if not locked:
        return []
    theirs = [patient_id for patient_id in patients if patient_id in locked]
    rows, directory = schedule.waiting(theirs), schedule.directory()
    if not _persons(rows, directory) <= locked:
        raise Moved("a row changed while its locks were taken")
    if _take_back_bookings(connection, scope, rows, now):
        rows = schedule.waiting(theirs)
    decisions = [_decided(row, held, directory) for row, held in rows]
    decisions = _braked(connection, scope, decisions, now, told)
    if any(each.change and each.change.claims == "protect" for each in decisions):
        Claims(connection).drop_expired_holds([UUID(resource) for resource in locked], now)
    _write(schedule, decisions, now)
    _ask_about_changed_clients(connection, scope, rows, now)
    return decisions


def tallies_of(decisions: Collection[Decision], scope: Scope) -> dict[str, Tally]:
    """Return what was written for each patient for whom anything was, to visits that lie in the window or did."""
    first, last = milliseconds(scope.first), milliseconds(scope.last)
    tallies: dict[str, Tally] = {}
    for each in decisions:
        was_inside = each.held is not None and first <= each.held.start_ms < last
        if each.change and (was_inside or first <= each.change.visit.start_ms < last):
            so_far = tallies.get(each.row.patient_id, Tally())
            tallies[each.row.patient_id] = Tally(
                new=so_far.new + (each.outcome is Outcome.NEW),
                updated=so_far.updated + (each.outcome is Outcome.UPDATED),
                inside=so_far.inside + (first <= each.change.visit.start_ms < last),
            )
    return tallies


def _persons(rows: Collection[tuple[Row, Held | None]], directory: Directory) -> set[str]:
    """Return the people whose time the rows and the visits held for them are about."""
    persons = directory.persons()
    giving = (directory.giver(row)[1] for row, _ in rows)
    given = (persons.get(held.provider_id or "") for _, held in rows if held)
    return {person for person in (*giving, *given) if person}


def _take_back_bookings(
    connection: sa.Connection, scope: Scope, rows: Collection[tuple[Row, Held | None]], now: datetime
) -> bool:
    """Complete our own bookings whose visits came here before the answer to the write did; return whether any did."""
    ledger, settlement = Ledger(connection), Settlement(connection, now)
    unknown = {(row.practitioner_id, row.client_id, row.start_ms): row for row, held in rows if held is None}
    found = False
    for write in ledger.unfinished(scope.account_id) if unknown else ():
        row = unknown.get((write.practitioner_id, write.client_id, milliseconds(write.starts_at)))
        if row is None or row.status not in ACTIVE or row.deleted:
            continue
        current = ledger.get(write.id)
        if not is_settled(current):
            settlement.booked(current, row.external_id)
            found = True
    return found


def _ask_about_changed_clients(
    connection: sa.Connection, scope: Scope, rows: Collection[tuple[Row, Held | None]], now: datetime
) -> None:
    """Ask people about visits whose client in the EHR is not their patient: a visit is never moved between people."""
    questions = [
        (
            Unmatched(Client(row.client_id, frozenset(), frozenset()), row.external_id, ()),
            Review("client_changed", (UUID(row.patient_id),)),
        )
        for row, _ in rows
        if not row.is_theirs
    ]
    Mirror(connection, scope.account_id).ask(questions, now)


def _decided(row: Row, held: Held | None, directory: Directory) -> Decision:
    wanted = visit(row, held, directory)
    result = outcome(row, held, wanted)
    if result not in (Outcome.NEW, Outcome.UPDATED):
        return Decision(row, held, result, None)
    _, person_id = directory.giver(row)
    appointment_id = held.appointment_id if held else str(uuid4())
    return Decision(row, held, result, Change(appointment_id, row, wanted, person_id, claims_of(held, wanted)))


def _braked(
    connection: sa.Connection, scope: Scope, decisions: list[Decision], now: datetime, told: str | None
) -> list[Decision]:
    """Let cancellations wait while the brake holds them, but for that of the visit `told`."""
    to_wait = [each for each in decisions if _cancels(each) and each.row.external_id != told]
    if not to_wait:
        return decisions
    usual = scope_today(connection, scope.system, now)
    if not holds_cancellations(connection, usual.account_id, usual.first):
        return decisions
    return [Decision(each.row, each.held, Outcome.WAITS, None) if each in to_wait else each for each in decisions]


def _cancels(decision: Decision) -> bool:
    change, held = decision.change, decision.held
    return bool(change and held and held.status in ACTIVE and change.visit.status in ("cancelled", "declined"))


def claims_of(held: Held | None, wanted: Visit) -> str:
    """Return what becomes of the time that a visit claims, in the words of `Change.claims`."""
    was_active = held is not None and held.status in ACTIVE
    if wanted.status not in ACTIVE:
        return "release" if was_active else "keep"
    if held is None:
        return "take"
    same_people = held.provider_id == wanted.provider_id
    same_time = (held.start_ms, held.end_ms) == (wanted.start_ms, wanted.end_ms)
    if was_active and same_people and same_time:
        return "keep"
    if held.booked_here:
        return "protect"
    if not was_active:
        return "take"
    return "move" if same_people else "renew"


def _write(schedule: Schedule, decisions: Collection[Decision], now: datetime) -> None:
    new = [each.change for each in decisions if each.change and each.outcome is Outcome.NEW]
    updated = [each.change for each in decisions if each.change and each.outcome is Outcome.UPDATED]
    if schedule.add(new, now) < len(new):
        raise Moved("a booking took over a new row's id")
    schedule.update(updated, now)
    schedule.open_conflicts([*new, *updated], now)
    schedule.applied([each.row for each in decisions if each.outcome is Outcome.UNCHANGED])
