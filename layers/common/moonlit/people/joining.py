"""Visits on which time off falls because two providers turn out to be one human: off is off under every id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.booking.stranding import FutureVisit, StrandedVisit, future_visits
from moonlit.people.hours import gives, stay
from moonlit.people.provider_store import ProviderStore
from moonlit.people.rules import Stay, hit
from moonlit.people.time_off import span
from moonlit.people.work_store import Work


def stranded_by_joining(
    connection: sa.Connection, provider_id: UUID, person_id: UUID, now: datetime
) -> list[StrandedVisit]:
    """Return the visits of the provider and of those who are that human already on which the others' time off falls."""
    twins = [each for each in ProviderStore(connection).same_person(person_id) if each != provider_id]
    if not twins:
        return []
    sides = ([provider_id], twins)
    visits = [_given(future_visits(connection, now, provider_ids=ids), ids) for ids in sides]
    every = [visit for side in visits for visit in side]
    if not every:
        return []
    first, last = min(visit.start for visit in every), max(visit.end for visit in every)
    own, theirs = (_spans(Work(connection), ids, first, last) for ids in sides)
    found = _hit(theirs, own, [stay(visit) for visit in visits[0]]) | _hit(own, theirs, [stay(v) for v in visits[1]])
    return [visit.stranded("time_off") for visit in every if visit.id in found]


def _given(visits: Sequence[FutureVisit], ids: Sequence[UUID]) -> list[FutureVisit]:
    return [visit for visit in visits if gives(visit, ids)]


def _spans(work: Work, ids: Collection[UUID], first: datetime, last: datetime) -> list[tuple[int, int]]:
    return [span(start, end) for _, start, end in work.time_off_within(ids, first, last)]


def _hit(new: Collection[tuple[int, int]], known: Collection[tuple[int, int]], stays: Collection[Stay]) -> set[UUID]:
    return {visit_id for off in new for visit_id in hit(off, known, stays)}
