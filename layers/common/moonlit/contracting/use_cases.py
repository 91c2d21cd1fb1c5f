"""Create and change a payer with its contracts and supervision, all of it in one transaction or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from moonlit.audit.store import Actor, Audit, Change
from moonlit.availability.slots import local_date
from moonlit.availability.store import Availability
from moonlit.booking.outbox import Outbox
from moonlit.booking.stranding import FutureVisit, Stranded, future_visits, stranded
from moonlit.clock import Clock
from moonlit.contracting.answers import (
    ContractBody,
    PayerBody,
    PayerChanged,
    PayerKept,
    SupervisionBody,
    change_shown,
    kept,
)
from moonlit.contracting.checks import Fault, faults, faults_of_ids, faults_together
from moonlit.contracting.errors import PayerContended, PayerNameTaken
from moonlit.contracting.rules import (
    ContractTerms,
    Difference,
    PayerTerms,
    SupervisionTerms,
    differences,
    lifts_a_bar,
    named_alike,
    roster_after,
)
from moonlit.contracting.shown import shown
from moonlit.contracting.store import PayerTables
from moonlit.db.engine import Begin, retried_once
from moonlit.observability import logger
from moonlit.payers.booked import has_ground
from moonlit.payers.rules import Payer
from moonlit.relay import PAYER_CREATED
from moonlit.web.etags import expect

_ACTIONS = {"created": "create", "updated": "update", "removed": "remove"}


@dataclass(frozen=True, slots=True)
class PayerDesk:
    """Where payers are kept; `announce` is called once an event has been committed to the outbox."""

    begin: Begin
    clock: Clock
    announce: Callable[[], None]

    def create(self, body: PayerBody, actor: Actor) -> PayerChanged:
        """Store a payer, and have the bundle told of it.

        Raises:
            RequestValidationError: A row names what is not there, or cannot stand beside another.
            PayerNameTaken: Another payer has the name.
            PayerContended: Others were at the payers for too long.
        """
        payer_id = uuid4()
        made = retried_once(lambda: self._create(payer_id, body, actor), PayerContended("no payer was created"))
        self.announce()
        _log(made)
        return made

    def change(
        self, payer_id: UUID, body: PayerBody, actor: Actor, *, if_match: str | None, dry_run: bool
    ) -> PayerChanged:
        """Make the payer what `body` says, and tell what that changed; with `dry_run`, only what it would change.

        Raises:
            NotFound: There is no such payer.
            PreconditionRequired: `if_match` is missing.
            StaleEtag: The payer is not any more what the caller saw.
            RequestValidationError: A row names what is not there, or cannot stand beside another.
            PayerNameTaken: Another payer has the name.
            PayerContended: Others were at the payers for too long.
        """

        def change() -> tuple[PayerChanged, bool]:
            with self.begin() as connection:
                tables = PayerTables(connection)
                tables.queue()
                before = tables.kept(payer_id)
                expect(if_match, kept(before), required=True)
                after = _checked(tables, before, _wanted(before, body))
                kept_now = self._keep(connection, before, after, actor, dry_run=dry_run)
                return kept_now, lifts_a_bar(before, after) and not dry_run

        changed, is_event = retried_once(change, PayerContended(f"payer {payer_id}"))
        if is_event:
            self.announce()
        _log(changed)
        return changed

    def _create(self, payer_id: UUID, body: PayerBody, actor: Actor) -> PayerChanged:
        now = self.clock.now()
        with self.begin() as connection:
            tables = PayerTables(connection)
            tables.queue()
            nothing = PayerTerms(payer_id, "", body.type, None, None, (), (), ())
            after = _checked(tables, None, _wanted(nothing, body))
            changes = differences(None, after)
            self._write(connection, payer_id, changes, actor, now)
            Outbox(connection).add(PAYER_CREATED, payer_id, now, payerId=str(payer_id))
            return _answer(connection, payer_id, changes, Stranded(total=0, items=[]), now, dry_run=False)

    def _keep(
        self, connection: sa.Connection, before: PayerTerms, after: PayerTerms, actor: Actor, *, dry_run: bool
    ) -> PayerChanged:
        now = self.clock.now()
        changes = differences(before, after)
        hit = _stranded(connection, before, after, now)
        if not dry_run:
            self._write(connection, after.id, changes, actor, now)
            if lifts_a_bar(before, after):
                # Each time anew: what was told when the payer was created is no news of this.
                Outbox(connection).add(PAYER_CREATED, uuid4(), now, payerId=str(after.id))
        if hit.items:
            Audit(connection, actor, now).read("payer", hit.patient_ids(), after.id)
        return _answer(connection, after.id, changes, hit, now, dry_run=dry_run)

    @staticmethod
    def _write(
        connection: sa.Connection, payer_id: UUID, changes: Sequence[Difference], actor: Actor, now: datetime
    ) -> None:
        PayerTables(connection).write(payer_id, changes)
        Audit(connection, actor, now).changed_each(
            Change(_ACTIONS[each.action], each.entity, each.id, each.before, each.after)
            for each in (change_shown(difference, dry_run=False) for difference in changes)
        )


def current(connection: sa.Connection, payer_id: UUID) -> PayerTerms:
    """Return a payer as it stands.

    Raises:
        NotFound: There is no such payer.
    """
    return PayerTables(connection).kept(payer_id)


def state_of(answer: PayerKept) -> PayerKept:
    """Return the part of an answer that an ETag is made of: not what follows from the calendar or from others."""
    return PayerKept.model_validate(answer.model_dump(by_alias=False, include=set(PayerKept.model_fields)))


def _log(changed: PayerChanged) -> None:
    if changed.changes and not changed.dry_run:
        logger.info("payer_kept", payer_id=str(changed.id), changes=len(changed.changes))


def _wanted(before: PayerTerms, body: PayerBody) -> PayerTerms:
    """Return the payer as it shall stand, rows in the order in which they were sent.

    Raises:
        RequestValidationError: A row has an id that is not of this payer.
    """
    wanted = replace(
        before,
        name=body.name,
        type=body.type,
        status_code=body.status_code,
        state=body.state,
        plan_codes=tuple(body.plan_codes),
    )
    found: list[Fault] = []
    if "contracts" in body.model_fields_set:
        found += faults_of_ids("contracts", [row.id for row in body.contracts], {row.id for row in before.contracts})
        rows = named_alike(body.contracts, before.contracts, ("provider_id", "effective_date"))
        wanted = replace(wanted, contracts=tuple(_contract(row, row_id) for row, row_id in rows))
    if "supervision" in body.model_fields_set:
        known = {row.id for row in before.supervision}
        found += faults_of_ids("supervision", [row.id for row in body.supervision], known)
        ties = named_alike(body.supervision, before.supervision, ("resident_id", "attending_id", "effective_date"))
        wanted = replace(wanted, supervision=tuple(_supervision(row, row_id) for row, row_id in ties))
    _refuse(found)
    return wanted


def _contract(row: ContractBody, row_id: UUID | None) -> ContractTerms:
    return ContractTerms(row_id or uuid4(), row.provider_id, row.effective_date, row.end_date, row.status)


def _supervision(row: SupervisionBody, row_id: UUID | None) -> SupervisionTerms:
    return SupervisionTerms(
        row_id or uuid4(), row.resident_id, row.attending_id, row.level, row.effective_date, row.end_date
    )


def _checked(tables: PayerTables, before: PayerTerms | None, after: PayerTerms) -> PayerTerms:
    """Return `after` if it can stand."""
    persons = tables.persons()
    _refuse(faults(before, after, persons))
    _refuse(faults_together(before, after, persons, tables.supervision_elsewhere(after.id)))
    if (before is None or before.name != after.name) and tables.is_taken(after.name, after.id):
        raise PayerNameTaken(f"payer {after.id}" if before else "")
    return after


def _refuse(found: Iterable[Fault]) -> None:
    errors: list[Any] = [
        {"loc": ("body", each.list, each.position, *([each.member] if each.member else ())), "type": each.code}
        for each in found
    ]
    if errors:
        raise RequestValidationError(errors)


def _stranded(connection: sa.Connection, before: PayerTerms, after: PayerTerms, now: datetime) -> Stranded:
    """Return the payer's visits to come that have a ground as long as `before` stands, and none with `after`."""
    coming = future_visits(connection, now, payer_ids=[after.id])
    if not coming or before == after:
        return stranded(())
    facts = Availability(connection).facts(after.id, None, now)
    for_any_payer = PayerTables(connection).supervision_for_any_payer()
    had = facts.roster(Payer(before.id, before.name, before.type, before.status_code))
    has = roster_after(had, after, for_any_payer)

    @cache  # Many visits are of the same day and people.
    def loses_ground(provider_id: UUID, rendering_id: UUID | None, day: date) -> bool:
        held = has_ground(had, provider_id, rendering_id, day)
        return held and not has_ground(has, provider_id, rendering_id, day)

    def is_hit(visit: FutureVisit) -> bool:
        day = local_date(int(visit.start.timestamp()), facts.zone)
        return loses_ground(visit.provider_id, visit.rendering_provider_id, day)

    return stranded(visit.stranded("no_contract") for visit in coming if is_hit(visit))


def _answer(
    connection: sa.Connection,
    payer_id: UUID,
    changes: Iterable[Difference],
    hit: Stranded,
    now: datetime,
    *,
    dry_run: bool,
) -> PayerChanged:
    return PayerChanged(
        **shown(connection, current(connection, payer_id), now).model_dump(by_alias=False),
        dry_run=dry_run,
        changes=[change_shown(each, dry_run=dry_run) for each in changes],
        stranded=hit,
    )
