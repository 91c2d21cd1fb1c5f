"""What may stand among a payer's contracts and supervision, what a change of them changes, and whom it strands.

Days are the practice's local ones, and both ends of a term are inclusive. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations
from typing import Literal, Protocol
from uuid import UUID

from moonlit.payers.rules import BARRED, Contract, Payer, Roster, Supervision


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """A provider's contract with the payer as staff keep it; it counts once it is active and has an effective date."""

    id: UUID
    provider_id: UUID
    effective_date: date | None
    end_date: date | None
    status: str


@dataclass(frozen=True, slots=True)
class SupervisionTerms:
    """An attending who lends a resident the attending's contracts."""

    id: UUID
    resident_id: UUID
    attending_id: UUID
    level: str
    effective_date: date
    end_date: date | None


@dataclass(frozen=True, slots=True)
class PayerTerms:
    """A payer with everything that a change of it may change."""

    id: UUID
    name: str
    type: str
    status_code: str | None
    state: str | None
    plan_codes: tuple[str, ...]
    contracts: tuple[ContractTerms, ...]
    supervision: tuple[SupervisionTerms, ...]


class Named(Protocol):
    """Something that may have an id."""

    @property
    def id(self) -> UUID | None:
        """The id, None for what is new."""
        ...


type Terms = PayerTerms | ContractTerms | SupervisionTerms


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a change adds, changes or takes away; `before` or `after` is None where there is none."""

    entity: Literal["payer", "contract", "supervision"]
    id: UUID
    before: Terms | None
    after: Terms | None


@dataclass(frozen=True, slots=True)
class Tie:
    """Supervision between two humans, whatever payer it is for."""

    id: UUID
    resident: UUID
    attending: UUID
    first: date
    last: date | None

    def holds_on(self, day: date) -> bool:
        """Tell whether it is in force on that day."""
        return self.first <= day and (self.last is None or day <= self.last)


def differences(before: PayerTerms | None, after: PayerTerms) -> list[Difference]:
    """Return what is not as it was: the payer itself first, then its contracts, then supervision."""
    found: list[Difference] = []
    if before is None or _itself(before) != _itself(after):
        found.append(Difference("payer", after.id, before, after))
    rows: tuple[tuple[Literal["contract", "supervision"], Sequence[Terms], Sequence[Terms]], ...] = (
        ("contract", before.contracts if before else (), after.contracts),
        ("supervision", before.supervision if before else (), after.supervision),
    )
    for entity, old, new in rows:
        had, has = {row.id: row for row in old}, {row.id: row for row in new}
        found += [Difference(entity, key, had.get(key), row) for key, row in has.items() if had.get(key) != row]
        found += [Difference(entity, key, row, None) for key, row in had.items() if key not in has]
    return found


def named_alike[Sent: Named, Kept: Named](
    sent: Sequence[Sent], standing: Sequence[Kept], about: Sequence[str]
) -> list[tuple[Sent, UUID | None]]:
    """Return what was sent with the ids of the rows that it stands for, None for what is new.

    A row without an id stands for the one that is about the same (`about` names what that is), if there is such and no
    other row stands for it: who sends a list without ids has changed no row that is as it was.
    """
    named = {row.id for row in sent if row.id}
    left = [row for row in standing if row.id not in named]
    found: list[tuple[Sent, UUID | None]] = []
    for row in sent:
        same = (kept for kept in left if all(getattr(kept, each) == getattr(row, each) for each in about))
        kept = None if row.id else next(same, None)
        if kept:
            left.remove(kept)
        found.append((row, kept.id if kept else row.id))
    return found


def lifts_a_bar(before: PayerTerms, after: PayerTerms) -> bool:
    """Tell whether a payer that was suspended or rejected is taken again."""
    return before.status_code in BARRED and after.status_code not in BARRED


def overlapping(contracts: Iterable[ContractTerms]) -> list[tuple[UUID, UUID]]:
    """Return each pair of a provider's contracts that claim the same days, the later of the list second.

    Inactive ones claim none. One without an effective date claims no day yet, and is in the way of another such one
    alone: a contract may be renewed while the old one is in force, but not twice at once.
    """
    by_provider: defaultdict[UUID, list[ContractTerms]] = defaultdict(list)
    for contract in contracts:
        if contract.status != "inactive":
            by_provider[contract.provider_id].append(contract)
    return [
        (one.id, other.id)
        for held in by_provider.values()
        for one, other in combinations(held, 2)
        if _claim_a_day_both(one, other)
    ]


def circles(ties: Sequence[Tie], touched: Collection[UUID]) -> list[UUID]:
    """Return those of the `touched` ties that lie on a circle on some day, in the order of `ties`.

    A supervises B, and B, directly or through others, supervises A on the same day. Who supervises themselves is a
    circle of one. Days on which no tie begins need no look: whatever holds then held already when the last of its ties
    began.
    """
    suspicious = _above(ties)  # Most practices have no circle at all, on no day: then nothing is left to look at.
    ties = [tie for tie in ties if tie.attending in suspicious.get(tie.resident, ())]
    asked = [tie for tie in ties if tie.id in touched]
    found: set[UUID] = set()
    for day in sorted({tie.first for tie in ties}):
        suspects = [tie for tie in asked if tie.id not in found and tie.holds_on(day)]
        if suspects:
            above = _above([tie for tie in ties if tie.holds_on(day)])
            found |= {tie.id for tie in suspects if tie.resident in _reached(tie.attending, above)}
    return [tie.id for tie in asked if tie.id in found]


def roster_after(roster: Roster, after: PayerTerms, for_any_payer: Iterable[SupervisionTerms]) -> Roster:
    """Return who might see the payer's members once it stands as `after` says."""
    payer = Payer(after.id, after.name, after.type, after.status_code)
    contracts = [
        Contract(each.provider_id, each.effective_date, each.end_date)
        for each in after.contracts
        if each.status == "active" and each.effective_date
    ]
    supervision = [
        Supervision(
            each.resident_id,
            each.attending_id,
            each.level == "co_visit_required",
            each.effective_date,
            each.end_date,
        )
        for each in (*after.supervision, *for_any_payer)
    ]
    return replace(roster, payer=payer, contracts=contracts, supervision=supervision)


def _itself(payer: PayerTerms) -> PayerTerms:
    return replace(payer, contracts=(), supervision=())


def _claim_a_day_both(one: ContractTerms, other: ContractTerms) -> bool:
    if one.effective_date is None or other.effective_date is None:
        return one.effective_date is other.effective_date
    last = min(one.end_date or date.max, other.end_date or date.max)
    return max(one.effective_date, other.effective_date) <= last


def _above(ties: Iterable[Tie]) -> dict[UUID, set[UUID]]:
    """Return who supervises whom, without those who can be on no circle: nobody above them, or nobody below."""
    above: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for tie in ties:
        above[tie.resident].add(tie.attending)
    while True:
        below = set[UUID]().union(*above.values())
        kept = {person: up & above.keys() for person, up in above.items() if person in below and up & above.keys()}
        if kept == above:
            return kept
        above = defaultdict(set, kept)


def _reached(start: UUID, above: dict[UUID, set[UUID]]) -> set[UUID]:
    """Return `start`, and everybody above them who may be on a circle."""
    reached, waiting = {start}, [start]
    while waiting:
        new = above.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached
