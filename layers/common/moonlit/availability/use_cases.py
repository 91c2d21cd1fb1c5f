"""Ask who may be booked and what is free: for the widget's merged list, and for the booking that checks it again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from uuid import UUID

from moonlit.availability.hours import Span
from moonlit.availability.settings import PracticeRules
from moonlit.availability.slots import (
    MINUTE,
    ZONES_APART,
    Bounds,
    Diary,
    OpenSlot,
    Visit,
    days,
    local_date,
    local_day,
    merged_slots,
)
from moonlit.availability.store import NOBODYS, Availability, Facts, Own, Service
from moonlit.errors import NotFound
from moonlit.payers.rules import (
    Basis,
    Eligible,
    Excluded,
    Payer,
    Provider,
    Standing,
    Wish,
    eligible_providers,
    standings,
)

_LONGEST_DAY = 26 * 3600  # Clocks go back by two hours at most.


@dataclass(frozen=True, slots=True)
class Request:
    """What a patient looks for.

    Attributes:
        first: First day, in `zone`.
        last: Last day, inclusive.
        zone: The zone of the days and of the answer; None for the practice's.
        provider_ids: Only these providers; empty for all.
        own: The caller's own hold and visit.
        ignore_busy: Leave other visits and caps out, to tell a slot that is taken from a time that never was one.
        notice_free: Staff need not give notice.
        returning: The patient is the providers' already, so that nobody is asked whether they take new ones.
        with_room: Leave out when no room is free, if the service needs one. Booking does not ask for that: it takes the
            room itself, and can say that it is the room that is missing.
    """

    payer_id: UUID
    service_id: UUID
    state: str | None
    first: date
    last: date
    zone: str | None = None
    provider_ids: Collection[UUID] = ()
    language: str | None = None
    interpreter: bool = False
    modality: str | None = None
    location_id: UUID | None = None
    own: Own = NOBODYS
    ignore_busy: bool = False
    notice_free: bool = False
    returning: bool = False
    with_room: bool = False


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A request with everything that does not depend on who has which time: the facts, and who may be booked.

    Attributes:
        eligible: Who may be booked on at least one of the practice's days in the time that is asked for.
        excluded: How many of the providers who were asked for each filter removed.
    """

    request: Request
    facts: Facts
    payer: Payer
    service: Service
    modality: str
    eligible: Sequence[Eligible]
    excluded: Counter[Excluded]
    bounds: Bounds
    now: datetime

    @property
    def zone(self) -> str:
        """Return the zone in which the days were asked for."""
        return self.bounds.zone

    @property
    def involved(self) -> list[UUID]:
        """Return whose time decides: of everyone eligible and of the attendings who must join them."""
        joining = {basis.attending_id for one in self.eligible for basis in one.bases if basis.co_visit}
        return sorted({one.provider.id for one in self.eligible} | {one for one in joining if one})

    @property
    def as_of(self) -> datetime:
        """Return the instant for which the answer holds: open slots are as old as the last reading of them."""
        read_at = (self.facts.slots_read_at.get(provider_id) for provider_id in self.involved)
        return min([self.now, *(instant for instant in read_at if instant)])

    def basis_at(self, provider_id: UUID, start: datetime) -> Basis | None:
        """Return the ground on which the provider may be booked then; contracts count the practice's days."""
        day = local_date(int(start.timestamp()), self.facts.zone)
        return next((one.basis_on(day) for one in self.eligible if one.provider.id == provider_id), None)


def inquire(store: Availability, request: Request, now: datetime) -> Inquiry:
    """Return who may be booked, before anybody's time is read.

    Raises:
        NotFound: No such payer, no such active service, or no such provider.
    """
    facts, payer, service = _known(store, request, now)
    bounds = _bounds(request, service, facts, now)
    start, end = days(bounds.first, bounds.last, bounds.zone)
    eligible, excluded = eligible_providers(
        facts.roster(payer),
        _wish(request, service),
        today=local_date(int(now.timestamp()), facts.zone),
        first=local_date(start, facts.zone),
        last=local_date(end - 1, facts.zone),
        only=request.provider_ids,
    )
    return Inquiry(
        request=request,
        facts=facts,
        payer=payer,
        service=service,
        modality=request.modality or service.modality,
        eligible=eligible,
        excluded=excluded,
        bounds=bounds,
        now=now,
    )


def why_not(store: Availability, request: Request, now: datetime) -> list[Standing]:
    """Return for each provider the grounds on which the practice would book them, or what stands against it, by id.

    The filters are those of every other answer. What is left after them is a matter of time: see `free_slots`.

    Raises:
        NotFound: No such payer, no such active service, or no such provider.
    """
    facts, payer, service = _known(store, request, now)
    return standings(
        facts.roster(payer),
        _wish(request, service),
        today=local_date(int(now.timestamp()), facts.zone),
        first=request.first,
        last=request.last,
        only=request.provider_ids,
    )


def free_slots(store: Availability, inquiry: Inquiry) -> dict[int, list[UUID]]:
    """Return each free start (epoch seconds), rising, with the ids of the providers who have it."""
    if not inquiry.eligible or inquiry.service.dose_required:  # Doses are not kept yet, so none can be promised.
        return {}
    reader = _Reader(store, inquiry)
    visit, zone = _visit(inquiry.service), inquiry.facts.zone
    return merged_slots(inquiry.eligible, reader.diaries(), visit, inquiry.bounds, zone, rooms=reader.rooms())


