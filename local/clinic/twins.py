"""Which of several live service instances for one and the same thing stays in use."""

from __future__ import annotations

from collections import Counter, defaultdict
from uuid import UUID

from local.clinic.reading import Clinic


def surplus(clinic: Clinic) -> set[UUID]:
    """Return the live instances that duplicate another of the same service, payer, location and place of service.

    The one with a mapping stays, then the one that most appointments refer to, then the one with the lowest id.
    Orphans have no payer in common, so they are no twins of each other.
    """
    mapped = {row.service_instance_id for row in clinic.rows["service_instance_integrations"]}
    references = Counter(row.service_instance_id for row in clinic.rows["appointments"])
    groups: defaultdict[tuple[object, ...], list[UUID]] = defaultdict(list)
    for row in clinic.rows["service_instances"]:
        if row.payer_id is not None and row.retired_at is None:
            groups[row.service_id, row.payer_id, row.location, row.pos_code].append(row.id)

    def rank(instance: UUID) -> tuple[bool, int, UUID]:
        return instance not in mapped, -references[instance], instance

    return {instance for group in groups.values() for instance in sorted(group, key=rank)[1:]}
