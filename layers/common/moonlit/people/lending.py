"""Visits that stood on what an attending lends, and do not once the attending stops or turns out to be the resident."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.slots import local_date
from moonlit.availability.store import Availability
from moonlit.booking.stranding import FutureVisit, StrandedVisit, future_visits
from moonlit.payers.booked import has_ground
from moonlit.people.provider_store import ProviderStore


def stranded_by_lending(
    connection: sa.Connection, provider_id: UUID, now: datetime, *, active: bool, person_id: UUID
) -> list[StrandedVisit]:
    """Return the visits to come that lose their ground once the provider is active or not, and that human.

    Visits that an EHR told of name no attending, so they are found by who supervises whom; the provider's own are among
    them, since nobody lends to themselves.
    """
    by_payer: defaultdict[UUID, list[FutureVisit]] = defaultdict(list)
    givers = [provider_id, *ProviderStore(connection).residents(provider_id)]
    for visit in future_visits(connection, now, provider_ids=givers):
        if visit.payer_id and visit.provider_id in givers:
            by_payer[visit.payer_id].append(visit)
    return [
        visit.stranded("no_contract")
        for payer_id, visits in by_payer.items()
        for visit in _without_ground(connection, payer_id, visits, provider_id, now, active=active, person_id=person_id)
    ]


def _without_ground(
    connection: sa.Connection,
    payer_id: UUID,
    visits: list[FutureVisit],
    provider_id: UUID,
    now: datetime,
    *,
    active: bool,
    person_id: UUID,
) -> list[FutureVisit]:
    facts = Availability(connection).facts(payer_id, None, now)
    if facts.payer is None:
        return []
    had = facts.roster(facts.payer)
    becomes = replace(had.providers[provider_id], active=active, person_id=person_id)
    has = replace(had, providers={**had.providers, provider_id: becomes})

    def loses(visit: FutureVisit) -> bool:
        day = local_date(int(visit.start.timestamp()), facts.zone)
        before, after = (has_ground(each, visit.provider_id, visit.rendering_provider_id, day) for each in (had, has))
        return before and not after

    return [visit for visit in visits if loses(visit)]
