"""What makes a payer bookable: the practice's default services as live, mapped instances. Desired minus actual.

Pure: no I/O, no clock. The dry run shows what `plan` says, and applying does the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from moonlit.payers.rules import BARRED, Payer

DUPLICATE_ON_IMPORT = "duplicate_on_import"  # What the loader left to be merged.
DUPLICATE_MERGED = "duplicate_merged"
NO_CONTRACT_NO_STATUS = "no_contract_no_status"
_INSTANCES = UUID("8c3a5c0e-6a0f-4b55-9f0e-3a1f0d7c9b61")
_WELCOME = ("approved", "pending")


class Strategy(StrEnum):
    """Which payers are to be made bookable."""

    CONTRACTED = "contracted"
    HYBRID = "hybrid"
    ALL = "all"


class Action(StrEnum):
    """What is done to a service instance or one of its mappings."""

    CREATE_INSTANCE = "create_instance"
    CREATE_MAPPING = "create_mapping"
    REPAIR_MAPPING = "repair_mapping"
    RETIRE_DUPLICATE = "retire_duplicate"
    REMOVE_ORPHAN = "remove_orphan"


class Offer(NamedTuple):
    """What one payer has at most one live instance of: a service at a place."""

    service_id: UUID
    location: str
    pos_code: str


@dataclass(frozen=True, slots=True)
class DefaultService:
    """A service that every payer is to have, with its id in each EHR by system."""

    offer: Offer
    mappings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Instance:
    """A service instance as it stands.

    Attributes:
        retired_reason: None while it is live.
        references: How many visits refer to it.
        mappings: Its id in each EHR, by system.
    """

    id: UUID
    offer: Offer
    retired_reason: str | None
    references: int
    mappings: Mapping[str, str]

    @property
    def is_live(self) -> bool:
        """Tell whether it may be booked, as far as it goes."""
        return self.retired_reason is None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A payer who may be provisioned.

    Attributes:
        contracted: Some contract is active and not ended, or credentialing is going on.
        instances: All of the payer's, retired ones included.
    """

    payer: Payer
    contracted: bool
    instances: Sequence[Instance]


@dataclass(frozen=True, slots=True)
class Step:
    """One action; `before` and `after` are what it changes, ready for JSON.

    Attributes:
        merged_into: Of a retired duplicate: the twin that its visits move to.
        revives: That twin was retired itself, and is live from now on.
    """

    action: Action
    payer_id: UUID | None
    service_id: UUID
    instance_id: UUID
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    merged_into: UUID | None = None
    revives: bool = False


def wanted(candidate: Candidate, strategy: Strategy) -> bool:
    """Tell whether the strategy makes the payer bookable."""
    if strategy is Strategy.ALL:
        return True
    if candidate.payer.status_code in BARRED:
        return False
    return candidate.contracted or (strategy is Strategy.HYBRID and candidate.payer.status_code in _WELCOME)


def for_review(candidate: Candidate, strategy: Strategy) -> bool:
    """Tell whether a person has to say what becomes of the payer: nobody has given it a status or a contract."""
    return strategy is Strategy.HYBRID and not candidate.contracted and candidate.payer.status_code is None


def is_barred(payer: Payer) -> bool:
    """Tell whether the practice does not work with the payer, so that no event makes it bookable."""
    return payer.status_code in BARRED


def rank(payer: Payer) -> tuple[bool, str, str]:
    """Return the order in which payers are provisioned: insurances first, those who pay themselves last."""
    return payer.type == "self_pay", payer.name.strip(), str(payer.id)


def plan(candidate: Candidate, defaults: Sequence[DefaultService], strategy: Strategy) -> Iterator[Step]:
    """Yield what the payer lacks: duplicates are merged whatever the strategy, instances are made where it says so."""
    rows: defaultdict[Offer, list[Instance]] = defaultdict(list)
    for instance in candidate.instances:
        rows[instance.offer].append(instance)
    live: dict[Offer, Instance] = {}
    for offer, twins in rows.items():
        kept = _kept(twins)
        if kept:
            live[offer] = kept
            yield from _merge(candidate.payer.id, kept.id, twins)
    if wanted(candidate, strategy):
        for default in defaults:
            yield from _provide(candidate.payer.id, default, live.get(default.offer), rows[default.offer])


