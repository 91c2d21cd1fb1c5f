"""Every payer at one glance: whether intake could be booked, whether it may be, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.store import Availability
from moonlit.contracting.answers import PayerType
from moonlit.contracting.shown import accepted
from moonlit.payers.rules import BARRED, Acceptance, Contract, Payer
from moonlit.payers.store import Payers
from moonlit.provisioning.readiness import NOT_READY, IntakeReadiness, readiness
from moonlit.web.models import Model

type Missing = Literal["intake_instance", "intake_mapping", "contract", "status"]


class PayerBookability(Model):
    """A payer, and what stands in the way of booking its members."""

    payer_id: UUID
    name: str
    type: PayerType
    service_ready: bool
    bookable: bool
    missing: list[Missing]


class BookabilityOverview(Model):
    """All payers, by name; there are no pages, so that the counts and the rows are of one moment."""

    payers_total: int
    service_ready: int
    bookable: int
    items: list[PayerBookability]


def overview(connection: sa.Connection, now: datetime) -> BookabilityOverview:
    """Return how bookable every payer is, in as many statements for a thousand of them as for one."""
    today = Availability(connection).today(now)
    contracts, ready = Payers(connection).contracts(), readiness(connection)
    items = [
        standing(payer, contracts.get(payer.id, []), ready.get(payer.id, NOT_READY), today)
        for payer in Payers(connection).everyone()
    ]
    return BookabilityOverview(
        payers_total=len(items),
        service_ready=sum(item.service_ready for item in items),
        bookable=sum(item.bookable for item in items),
        items=items,
    )


def standing(payer: Payer, contracts: Sequence[Contract], intake: IntakeReadiness, today: date) -> PayerBookability:
    """Return a payer's line; `contracts` are those that count, of active providers."""
    is_taken = accepted(payer, contracts, today).status is not Acceptance.LEAD
    return PayerBookability(
        payer_id=payer.id,
        name=payer.name.strip(),
        type=payer.type,
        service_ready=intake.is_mapped,
        bookable=intake.is_mapped and is_taken,
        missing=list(_missing(payer, intake, is_taken=is_taken, today=today, contracts=contracts)),
    )


def _missing(
    payer: Payer, intake: IntakeReadiness, *, is_taken: bool, today: date, contracts: Sequence[Contract]
) -> Iterator[Missing]:
    if not intake.has_instance:
        yield "intake_instance"
    elif not intake.is_mapped:
        yield "intake_mapping"
    if payer.status_code in BARRED:
        without_bar = Payer(payer.id, payer.name, payer.type, None)
        if accepted(without_bar, contracts, today).status is Acceptance.LEAD:
            yield "contract"
        yield "status"
    elif not is_taken:
        yield "contract"
