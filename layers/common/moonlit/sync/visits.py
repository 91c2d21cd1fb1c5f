"""What a row of the EHR makes of a visit, and whether that changes anything that we store.

The EHR wins on time, status, provider and place. Payer, service instance, notes and consents are ours. These run for
thousands of rows in a night, so they are plain tuples; identifiers are text, instants whole milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

ACTIVE = frozenset({"pending", "scheduled", "confirmed"})
# CMS place-of-service codes; nothing else about a row tells where the visit is.
KINDS = {"02": "telehealth", "10": "telehealth", "11": "office", "12": "home"}
MODALITIES = {"telehealth": "telehealth", "office": "in_person", "home": "in_person"}
UNKNOWN_PRACTITIONER = "unknown_practitioner"  # The warning that a coming visit is given by one.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """A row of the mirror that is matched to a patient, or held as a visit of theirs.

    `is_theirs` says that the EHR's client is still that patient, `awaited` that a reschedule of ours is on its way to
    this id.
    """

    external_id: str
    content_hash: str
    patient_id: str
    is_theirs: bool
    client_id: str | None
    practitioner_id: str | None
    ehr_service_id: str | None
    start_ms: int
    end_ms: int
    status: str
    deleted: bool
    modified_ms: int
    meeting_url: str | None
    location_name: str | None
    place_of_service: str | None
    location_id: str | None = None
    awaited: bool = False


class Held(NamedTuple):
    """The visit that we hold under a row's external id.

    `in_flight` says that a cancellation or reschedule of ours is on its way to the EHR, `booked_here` that the visit
    did not come from there. Where a reschedule gives the visit a new id, `is_current` says that the row's is not an old
    one, `moves_on` that the row names a new one which nobody has seen yet.
    """

    appointment_id: str
    patient_id: str
    provider_id: str | None
    rendering_provider_id: str | None
    service_id: str | None
    service_instance_id: str | None
    payer_id: str | None
    modality: str | None
    start_ms: int
    end_ms: int
    status: str
    deleted_in_ehr: bool
    modified_ms: int | None
    meeting_url: str | None
    location_info: dict[str, Any] | None
    in_flight: bool
    booked_here: bool
    is_current: bool = True
    moves_on: bool = False


class Visit(NamedTuple):
    """What the visit is from now on."""

    provider_id: str | None
    rendering_provider_id: str | None
    service_id: str | None
    service_instance_id: str | None
    modality: str | None
    start_ms: int
    end_ms: int
    status: str
    deleted_in_ehr: bool
    meeting_url: str | None
    location_info: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Directory:
    """How the EHR's identifiers translate into ours, where they do so without doubt.

    Attributes:
        providers: Provider and person by practitioner; None for what differs between the practitioner's seats.
        services: Service by EHR service.
        instances: Live service instance by EHR service and payer.
        seats: Provider and person by practitioner and location, where a practitioner has a seat in each.
    """

    providers: Mapping[str, tuple[str | None, str | None]]
    services: Mapping[str, str]
    instances: Mapping[tuple[str, str], str]
    seats: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def giver(self, row: Row) -> tuple[str | None, str | None]:
        """Return the provider who gives the row's visit, and the person; None for what cannot be told."""
        practitioner = row.practitioner_id or ""
        return self.seats.get((practitioner, row.location_id or "")) or self.providers.get(practitioner, (None, None))

    def persons(self) -> dict[str, str]:
        """Return the person behind each provider."""
        pairs = [*self.providers.values(), *self.seats.values()]
        return {provider: person for provider, person in pairs if provider and person}


class Outcome(StrEnum):
    """What a row does to the visits."""

    NEW = "new"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    WAITS = "waits"  # A write of ours is under way, or the rest of a move to be seen; the row is looked at again later.


def milliseconds(instant: datetime) -> int:
    """Return the instant as this module counts time."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def location_info(name: str | None, place_of_service: str | None) -> dict[str, Any] | None:
    """Return what is stored of the place, None when the EHR says nothing about it."""
    if name is None and place_of_service is None:
        return None
    return {"name": name, "place_of_service": place_of_service, "kind": KINDS.get(place_of_service or "")}


def visit(row: Row, held: Held | None, directory: Directory) -> Visit:
    """Return what the visit is once `row` has been applied over `held`."""
    provider_id, _ = directory.giver(row)
    place = location_info(row.location_name, row.place_of_service)
    ours = held or _NOTHING
    ehr_service_id = row.ehr_service_id or ""
    return Visit(
        provider_id=provider_id,
        # Who signs for one provider need not sign for another.
        rendering_provider_id=ours.rendering_provider_id if provider_id == ours.provider_id else None,
        service_id=directory.services.get(ehr_service_id, ours.service_id),
        service_instance_id=ours.service_instance_id or directory.instances.get((ehr_service_id, ours.payer_id or "")),
        modality=MODALITIES.get(place["kind"] or "", ours.modality) if place else ours.modality,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        status="cancelled" if row.deleted else row.status,
        deleted_in_ehr=row.deleted,
        meeting_url=row.meeting_url,
        location_info=place,
    )


def outcome(row: Row, held: Held | None, wanted: Visit) -> Outcome:
    """Return what applying `row`, which asks for `wanted`, does to the visit that is `held`."""
    if held is None:
        if row.awaited:
            return Outcome.WAITS
        # A visit that was gone before we ever saw it is none of the patient's.
        return Outcome.UNCHANGED if row.deleted else Outcome.NEW
    if not held.is_current:
        return Outcome.UNCHANGED
    if held.in_flight or held.moves_on:
        return Outcome.WAITS
    if not row.deleted and held.modified_ms is not None and row.modified_ms < held.modified_ms:
        return Outcome.UNCHANGED
    return Outcome.UNCHANGED if wanted == stored(held) else Outcome.UPDATED


def stored(held: Held) -> Visit:
    """Return the part of `held` that the EHR has a say in."""
    return Visit(
        held.provider_id,
        held.rendering_provider_id,
        held.service_id,
        held.service_instance_id,
        held.modality,
        held.start_ms,
        held.end_ms,
        held.status,
        held.deleted_in_ehr,
        held.meeting_url,
        held.location_info,
    )


_NOTHING = Held("", "", None, None, None, None, None, None, 0, 0, "", False, None, None, None, False, False)  # noqa: FBT003
