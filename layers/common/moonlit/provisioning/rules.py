"""What makes a payer bookable: the practice's default services as live, mapped instances. Desired minus actual.

Pure: no I/O, no clock. The dry run shows what `plan` says, and applying does the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
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

    @property
    def is_twin(self) -> bool:
        """Tell whether it is merged with others of its offer: live, or left by the loader to be merged."""
        return self.is_live or self.retired_reason == DUPLICATE_ON_IMPORT


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
    """Yield what the payer lacks: its duplicates are merged, and instances are made where the strategy says so.

    Payers that are barred are left alone, unless everybody is meant.
    """
    if strategy is not Strategy.ALL and is_barred(candidate.payer):
        return
    rows: defaultdict[Offer, list[Instance]] = defaultdict(list)
    for instance in candidate.instances:
        rows[instance.offer].append(instance)
    desired = {default.offer: default.mappings for default in defaults} if wanted(candidate, strategy) else {}
    for offer in dict.fromkeys([*rows, *desired]):
        yield from _settle(candidate, offer, rows[offer], desired.get(offer))


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


def _settle(
    candidate: Candidate, offer: Offer, known: Sequence[Instance], desired: Mapping[str, str] | None
) -> Iterator[Step]:
    """Yield what one offer takes: the instance that stays or is made, twins merged into it, and its mappings.

    `desired` are the mappings that it is to have; None leaves it as it is.
    """
    kept, payer_id = _kept(known), candidate.payer.id
    if kept is None and desired is None:
        return
    kept_id = kept.id if kept else _new_id(candidate, offer, len(known))
    if kept is None:
        after = {"location": offer.location, "posCode": offer.pos_code}
        yield Step(Action.CREATE_INSTANCE, payer_id, offer.service_id, kept_id, None, after)
    twins = sorted((one for one in known if one.is_twin and one.id != kept_id), key=lambda twin: twin.id)
    yield from (_merged(payer_id, kept_id, twin) for twin in twins)
    actual = dict(kept.mappings) if kept else {}
    wished = {} if desired is None else dict(desired)
    for twin in twins:  # What an EHR knows a twin by is not lost with it, where nothing else stands for it.
        for system, external_id in twin.mappings.items():
            if system not in actual:
                wished.setdefault(system, external_id)
    for system, external_id in wished.items():
        if (before := actual.get(system)) != external_id:
            yield Step(
                Action.CREATE_MAPPING if before is None else Action.REPAIR_MAPPING,
                payer_id,
                offer.service_id,
                kept_id,
                None if before is None else {"system": system, "externalId": before},
                {"system": system, "externalId": external_id},
            )


def _kept(twins: Sequence[Instance]) -> Instance | None:
    """Return the one of the twins that stays: the mapped, then the most referenced, then the one with the lowest id.

    Where none is live there are no twins: what people have retired stays so.
    """
    if not any(twin.is_live for twin in twins):
        return None
    return min((one for one in twins if one.is_twin), key=lambda twin: (not twin.mappings, -twin.references, twin.id))


def _merged(payer_id: UUID, kept_id: UUID, twin: Instance) -> Step:
    return Step(
        Action.RETIRE_DUPLICATE,
        payer_id,
        twin.offer.service_id,
        twin.id,
        before={"retiredReason": twin.retired_reason, "references": twin.references},
        after={"retiredReason": DUPLICATE_MERGED, "mergedInto": str(kept_id)},
        merged_into=kept_id,
        revives=twin.is_live,  # At most one twin is live: if it goes, the one that stays was retired.
    )


def _new_id(candidate: Candidate, offer: Offer, known: int) -> UUID:
    """Return the id of the instance to make: the same plan twice names the same row, so that two plans make one.

    Ids that the payer has already are passed over: a service that was merged took some to another offer.
    """
    taken = {instance.id for instance in candidate.instances}
    ids = (uuid5(_INSTANCES, f"{candidate.payer.id} {' '.join(map(str, offer))} {n}") for n in count(known))
    return next(each for each in ids if each not in taken)


def mapping_id(instance_id: UUID, system: str) -> UUID:
    """Return the id of the mapping that a plan makes for an instance."""
    return uuid5(instance_id, system)