def remove_orphans(orphans: Iterable[Instance]) -> tuple[list[Step], list[Instance]]:
    """Return the steps that remove the instances without a payer, and those that stay since visits refer to them."""
    steps, referenced = [], []
    for orphan in orphans:
        if orphan.references:
            referenced.append(orphan)
            continue
        before = {
            "location": orphan.offer.location,
            "posCode": orphan.offer.pos_code,
            "retiredReason": orphan.retired_reason,
            "mappings": dict(orphan.mappings),
        }
        steps.append(Step(Action.REMOVE_ORPHAN, None, orphan.offer.service_id, orphan.id, before, None))
    return steps, referenced


def is_ready(instances: Iterable[Instance], intakes: frozenset[UUID], steps: Iterable[Step] = ()) -> bool:
    """Tell whether a payer is service-ready once `steps` are done: a live instance of an intake has a mapping."""
    taken = list(steps)
    revived = {step.merged_into for step in taken if step.revives}
    mapped = {step.service_id for step in taken if step.action is Action.CREATE_MAPPING}
    for instance in instances:
        if instance.mappings and (instance.is_live or instance.id in revived):
            mapped.add(instance.offer.service_id)
    return bool(mapped & intakes)


def _kept(twins: Sequence[Instance]) -> Instance | None:
    """Return the one of the twins that stays: the mapped, then the most referenced, then the one with the lowest id.

    Where none is live there are no twins: what people have retired stays so.
    """
    if not any(twin.is_live for twin in twins):
        return None
    return min(filter(_is_twin, twins), key=lambda twin: (not twin.mappings, -twin.references, twin.id))


def _is_twin(instance: Instance) -> bool:
    return instance.is_live or instance.retired_reason == DUPLICATE_ON_IMPORT


def _merge(payer_id: UUID, kept: UUID, twins: Iterable[Instance]) -> Iterator[Step]:
    for twin in sorted(filter(_is_twin, twins), key=lambda twin: twin.id):
        if twin.id != kept:
            before = {"retiredReason": twin.retired_reason, "references": twin.references}
            after = {"retiredReason": DUPLICATE_MERGED, "mergedInto": str(kept)}
            revives = twin.is_live  # At most one twin is live: if it goes, the one that stays was retired.
            yield Step(Action.RETIRE_DUPLICATE, payer_id, twin.offer.service_id, twin.id, before, after, kept, revives)


def _provide(
    payer_id: UUID, default: DefaultService, live: Instance | None, known: Sequence[Instance]
) -> Iterator[Step]:
    service_id, location, pos_code = default.offer
    if live is None:
        # The same plan twice names the same rows, so that two who make it at once make one instance.
        instance_id = uuid5(_INSTANCES, f"{payer_id} {service_id} {location} {pos_code} {len(known)}")
        after = {"location": location, "posCode": pos_code}
        yield Step(Action.CREATE_INSTANCE, payer_id, service_id, instance_id, None, after)
        yield from _merge(payer_id, instance_id, known)  # What is left of twins, the live one having been retired.
        actual: Mapping[str, str] = {}
    else:
        instance_id, actual = live.id, live.mappings
    for system, external_id in default.mappings.items():
        if (before := actual.get(system)) == external_id:
            continue
        yield Step(
            Action.REPAIR_MAPPING if before is not None else Action.CREATE_MAPPING,
            payer_id,
            service_id,
            instance_id,
            None if before is None else {"system": system, "externalId": before},
            {"system": system, "externalId": external_id},
        )


def mapping_id(instance_id: UUID, system: str) -> UUID:
    """Return the id of the mapping that a plan makes for an instance."""
    return uuid5(instance_id, system)
