"""The hours of a provider, replaced as a whole, and the visits to come that would lie outside of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import Field, StringConstraints

from moonlit.audit.store import Actor, Audit
from moonlit.availability.hours import DAY, Hours
from moonlit.booking.claims import lock
from moonlit.booking.stranding import FutureVisit, Stranded, future_visits, stranded
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.ehr.port import TRAITS
from moonlit.people.errors import PeopleContended
from moonlit.people.provider_answers import Provider
from moonlit.people.provider_store import ProviderStore
from moonlit.people.rules import Stay, Window, colliding, left_outside
from moonlit.people.work_store import Work
from moonlit.web.etags import etag, expect
from moonlit.web.malformed import in_body
from moonlit.web.models import Day, Modality, Model, ZoneName

MOST_WINDOWS = 200
LONGEST_NIGHT = 16 * 3600
WallClockStart = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
WallClockEnd = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class HoursWindow(Model):
    """A weekly window of work by the wall clock of a zone; `end` at or before `start` lies on the next day.

    `weekday` is the day on which it starts, 0 for Monday; `validFrom` and `validTo` are the first and the last such
    day. Without `locationId` it is work in no place in particular.
    """

    weekday: Annotated[int, Field(strict=True, ge=0, le=6)]
    start: WallClockStart
    end: WallClockEnd
    timezone: ZoneName
    modality: Modality
    location_id: UUID | None = None
    valid_from: Day | None = None
    valid_to: Day | None = None

    @property
    def overnight_seconds(self) -> int:
        """How long it is when it ends on the next day, else 0."""
        length = _seconds(self.end) - _seconds(self.start)
        return length + DAY if length <= 0 else 0

    def window(self) -> Window:
        """Return it as the rules know it."""
        hours = Hours(
            self.weekday, _seconds(self.start), _seconds(self.end), self.timezone, self.valid_from, self.valid_to
        )
        return Window(hours, self.modality, self.location_id)


class HoursWanted(Model):
    """All windows of a provider: those that are not among them end."""

    items: Annotated[list[HoursWindow], Field(max_length=MOST_WINDOWS)]


class HoursList(Model):
    """All windows of a provider, Monday's first; there is no second page."""

    items: list[HoursWindow]
    next_cursor: None = None


class HoursChanged(HoursList):
    """The hours as a change makes them, how many windows begin and end, and the visits that it strands."""

    dry_run: bool
    added: int
    ended: int
    stranded: Stranded


def shown(connection: sa.Connection, provider_id: UUID) -> HoursList:
    """Return a provider's hours.

    Raises:
        NotFound: There is no such provider.
    """
    ProviderStore(connection).person(provider_id)
    return _listed(Work(connection).hours(provider_id))


@dataclass(frozen=True, slots=True)
class Change:
    """Which hours somebody wants a provider to have, and whether it is only a question."""

    provider_id: UUID
    wanted: HoursWanted
    if_match: str | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ProviderHours:
    """The hours, as staff keep them."""

    begin: Begin
    clock: Clock

    def replace(self, change: Change, actor: Actor) -> tuple[HoursChanged, str]:
        """Let the provider have the wanted hours, and return what that changes, with the ETag of what stands now.

        Raises:
            NotFound: There is no such provider.
            RequestValidationError: Windows collide, end before they begin, or are somewhere unknown.
            StaleEtag: Somebody has changed the hours since.
            PeopleContended: Others were at the same people, twice in a row.
        """
        contended = PeopleContended(f"provider {change.provider_id}")
        return retried_once(lambda: self._replace(change, actor), contended)

    def _replace(self, change: Change, actor: Actor) -> tuple[HoursChanged, str]:
        now, provider_id = self.clock.now(), change.provider_id
        with self.begin() as connection:
            providers, work = ProviderStore(connection), Work(connection)
            # Whoever books looks at the hours when it is their turn: before this change, or after it.
            lock(connection, [providers.person(provider_id)])
            provider = providers.locked(provider_id)
            before = _listed(work.hours(provider_id))
            expect(change.if_match, before)
            _expect_sound(work, change.wanted.items, before.items)
            after = HoursList(items=sorted(change.wanted.items, key=_place))
            added, ended = _without(after.items, before.items), _without(before.items, after.items)
            visits = future_visits(connection, now, provider_ids=[provider_id]) if ended else []
            hit = _left_outside(provider, visits, before, after)
            audit = Audit(connection, actor, now)
            if (added or ended) and not change.dry_run:
                work.replace_hours(provider_id, [dict(window) for window in after.items])
                was, becomes = {"ended": _json(ended)}, {"added": _json(added)}
                audit.changed("replace_hours", "provider", provider_id, before=was, after=becomes)
            if hit.items:
                audit.read("provider_hours", hit.patient_ids(), provider_id)
        counts = {"added": len(added), "ended": len(ended)}
        answer = HoursChanged(items=after.items, dry_run=change.dry_run, stranded=hit, **counts)
        return answer, etag(before if change.dry_run else after)


