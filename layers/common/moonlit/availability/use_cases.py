"""Ask who may be booked and what is free: for the widget's merged list, and for the booking that checks it again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from uuid import UUID

from moonlit.availability.hours import DAY, Span
from moonlit.availability.settings import PracticeRules
from moonlit.availability.slots import MINUTE, Bounds, Diary, Visit, days, local_date, local_day, merged_slots
from moonlit.availability.store import NOBODYS, Availability, Facts, Own, Service
from moonlit.errors import NotFound
from moonlit.payers.rules import Basis, Eligible, Excluded, Payer, Provider, Wish, eligible_providers


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


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A request with everything that does not depend on who has which time: the facts, and who may be booked.

    Attributes:
        eligible: Who may be booked on at least one day near those asked for.
        excluded: How many providers each filter removed.
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

    def basis_at(self, provider_id: UUID, start: datetime) -> Basis | None:
        """Return the ground on which the provider may be booked then; contracts count the practice's days."""
        day = local_date(int(start.timestamp()), self.facts.zone)
        return next((one.basis_on(day) for one in self.eligible if one.provider.id == provider_id), None)


def inquire(store: Availability, request: Request, now: datetime) -> Inquiry:
    """Return who may be booked, before anybody's time is read.

    Raises:
        NotFound: No such payer, no such active service, or no such provider.
    """
    facts = store.facts(request.payer_id, request.service_id)
    if facts.payer is None or facts.service is None:
        raise NotFound("no such payer" if facts.payer is None else "no such service")
    if not facts.providers.keys() >= set(request.provider_ids):
        raise NotFound("no such provider")
    rules = PracticeRules.model_validate(facts.settings)
    today = local_date(int(now.timestamp()), facts.zone)
    eligible, excluded = eligible_providers(
        facts.payer,
        facts.providers,
        facts.contracts,
        facts.supervision,
        Wish(request.state, facts.service.kind == "intake", request.language, request.interpreter),
        today=today,
        first=request.first - timedelta(days=1),  # The days asked for may be another zone's than the contracts'.
        last=request.last + timedelta(days=1),
    )
    return Inquiry(
        request=request,
        facts=facts,
        payer=facts.payer,
        service=facts.service,
        modality=request.modality or facts.service.modality,
        eligible=[one for one in eligible if not request.provider_ids or one.provider.id in request.provider_ids],
        excluded=excluded,
        bounds=_bounds(request, facts.service, facts.zone, rules, now),
        now=now,
    )


def free_slots(store: Availability, inquiry: Inquiry) -> dict[int, list[UUID]]:
    """Return each free start (epoch seconds), rising, with the ids of the providers who have it."""
    if not inquiry.eligible or inquiry.service.dose_required:  # Doses are not kept yet, so none can be promised.
        return {}
    diaries = _Reader(store, inquiry).diaries()
    return merged_slots(inquiry.eligible, diaries, _visit(inquiry.service), inquiry.bounds, inquiry.facts.zone)


def _bounds(request: Request, service: Service, practice_zone: str, rules: PracticeRules, now: datetime) -> Bounds:
    notice = rules.min_notice_minutes if service.min_notice_minutes is None else service.min_notice_minutes
    today = local_date(int(now.timestamp()), practice_zone)
    return Bounds(
        first=request.first,
        last=request.last,
        zone=request.zone or practice_zone,
        earliest=ceil(now.timestamp()) + notice * MINUTE,
        until=local_day(today + timedelta(days=rules.horizon_days), practice_zone)[1],
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
        """Return the diaries of everyone eligible and of the attendings who must join them."""
        inquiry, facts = self.inquiry, self.inquiry.facts
        attendings = {basis.attending_id for one in inquiry.eligible for basis in one.bases if basis.co_visit}
        needed = {one.provider.id for one in inquiry.eligible} | {one for one in attendings if one}
        providers = [facts.providers[provider_id] for provider_id in sorted(needed)]
        start, end = days(inquiry.bounds.first, inquiry.bounds.last, inquiry.zone)
        span = start - DAY, end + DAY  # Visits that begin late reach into the next day, buffers into the one before.
        hours, time_off = self.store.hours(needed, inquiry.modality, inquiry.request.location_id, span)
        busy, full = self._busy(providers, span), self._full_days(providers, span)
        return {
            provider.id: Diary(
                zone=facts.zones[provider.id],
                hours=hours.get(provider.id, []),
                busy=[*time_off.get(provider.id, []), *busy.get(provider.person_id, [])],
                full_days=full.get(provider.id, []),
                synced_until=local_day(provider.synced_through, facts.zone)[1] if provider.synced_through else 0,
            )
            for provider in providers
        }

    def _busy(self, providers: Sequence[Provider], span: Span) -> Mapping[UUID, list[Span]]:
        if self.inquiry.request.ignore_busy:
            return {}
        persons = {provider.person_id for provider in providers}
        return self.store.busy(persons, span, self.inquiry.now, self.inquiry.request.own)

    def _full_days(self, providers: Sequence[Provider], span: Span) -> dict[UUID, list[date]]:
        """Return by provider the local days on which the person has as many visits as the cap allows."""
        capped = defaultdict(list)
        for provider in providers:
            if provider.max_daily is not None and not self.inquiry.request.ignore_busy:
                capped[self.inquiry.facts.zones[provider.id]].append(provider)
        full: dict[UUID, list[date]] = {}
        for zone, colleagues in capped.items():
            persons = {provider.person_id for provider in colleagues}
            counts = self.store.visits_a_day(persons, zone, span, self.inquiry.now, self.inquiry.request.own)
            for provider in colleagues:
                full[provider.id] = [
                    day
                    for (person_id, day), count in counts.items()
                    if person_id == provider.person_id and count >= (provider.max_daily or 0)
                ]
        return full
