"""Make payers bookable: show what it takes, do it, and undo it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from itertools import batched
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.errors import NotFound
from moonlit.observability import logger
from moonlit.provisioning.errors import ProvisioningContended, ProvisioningIncomplete, RunOvertaken
from moonlit.provisioning.request import RunRequest
from moonlit.provisioning.rules import (
    NO_CONTRACT_NO_STATUS,
    Step,
    Strategy,
    for_review,
    is_barred,
    is_ready,
    plan,
    remove_orphans,
)
from moonlit.provisioning.runs import RUN, ProvisioningRuns, note
from moonlit.provisioning.store import Provisionable
from moonlit.provisioning.writing import Done, Writer

BATCH_PAYERS = 200
_SECONDS_KEPT = 8.0  # For the batch under way and the answer.


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a batch, or of the orphans."""

    done: Sequence[Done]
    newly_ready: int = 0
    review: Sequence[UUID] = ()
    orphans: Sequence[dict[str, Any]] = ()


@dataclass(slots=True)
class _Run:
    """A run under way and what it has come to."""

    request: RunRequest
    actor: Actor
    ready_before: int = 0
    payers_left: int = 0
    id: UUID = field(default_factory=uuid4)
    outcomes: list[_Outcome] = field(default_factory=list)

    @property
    def applies(self) -> bool:
        """Tell whether it changes anything."""
        return self.request.mode == "apply"

    @property
    def actions(self) -> int:
        """Return how many actions it has come to."""
        return sum(len(outcome.done) for outcome in self.outcomes)

    def placed(self, steps: Iterable[Step]) -> list[Done]:
        """Give steps their places behind those of the batches before."""
        return [Done(self.actions + number, step) for number, step in enumerate(steps)]

    def ending(self, now: datetime, ready: int) -> dict[str, Any]:
        """Return the columns of the run at its end; `ready` is how many payers are service-ready now."""
        failed = any(one.error for outcome in self.outcomes for one in outcome.done)
        applied = "partial" if failed or self.payers_left else "applied"
        newly_ready = sum(outcome.newly_ready for outcome in self.outcomes)
        return {
            "state": applied if self.applies else "planned",
            "finished_at": now,
            "payers_left": self.payers_left,
            "ready_after": ready if self.applies else self.ready_before + newly_ready,
            "for_review": [
                {"payerId": str(payer_id), "reason": NO_CONTRACT_NO_STATUS}
                for outcome in self.outcomes
                for payer_id in outcome.review
            ],
            "kept_orphans": [orphan for outcome in self.outcomes for orphan in outcome.orphans],
        }


