"""Why a payer's members can or cannot be booked: for each service, and for each provider.

The facts and the filters are those of the widget and of booking. What is left after them is a matter of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.answers import AcceptanceAnswer
from moonlit.availability.slots import local_date
from moonlit.availability.store import Availability, Facts
from moonlit.availability.widget import LOOK_AHEAD
from moonlit.contracting.overview import Missing as PayerMissing
from moonlit.contracting.overview import standing
from moonlit.contracting.services import OfferedService, services_of
from moonlit.errors import NotFound
from moonlit.payers.rules import Eligible, Excluded, Payer, Standing, Via, Wish, standings
from moonlit.payers.store import Payers
from moonlit.provisioning.readiness import NOT_READY, readiness
from moonlit.web.models import Model

type Missing = Literal["inactive_service", "dose", "instance", "mapping"]


class MappingShown(Model):
    """What the service is in an EHR for this payer, and the live instance that says so."""

    system: Literal["intakeq", "athena"]
    external_id: str
    service_instance_id: UUID


class ProviderShown(Model):
    """A provider who can be booked, from which day on and on what ground, or why not.

    `reason` is null where nothing stands against the provider, but the service cannot be booked at all.
    """

    id: UUID
    name: str
    bookable: bool
    via: Via | None
    rendering_provider_id: UUID | None
    reason: Excluded | None
    bookable_from: date | None


class ServiceShown(Model):
    """A service that the payer has, or should have, with what is missing so that anybody can be booked."""

    service_id: UUID
    name: str
    service_instance_id: UUID | None
    mappings: list[MappingShown]
    missing: list[Missing]
    providers: list[ProviderShown]


class WhyNot(Model):
    """A payer's services and everybody who might give them, on a day, or on any of the next two months."""

    payer_id: UUID
    name: str
    state: str | None
    visit_date: date | None
    acceptance: AcceptanceAnswer
    service_ready: bool
    bookable: bool
    missing: list[PayerMissing]
    services: list[ServiceShown]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; without `state` every licence will do, without `visit_date` any day of the next two months."""

    payer_id: UUID
    state: str | None = None
    visit_date: date | None = None
    service_id: UUID | None = None


def answer(connection: sa.Connection, asked: Question, now: datetime) -> WhyNot:
    """Return what stands in the way, by service and provider; with a service in the question, for that one alone.

    Raises:
        NotFound: There is no such payer, or no such service.
    """
    availability = Availability(connection)
    of_payer = availability.facts(asked.payer_id, None, now)
    payer, today = of_payer.payer, local_date(int(now.timestamp()), of_payer.zone)
    if payer is None:
        raise NotFound("no such payer")
    services = services_of(connection, payer.id, asked.service_id)
    if asked.service_id and not services:
        raise NotFound("no such service")
    status, begins = of_payer.roster(payer).acceptance(today)
    intake, contracts = readiness(connection, [payer.id]), Payers(connection).contracts([payer.id])
    payer_standing = standing(payer, contracts.get(payer.id, []), intake.get(payer.id, NOT_READY), today)
    return WhyNot(
        payer_id=payer.id,
        name=payer.name.strip(),
        state=asked.state,
        visit_date=asked.visit_date,
        acceptance=AcceptanceAnswer(status=status, from_=begins),
        service_ready=payer_standing.service_ready,
        bookable=payer_standing.bookable,
        missing=payer_standing.missing,
        services=[_service(each, availability.facts(payer.id, each.id, now), payer, asked, today) for each in services],
    )


def _service(service: OfferedService, facts: Facts, payer: Payer, asked: Question, today: date) -> ServiceShown:
    """Return how a service and everybody who might give it stand; `facts` are of this service."""
    missing = list(_missing(service))
    barred = bool({"inactive_service", "dose"}.intersection(missing))
    first, last = asked.visit_date or today, asked.visit_date or today + LOOK_AHEAD
    wish = Wish(asked.state, is_intake=service.kind == "intake")
    found = standings(facts.roster(payer), wish, today=today, first=first, last=last)
    return ServiceShown(
        service_id=service.id,
        name=service.name,
        service_instance_id=service.instance_id,
        mappings=[MappingShown(**asdict(mapping)) for mapping in service.mappings],
        missing=missing,
        providers=[_provider(one, first, barred=barred) for one in found],
    )


def _missing(service: OfferedService) -> Iterator[Missing]:
    if not service.is_active:
        yield "inactive_service"
    if service.dose_required:  # Doses are not kept yet, so none can be promised.
        yield "dose"
    if service.instance_id is None:
        yield "instance"
    elif not service.mappings:
        yield "mapping"


def _provider(one: Standing, first: date, *, barred: bool) -> ProviderShown:
    bookable = one.reason is None and not barred
    eligible = Eligible(one.provider, one.bases)
    basis = (eligible.basis_on(first) or min(one.bases, key=lambda basis: basis.first)) if bookable else None
    return ProviderShown(
        id=one.provider.id,
        name=one.provider.name.strip(),
        bookable=bookable,
        via=basis.via if basis else None,
        rendering_provider_id=basis.attending_id if basis else None,
        reason=one.reason,
        bookable_from=max(first, basis.first) if basis else None,
    )