def gives(visit: FutureVisit, provider_ids: Sequence[UUID]) -> bool:
    """Return whether one of the providers has to be there: who only signs has not."""
    return visit.provider_id in provider_ids or (visit.co_visit and visit.rendering_provider_id in provider_ids)


def stay(visit: FutureVisit) -> Stay:
    """Return a visit's time as the rules know it."""
    start, end = int(visit.start.timestamp()), int(visit.end.timestamp())
    return Stay(visit.id, start, end, visit.modality, visit.location_id)


def _left_outside(provider: Provider, visits: Sequence[FutureVisit], before: HoursList, after: HoursList) -> Stranded:
    """Return the visits that the change strands; who is booked into the EHR's own open slots needs no hours."""
    if TRAITS[provider.ehr_system].has_open_slots:
        return stranded([])
    own = [visit for visit in visits if gives(visit, [provider.id])]
    worked, works = ([each.window() for each in hours.items] for hours in (before, after))
    outside = left_outside(worked, works, [stay(visit) for visit in own])
    return stranded(visit.stranded("outside_hours") for visit in own if visit.id in outside)


def _expect_sound(work: Work, windows: Sequence[HoursWindow], before: Sequence[HoursWindow]) -> None:
    for number, window in enumerate(windows):
        # Start and end mistaken for one another are a night of nearly a day; what stood before may stand.
        if window not in before and window.overnight_seconds > LONGEST_NIGHT:
            raise in_body("overnight_too_long", "items", number, "end")
        if window.valid_from and window.valid_to and window.valid_to < window.valid_from:
            raise in_body("before_from", "items", number, "validTo")
    wanted = {window.location_id for window in windows if window.location_id}
    known = work.known_locations(wanted) if wanted else set()
    for number, window in enumerate(windows):
        if window.location_id and window.location_id not in known:
            raise in_body("unknown_id", "items", number, "locationId")
    second = colliding([window.window() for window in windows])
    if second is not None:
        raise in_body("overlaps", "items", second)


def _listed(rows: Sequence[sa.RowMapping]) -> HoursList:
    windows = [HoursWindow.model_construct(**row) for row in rows]  # What was taken over from elsewhere is shown as is.
    return HoursList.model_construct(items=sorted(windows, key=_place), next_cursor=None)


def _place(window: HoursWindow) -> tuple[Any, ...]:
    texts = (window.start, window.end, window.timezone, window.modality)
    return (window.weekday, *texts, *map(str, (window.location_id, window.valid_from, window.valid_to)))


def _without(windows: Sequence[HoursWindow], others: Sequence[HoursWindow]) -> list[HoursWindow]:
    left, over = list(others), []  # The same window may stand twice, where hours were taken over from elsewhere.
    for window in windows:
        if window in left:
            left.remove(window)
        else:
            over.append(window)
    return over


def _json(windows: Sequence[HoursWindow]) -> list[dict[str, Any]]:
    return [window.model_dump(mode="json", by_alias=True, exclude_none=True) for window in windows]


def _seconds(wall_clock: str) -> int:
    hour, minute = wall_clock.split(":")
    return int(hour) * 3600 + int(minute) * 60