@dataclass(frozen=True, slots=True)
class Provisioner:
    """Provisions payers, a batch of them in a transaction; `time_left` is the seconds until this process is stopped."""

    begin: Begin
    clock: Clock
    zone: ZoneInfo
    time_left: Callable[[], float]

    def run(self, request: RunRequest, actor: Actor) -> UUID:
        """Plan, carry it out if that is asked for, and return the run's id.

        Each batch commits with its actions, so what a killed run has done is known; the next run does the rest.

        Raises:
            NotFound: One of the payers does not exist.
            ProvisioningContended: Others changed the same rows, twice in a row.
            RunOvertaken: Somebody undid the run meanwhile.
        """
        run = _Run(request, actor)
        for batch in batched(self._open(run), BATCH_PAYERS, strict=False):
            if self.time_left() < _SECONDS_KEPT:
                run.payers_left += len(batch)
                continue
            self._add(run, partial(self._batch, payer_ids=batch))
        if request.payer_ids is None and not run.payers_left:
            self._add(run, self._orphans)
        with self.begin() as connection:
            _, ready = Provisionable(connection).standing()
            ending = run.ending(self.clock.now(), ready)
            ProvisioningRuns(connection).end(run.id, ending)
        logger.info(
            "provisioned",
            run_id=str(run.id),
            mode=request.mode,
            strategy=request.strategy,
            state=ending["state"],
            actions=run.actions,
        )
        return run.id

    def provision_new(self, payer_id: UUID, event_id: UUID, actor: Actor) -> UUID | None:
        """Give a payer what it lacks and return the run's id; None when it lacks nothing or is barred.

        The same event again does nothing more: what people have changed or undone since is to stay.

        Raises:
            ProvisioningIncomplete: Something could not be made; what could stands.
        """
        with self.begin() as connection:
            if ProvisioningRuns(connection).has_answered(event_id, payer_id):
                return None
            store = Provisionable(connection)
            lacking = [
                step
                for candidate in store.candidates([payer_id], self._today())
                if not is_barred(candidate.payer)
                for step in plan(candidate, store.desired().defaults, Strategy.ALL)
            ]
        if not lacking:
            return None
        run_id = self.run(RunRequest(mode="apply", strategy=Strategy.ALL, payer_ids=[payer_id]), actor)
        with self.begin() as connection:
            if ProvisioningRuns(connection).run(run_id)["state"] != "applied":
                raise ProvisioningIncomplete(f"run {run_id}")
        return run_id

    def _today(self) -> date:
        return self.clock.now().astimezone(self.zone).date()

    def _open(self, run: _Run) -> list[UUID]:
        """Store the run and return its payers in their order."""
        only = run.request.payer_ids
        with self.begin() as connection:
            store = Provisionable(connection)
            payer_ids = store.payers(only)
            if only and (missing := set(only) - set(payer_ids)):
                raise NotFound(f"payer {min(missing)}")
            payers_total, run.ready_before = store.standing()
            ProvisioningRuns(connection).open(
                run.id,
                mode=run.request.mode,
                strategy=run.request.strategy,
                payer_ids=only,
                requested_by=run.actor.reference,
                started_at=self.clock.now(),
                payers_total=payers_total,
                ready_before=run.ready_before,
            )
            if run.applies:
                told = {"strategy": run.request.strategy, "payerIds": [str(each) for each in only] if only else None}
                Audit(connection, run.actor, self.clock.now()).changed("apply", RUN, run.id, after=told)
        return payer_ids

    def _add(self, run: _Run, work: Callable[[sa.Connection, _Run], _Outcome]) -> None:
        def transaction() -> _Outcome:
            with self.begin() as connection:
                if run.applies:
                    Provisionable(connection).lock()
                    if ProvisioningRuns(connection).locked(run.id)["state"] != "running":
                        raise RunOvertaken(f"run {run.id}")
                return work(connection, run)

        run.outcomes.append(retried_once(transaction, ProvisioningContended(f"run {run.id}")))

    def _batch(self, connection: sa.Connection, run: _Run, *, payer_ids: Sequence[UUID]) -> _Outcome:
        store, strategy = Provisionable(connection), run.request.strategy
        desired, candidates = store.desired(), store.candidates(payer_ids, self._today())
        steps, newly_ready = [], 0
        for candidate in candidates:
            planned = list(plan(candidate, desired.defaults, strategy))
            was_ready = is_ready(candidate.instances, desired.intakes)
            newly_ready += not was_ready and is_ready(candidate.instances, desired.intakes, planned)
            steps += planned
        return _Outcome(
            self._carried_out(connection, run, steps),
            newly_ready,
            [candidate.payer.id for candidate in candidates if for_review(candidate, strategy)],
        )

    def _orphans(self, connection: sa.Connection, run: _Run) -> _Outcome:
        steps, kept = remove_orphans(Provisionable(connection).orphans())
        told = [
            {"serviceInstanceId": str(one.id), "serviceId": str(one.offer.service_id), "references": one.references}
            for one in kept
        ]
        return _Outcome(self._carried_out(connection, run, steps), orphans=told)

    def _carried_out(self, connection: sa.Connection, run: _Run, steps: Iterable[Step]) -> list[Done]:
        """Carry out the steps, or only keep them when it is a dry run."""
        now, actions = self.clock.now(), run.placed(steps)
        if run.applies:
            actions = Writer(connection, now).carry_out(actions)
            note(Audit(connection, run.actor, now), actions)
        ProvisioningRuns(connection).add(run.id, actions, planned=not run.applies)
        return actions
