"""Time off of providers, and the visits to come on which it falls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from moonlit.audit.store import Actor, Audit
from moonlit.booking.claims import lock
from moonlit.booking.stranding import Stranded, future_visits, stranded
from moonlit.clock import Clock
from moonlit.db.days import expect_order, midnight
from moonlit.db.engine import Begin, retried_once
from moonlit.people.errors import PeopleContended, TimeOffOverlaps
from moonlit.people.hours import gives, stay
from moonlit.people.provider_store import ProviderStore
from moonlit.people.rules import hit
from moonlit.people.work_store import Work
from moonlit.web.models import Instant, Model


class TimeOffWanted(Model):
    """Time in which a provider gives no visits, [start, end)."""

    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _has_a_length(self) -> TimeOffWanted:
        if self.end <= self.start:
            raise PydanticCustomError("before_start", "The end has to lie after the start")
        return self


class TimeOff(Model):
    """Time in which a provider gives no visits, [start, end)."""

    id: UUID
    start: datetime
    end: datetime


class TimeOffList(Model):
    """A page of a provider's time off, by its start."""

    items: list[TimeOff]
    next_cursor: str | None


class TimeOffChanged(Model):
    """Time off as it is added or moved, and the visits that this strands; no id where adding it was only a question."""

    id: UUID | None
    start: datetime
    end: datetime
    dry_run: bool
    stranded: Stranded


@dataclass(frozen=True, slots=True)
class Days:
    """The practice's days `first` to `last`, each None for any.

    Raises:
        RequestValidationError: They are the wrong way round.
    """

    first: date | None
    last: date | None
    zone: ZoneInfo

    def __post_init__(self) -> None:
        """Refuse days that are the wrong way round."""
        expect_order(self.first, self.last)

    def instants(self) -> tuple[datetime | None, datetime | None]:
        """Return their beginning and their end."""
        first = midnight(self.first, self.zone) if self.first else None
        return first, midnight(self.last + timedelta(days=1), self.zone) if self.last else None


def page(connection: sa.Connection, provider_id: UUID, days: Days, *, limit: int, after: str | None) -> TimeOffList:
    """Return a page of the provider's time off that lies on the days in part; `after` is the cursor before.

    Raises:
        NotFound: There is no such provider.
        RequestValidationError: `after` is no cursor of this list.
    """
    ProviderStore(connection).person(provider_id)
    found = Work(connection).time_off(provider_id, *days.instants(), limit=limit, after=after)
    items = [_shown(row["id"], row["start"], row["end"], days.zone) for row in found.rows]
    return TimeOffList(items=items, next_cursor=found.next_cursor)


@dataclass(frozen=True, slots=True)
class Change:
    """Time off that somebody wants a provider to have: new, or `time_off_id` moved. A dry run only asks."""

    provider_id: UUID
    wanted: TimeOffWanted
    time_off_id: UUID | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ProviderTimeOff:
    """The time off, as staff keep it; instants are shown in `zone`."""

    begin: Begin
    clock: Clock
    zone: ZoneInfo

    def change(self, change: Change, actor: Actor) -> TimeOffChanged:
        """Keep the time free of new visits, and say on which it did not fall before: under all ids of the same human.

        What overlaps other time off of the provider is refused, not merged: whoever takes one of two back would
        otherwise not know what of the other is left.

        Raises:
            NotFound: There is no such provider, or they have no such time off.
            TimeOffOverlaps: There is other time off then already.
            PeopleContended: Others were at the same people, twice in a row.
        """
        contended = PeopleContended(f"provider {change.provider_id}")
        return retried_once(lambda: self._change(change, actor), contended)

    def _change(self, change: Change, actor: Actor) -> TimeOffChanged:
        wanted, now = change.wanted, self.clock.now()
        with self.begin() as connection:
            person = ProviderStore(connection).person(change.provider_id)
            lock(connection, [person])  # Whoever books looks at time off when it is their turn.
            ProviderStore(connection).locked(change.provider_id)
            moved = change.time_off_id
            before = Work(connection).time_off_of(change.provider_id, moved) if moved else None
            found = self._stranded(connection, person, change)
            audit = Audit(connection, actor, now)
            time_off_id = moved if change.dry_run else _store(connection, audit, change, before)
            if found.items:
                audit.read("time_off", found.patient_ids(), time_off_id)
        start, end = wanted.start.astimezone(self.zone), wanted.end.astimezone(self.zone)
        return TimeOffChanged(id=time_off_id, start=start, end=end, dry_run=change.dry_run, stranded=found)

    def drop(self, provider_id: UUID, time_off_id: UUID, actor: Actor) -> None:
        """Let the provider work again; what is gone stays gone.

        Raises:
            NotFound: There is no such provider.
        """
        with self.begin() as connection:
            ProviderStore(connection).person(provider_id)
            gone = Work(connection).drop_time_off(provider_id, time_off_id)
            if gone:
                before = _json(provider_id, gone)
                Audit(connection, actor, self.clock.now()).changed("delete", "time_off", time_off_id, before=before)

    def _stranded(self, connection: sa.Connection, person_id: UUID, change: Change) -> Stranded:
        wanted, work = change.wanted, Work(connection)
        within = work.time_off_within([change.provider_id], wanted.start, wanted.end)
        standing = [str(time_off_id) for time_off_id, _, _ in within if time_off_id != change.time_off_id]
        if standing:
            raise TimeOffOverlaps(f"time off {standing[0]}", timeOffId=standing[0])
        ids = ProviderStore(connection).same_person(person_id)
        coming = future_visits(connection, self.clock.now(), provider_ids=ids)
        theirs = [each for each in coming if gives(each, ids) and each.start < wanted.end and wanted.start < each.end]
        if not theirs:
            return stranded([])
        first, last = min(each.start for each in theirs), max(each.end for each in theirs)
        others = [span(start, end) for _, start, end in work.time_off_within(ids, first, last)]
        found = hit(span(wanted.start, wanted.end), others, [stay(each) for each in theirs])
        return stranded(each.stranded("time_off") for each in theirs if each.id in found)


def _store(connection: sa.Connection, audit: Audit, change: Change, before: tuple[datetime, datetime] | None) -> UUID:
    wanted, work = change.wanted, Work(connection)
    after = _json(change.provider_id, (wanted.start, wanted.end))
    if change.time_off_id is None:
        time_off_id = uuid4()
        work.add_time_off(time_off_id, change.provider_id, wanted.start, wanted.end)
        audit.changed("create", "time_off", time_off_id, after=after)
        return time_off_id
    if before and before != (wanted.start, wanted.end):
        work.move_time_off(change.time_off_id, wanted.start, wanted.end)
        audit.changed("update", "time_off", change.time_off_id, before=_json(change.provider_id, before), after=after)
    return change.time_off_id


def _shown(time_off_id: UUID, start: datetime, end: datetime, zone: ZoneInfo) -> TimeOff:
    return TimeOff(id=time_off_id, start=start.astimezone(zone), end=end.astimezone(zone))


def span(start: datetime, end: datetime) -> tuple[int, int]:
    """Return a stretch of time as the rules know it."""
    # A visit's time is in whole seconds: what the rule compares must not lose the rest of one.
    return int(start.timestamp()), -int(-end.timestamp() // 1)


def _json(provider_id: UUID, when: tuple[datetime, datetime]) -> dict[str, str]:
    start, end = when
    return {"providerId": str(provider_id), "start": start.isoformat(), "end": end.isoformat()}
