"""Bring one provider's calendar up to date now, whatever the EHR said of it before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from moonlit.audit.store import Actor, Audit
from moonlit.availability.open_slots import OpenSlots
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.ehr.port import TRAITS
from moonlit.people.errors import NoPractitioner
from moonlit.people.provider_answers import Provider
from moonlit.people.provider_store import ProviderStore
from moonlit.queues import Queue
from moonlit.sync.errors import SyncContended
from moonlit.sync.practitioners import MOST_PATIENTS, Practitioners
from moonlit.sync.pull import open_run
from moonlit.sync.run import Run
from moonlit.sync.run_now import RunOpened, RunsOpened
from moonlit.sync.runs import Runs
from moonlit.sync.seats import Seat, Seats


class Resynced(RunsOpened):
    """The run that reads the calendar again, and whose visits were brought up to what is known already."""

    patients_applied: int
    patients_waiting: int


@dataclass(frozen=True, slots=True)
class Resync:
    """Applies what is known of a provider's calendar again, and has the EHR read again.

    Attributes:
        practitioners: Who applies rows of a practitioner at once.
        queue: Of pulls, not asked for before there is one to send.
    """

    begin: Begin
    clock: Clock
    practitioners: Practitioners
    queue: Callable[[], Queue]

    def start(self, provider_id: UUID, actor: Actor) -> Resynced:
        """Apply every row of the provider's practitioner again, and read the account's days again, by message.

        A reading of all days that is under way is joined: it was asked for by somebody who wanted the same.

        Raises:
            NotFound: There is no such provider, or no account of their EHR.
            NoPractitioner: Nobody has said which practitioner they are.
            SyncContended: Others were at the same visits, twice in a row.
        """
        opening = SyncContended(f"provider {provider_id}")
        seat, run, is_ours, patients = retried_once(lambda: self._open(provider_id, actor), opening)
        if is_ours:  # What a crash leaves unsent is found by the sweeper.
            self.queue().send([{"runId": str(run.id)}])
        applied = self.practitioners.apply(seat, patients[:MOST_PATIENTS], actor)
        return Resynced(
            runs=[RunOpened(run_id=run.id, system=seat.system)],
            patients_applied=applied,
            patients_waiting=len(patients) - applied,
        )

    def _open(self, provider_id: UUID, actor: Actor) -> tuple[Seat, Run, bool, list[str]]:
        now = self.clock.now()
        with self.begin() as connection:
            seat = _seat(ProviderStore(connection).get(provider_id))
            account_id = Runs(connection).account(system=seat.system).id
            run, is_ours = self._reading(connection, seat.system, account_id, actor)
            seats = Seats(connection, account_id)
            seats.reopen(seat.practitioner_id)
            if TRAITS[seat.system].has_open_slots:
                OpenSlots(connection).stale(account_id)
            audit = Audit(connection, actor, now)
            audit.changed("resync", "provider", provider_id, after={"runId": str(run.id), "system": seat.system})
            return seat, run, is_ours, seats.patients_waiting(seat.practitioner_id, now)

    def _reading(self, connection: sa.Connection, system: str, account_id: UUID, actor: Actor) -> tuple[Run, bool]:
        """Return the run that reads the account's days again, and whether it is new."""
        runs = Runs(connection)
        runs.take_turn(account_id)
        days = runs.practice().window(self.clock.now())
        if under_way := runs.reading(account_id, days):
            return under_way, False
        who = actor.reference
        return open_run(lambda: nullcontext(connection), self.clock, system, "manual_org", days=days, requested_by=who)


def _seat(provider: Provider) -> Seat:
    ehr = provider.ehr
    if ehr.practitioner_id is None:
        raise NoPractitioner(f"provider {provider.id}")
    return Seat(ehr.system, ehr.practitioner_id, ehr.location_id if ehr.system == "athena" else None)