def _known(store: Availability, request: Request, now: datetime) -> tuple[Facts, Payer, Service]:
    facts = store.facts(request.payer_id, request.service_id, now)
    if facts.payer is None or facts.service is None:
        raise NotFound("no such payer" if facts.payer is None else "no such service")
    if not facts.providers.keys() >= set(request.provider_ids):
        raise NotFound("no such provider")
    return facts, facts.payer, facts.service


def _wish(request: Request, service: Service) -> Wish:
    is_new = service.kind == "intake" and not request.returning
    return Wish(request.state, is_new, request.language, request.interpreter, request.modality)


def _bounds(request: Request, service: Service, facts: Facts, now: datetime) -> Bounds:
    rules = PracticeRules.model_validate(facts.settings)
    notice = rules.min_notice_minutes if service.min_notice_minutes is None else service.min_notice_minutes
    today = local_date(int(now.timestamp()), facts.zone)
    return Bounds(
        first=request.first,
        last=request.last,
        zone=request.zone or facts.zone,
        earliest=ceil(now.timestamp()) + (0 if request.notice_free else notice * MINUTE),
        until=local_day(today + timedelta(days=rules.horizon_days), facts.zone)[1],
        grid=rules.grid_minutes * MINUTE,
    )


def _visit(service: Service) -> Visit:
    return Visit(
        service.duration_minutes * MINUTE,
        service.buffer_before_minutes * MINUTE,
        service.buffer_after_minutes * MINUTE,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the diaries that one inquiry needs."""

    store: Availability
    inquiry: Inquiry

    def diaries(self) -> dict[UUID, Diary]:
        """Return the diaries of everyone whose time decides."""
        inquiry, facts, span = self.inquiry, self.inquiry.facts, self._span
        providers = [facts.providers[provider_id] for provider_id in inquiry.involved]
        hours, time_off = self.store.hours(inquiry.involved, inquiry.modality, inquiry.request.location_id, span)
        busy, full, open_slots = self._busy(providers), self._full_days(providers), self._open_slots()
        return {
            provider.id: Diary(
                zone=facts.zones[provider.id],
                hours=hours.get(provider.id, []),
                busy=[*time_off.get(provider.id, []), *busy.get(provider.person_id, [])],
                full_days=full.get(provider.id, []),
                synced_until=local_day(provider.synced_through, facts.zone)[1] if provider.synced_through else 0,
                open_slots=open_slots.get(provider.id),
            )
            for provider in providers
        }

    def rooms(self) -> Sequence[Sequence[Span]] | None:
        """Return when each room is taken, None when the visit may start without one."""
        inquiry, request = self.inquiry, self.inquiry.request
        if not (request.with_room and inquiry.service.room_required) or request.ignore_busy:
            return None
        return self.store.rooms(request.location_id, self._span, inquiry.now, request.own)

    @property
    def _span(self) -> Span:
        # Visits that begin late reach into the next day, buffers into the one before; caps count whole days.
        start, end = days(self.inquiry.bounds.first, self.inquiry.bounds.last, self.inquiry.zone)
        visit = _visit(self.inquiry.service)
        return start - max(_LONGEST_DAY, visit.before), end + max(_LONGEST_DAY, visit.length + visit.after)

    def _open_slots(self) -> Mapping[UUID, Sequence[OpenSlot]]:
        """Return the open slots by provider; who is booked elsewhere in the calendar is not among them."""
        inquiry, facts = self.inquiry, self.inquiry.facts
        ids = [provider_id for provider_id in inquiry.involved if provider_id in facts.slots_read_at]
        if not ids:
            return {}
        wanted = {facts.mappings[provider_id].external_id for provider_id in ids if provider_id in facts.mappings}
        found = self.store.open_slots(ids, wanted, inquiry.request.location_id, self._span, inquiry.now)
        return {provider_id: found.get(provider_id, []) for provider_id in ids}

    def _busy(self, providers: Sequence[Provider]) -> Mapping[UUID, list[Span]]:
        if self.inquiry.request.ignore_busy:
            return {}
        persons = {provider.person_id for provider in providers}
        return self.store.busy(persons, self._span, self.inquiry.now, self.inquiry.request.own)

    def _full_days(self, providers: Sequence[Provider]) -> dict[UUID, list[date]]:
        """Return by provider the local days on which the person has as many visits as the cap allows."""
        capped = defaultdict(list)
        for provider in providers:
            if provider.max_daily is not None and not self.inquiry.request.ignore_busy:
                capped[self.inquiry.facts.zones[provider.id]].append(provider)
        full: dict[UUID, list[date]] = {}
        for zone, colleagues in capped.items():
            persons = {provider.person_id for provider in colleagues}
            counts = self.store.visits_a_day(persons, zone, self._span, self.inquiry.now, self.inquiry.request.own)
            for one in colleagues:
                full[one.id] = [
                    day for day in self._local_days if counts.get((one.person_id, day), 0) >= (one.max_daily or 0)
                ]
        return full

    @property
    def _local_days(self) -> list[date]:
        first, last = self.inquiry.bounds.first - ZONES_APART, self.inquiry.bounds.last + ZONES_APART
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]
