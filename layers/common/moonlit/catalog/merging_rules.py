"""Which services may be merged, which of several should stay, and what becomes of the practice's defaults. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

# What visits of a service rely on beside its length: a visit may not find itself in another kind of service.
ALIKE = {
    "kind": "kind",
    "modality": "modality",
    "room_required": "roomRequired",
    "dose_required": "doseRequired",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """One of several services with the same name, and what depends on it."""

    id: UUID
    is_active: bool
    is_default: bool
    appointments: int
    instances: int


def suggested(services: Iterable[Counted]) -> UUID:
    """Return the one that should stay: one in use, the practice's default, then the one on which the most depends."""
    return min(
        services,
        key=lambda each: (not each.is_active, not each.is_default, -each.appointments, -each.instances, each.id),
    ).id


def unlike(source: Mapping[str, Any], target: Mapping[str, Any]) -> list[str]:
    """Return in which members two services differ that keep them from being merged."""
    return [member for column, member in ALIKE.items() if source[column] != target[column]]


def merged_defaults(
    entries: Sequence[Mapping[str, Any]], source: UUID, target: UUID
) -> tuple[list[dict[str, Any]], int]:
    """Return the default services without `source`, and how many of its entries there were.

    An entry becomes the target's; where the target has one for the same place already, that one stays and takes over
    the mappings that it lacks, and that it is required if either was.
    """
    kept: list[dict[str, Any]] = []
    own = {_place(entry): dict(entry) for entry in entries if _is_of(entry, target)}
    moved = 0
    for entry in entries:
        place = _place(entry)
        if _is_of(entry, target):
            kept.append(own[place])
        elif not _is_of(entry, source):
            kept.append(dict(entry))
        else:
            moved += 1
            if place not in own:
                own[place] = {**entry, "service_id": str(target)}
                kept.append(own[place])
            twin = own[place]
            twin["mappings"] = {**entry.get("mappings", {}), **twin.get("mappings", {})}
            twin["required"] = bool(twin.get("required") or entry.get("required"))
    return kept, moved


def _is_of(entry: Mapping[str, Any], service_id: UUID) -> bool:
    return UUID(str(entry["service_id"])) == service_id


def _place(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    return entry.get("location"), entry.get("pos_code")
