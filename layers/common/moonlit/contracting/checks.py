"""Where a payer, as somebody wants it, cannot stand: each fault with its place in what was sent.

What stood before and stays as it was is not judged anew, so that a practice that was taken over with old faults can
be put right one by one. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from moonlit.contracting.rules import (
    ContractTerms,
    PayerTerms,
    SupervisionTerms,
    Tie,
    circles,
    differences,
    overlapping,
)

type List = Literal["contracts", "supervision"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row of a list; `member` is None where it is the row as a whole."""

    list: List
    position: int
    member: str | None
    code: str


def faults_of_ids(list_: List, given: Sequence[UUID | None], known: Collection[UUID]) -> Iterator[Fault]:
    """Yield the rows that name an id which this payer's list does not have, or had before in the same list."""
    seen: set[UUID] = set()
    for position, row_id in enumerate(given):
        if row_id is None:
            continue
        if row_id in seen:
            yield Fault(list_, position, "id", "duplicate_id")
        elif row_id not in known:
            yield Fault(list_, position, "id", "unknown_id")
        seen.add(row_id)


def faults(before: PayerTerms | None, after: PayerTerms, persons: Mapping[UUID, UUID]) -> list[Fault]:
    """Return what is wrong with single rows, `persons` being the human behind each provider."""
    touched = _touched(before, after)
    found: list[Fault] = []
    for position, contract in enumerate(after.contracts):
        if contract.id in touched:
            found += [Fault("contracts", position, *fault) for fault in _of_contract(contract, persons)]
    for position, row in enumerate(after.supervision):
        if row.id in touched:
            found += [Fault("supervision", position, *fault) for fault in _of_supervision(row, persons)]
    return found


def faults_together(
    before: PayerTerms | None,
    after: PayerTerms,
    persons: Mapping[UUID, UUID],
    elsewhere: Iterable[SupervisionTerms],
) -> list[Fault]:
    """Return which rows cannot stand beside others; `elsewhere` is the supervision for other payers and for any."""
    touched = _touched(before, after)
    pairs = [pair for pair in overlapping(after.contracts) if touched.intersection(pair)]
    # Of two, the one that was changed is at fault; of two such, the later.
    late = {second if second in touched else first for first, second in pairs}
    ties = [
        Tie(row.id, persons[row.resident_id], persons[row.attending_id], row.effective_date, row.end_date)
        for row in (*after.supervision, *elsewhere)
    ]
    circling = set(circles(ties, touched))
    return [
        *(Fault("contracts", n, None, "contract_overlap") for n, row in enumerate(after.contracts) if row.id in late),
        *(
            Fault("supervision", n, None, "supervision_circle")
            for n, row in enumerate(after.supervision)
            if row.id in circling
        ),
    ]


def _touched(before: PayerTerms | None, after: PayerTerms) -> set[UUID]:
    return {each.id for each in differences(before, after) if each.entity != "payer"}


def _of_contract(row: ContractTerms, persons: Mapping[UUID, UUID]) -> Iterator[tuple[str, str]]:
    if row.provider_id not in persons:
        yield "providerId", "unknown_id"
    if row.effective_date and row.end_date and row.end_date < row.effective_date:
        yield "endDate", "dates"


def _of_supervision(row: SupervisionTerms, persons: Mapping[UUID, UUID]) -> Iterator[tuple[str, str]]:
    if row.resident_id not in persons:
        yield "residentId", "unknown_id"
    if row.attending_id not in persons:
        yield "attendingId", "unknown_id"
    if row.resident_id == row.attending_id:
        yield "attendingId", "two_people"
    if row.end_date and row.end_date < row.effective_date:
        yield "endDate", "dates"
