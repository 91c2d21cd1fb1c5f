"""Where our mappings and an EHR's own settings disagree. Pure: both sides are handed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from moonlit.ehr.catalog import EhrService, EhrSettings

Kind = Literal[
    "unknown_in_ehr",
    "name_differs",
    "duration_differs",
    "practitioner_unknown",
    "practitioner_inactive",
    "location_unknown",
    "unmapped_in_ehr",
]


@dataclass(frozen=True, slots=True)
class ServiceMapping:
    """What one of our services is called in the EHR.

    Attributes:
        instance_ids: The live instances that say so.
        payers: How many payers these are for.
        is_default: The practice's settings say so, for payers to come.
    """

    external_id: str
    service_id: UUID
    name: str
    duration_minutes: int
    instance_ids: Sequence[UUID] = ()
    payers: int = 0
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class ProviderMapping:
    """Who an active provider is in the EHR, and where they sit there, as far as somebody has said so."""

    external_id: str
    provider_id: UUID
    location_id: str | None = None


@dataclass(frozen=True, slots=True)
class PlaceMapping:
    """What one of our places is called in the EHR."""

    external_id: str
    location_id: UUID


@dataclass(frozen=True, slots=True)
class Mappings:
    """All that we have mapped to one EHR account."""

    services: Sequence[ServiceMapping] = ()
    providers: Sequence[ProviderMapping] = ()
    places: Sequence[PlaceMapping] = ()


@dataclass(frozen=True, slots=True)
class Theirs:
    """What the EHR calls something."""

    name: str | None
    duration_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A disagreement about one of the EHR's ids.

    Attributes:
        ours: Whom it is mapped to here; None for a service of the EHR that nothing is mapped to.
        theirs: None where the EHR does not know the id.
    """

    kind: Kind
    external_id: str
    ours: ServiceMapping | ProviderMapping | PlaceMapping | None
    theirs: Theirs | None


def compare(ours: Mappings, theirs: EhrSettings) -> list[Finding]:
    """Return the disagreements: those that keep visits from being booked first, then by the EHR's id.

    Names are compared as people read them: spaces and capitals aside. A name or a length that the EHR does not tell
    differs from nothing.
    """
    found = [*_services(ours, theirs), *_practitioners(ours, theirs), *_locations(ours, theirs)]
    return sorted(found, key=lambda each: (_URGENCY[each.kind], each.external_id))


def _services(ours: Mappings, theirs: EhrSettings) -> Iterator[Finding]:
    if theirs.services is None:
        return
    known = {service.external_id: service for service in theirs.services}
    for mapping in ours.services:
        service = known.get(mapping.external_id)
        for kind in _trouble(mapping, service):
            yield Finding(kind, mapping.external_id, mapping, _told(service) if service else None)
    mapped = {mapping.external_id for mapping in ours.services}
    for external_id, service in known.items():
        if external_id not in mapped:
            yield Finding("unmapped_in_ehr", external_id, None, _told(service))


def _trouble(mapping: ServiceMapping, service: EhrService | None) -> Iterator[Kind]:
    if service is None:
        yield "unknown_in_ehr"
        return
    if service.name is not None and _read(service.name) != _read(mapping.name):
        yield "name_differs"
    if service.duration_minutes is not None and service.duration_minutes != mapping.duration_minutes:
        yield "duration_differs"


def _practitioners(ours: Mappings, theirs: EhrSettings) -> Iterator[Finding]:
    known = {each.external_id: each for each in theirs.practitioners}
    for mapping in ours.providers:
        practitioner = known.get(mapping.external_id)
        if practitioner is None:
            yield Finding("practitioner_unknown", mapping.external_id, mapping, None)
        elif not practitioner.is_active:
            yield Finding("practitioner_inactive", mapping.external_id, mapping, Theirs(practitioner.name))


def _locations(ours: Mappings, theirs: EhrSettings) -> Iterator[Finding]:
    known = {each.external_id for each in theirs.locations}
    for provider in ours.providers:
        if provider.location_id is not None and provider.location_id not in known:
            yield Finding("location_unknown", provider.location_id, provider, None)
    for place in ours.places:
        if place.external_id not in known:
            yield Finding("location_unknown", place.external_id, place, None)


def _told(service: EhrService) -> Theirs:
    return Theirs(service.name, service.duration_minutes)


def _read(name: str) -> str:
    return " ".join(name.split()).casefold()


_URGENCY: Mapping[Kind, int] = {
    "unknown_in_ehr": 0,
    "practitioner_unknown": 1,
    "practitioner_inactive": 2,
    "location_unknown": 3,
    "duration_differs": 4,
    "name_differs": 5,
    "unmapped_in_ehr": 6,
}
