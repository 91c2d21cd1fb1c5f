"""The JSON of the widget's questions and answers about availability."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from moonlit.payers.rules import Acceptance, Excluded, Via
from moonlit.web.malformed import in_query
from moonlit.web.models import Day, Flag, Language, Modality, Model, State

LONGEST_RANGE = timedelta(days=31)


class AcceptanceAnswer(Model):
    """Whether the payer's members are taken; `from` is the first bookable day when that lies ahead."""

    status: Acceptance
    from_: Annotated[date | None, Field(alias="from")]  # No name of Python's may be `from`.


class PayerAnswer(Model):
    """A payer as the widget shows it."""

    id: UUID
    name: str
    type: Literal["private", "medicaid", "self_pay"]
    acceptance: AcceptanceAnswer


class PayerList(Model):
    """A page of payers, by name."""

    items: list[PayerAnswer]
    next_cursor: str | None


class ServiceAnswer(Model):
    """A service that can be booked with a payer."""

    id: UUID
    name: str
    kind: str
    duration_minutes: int
    modality: Modality


class ServiceList(Model):
    """All services that can be booked with a payer, by name."""

    items: list[ServiceAnswer]
    next_cursor: None = None


class EligibilityRequest(Model):
    """Who asks: the patient's payer, the state they will be in, and what they wish for."""

    payer_id: UUID
    service_id: UUID | None = None
    state: State
    visit_date: Day | None = None
    language: Language | None = None
    interpreter: Flag = False
    modality: Modality | None = None


class Person(Model):
    """A provider by id and name."""

    id: UUID
    name: str


class EligibleProvider(Person):
    """A provider who may be booked, on which ground and from which day on."""

    languages: list[str]
    via: Via
    rendering_provider: Person | None
    bookable_from: date


class ExcludedAnswer(Model):
    """How many providers one filter removed."""

    reason: Excluded
    providers: int


class EligibilityAnswer(Model):
    """Who may be booked, and why others may not."""

    acceptance: AcceptanceAnswer
    providers: list[EligibleProvider]
    excluded: list[ExcludedAnswer]


class SlotAnswer(Model):
    """A free start and who has it."""

    start: AwareDatetime
    end: AwareDatetime
    duration_minutes: int
    provider_ids: list[UUID]
    modality: Modality
    location_id: UUID | None


class ProviderAnswer(Person):
    """A provider of the slot list."""

    languages: list[str]


class AvailabilityAnswer(Model):
    """The merged slot list, earliest first."""

    timezone: str
    as_of: AwareDatetime
    slots: list[SlotAnswer]
    providers: list[ProviderAnswer]
    excluded: list[ExcludedAnswer]


class Health(Model):
    """Whether this side and its database answer."""

    status: Literal["ok", "degraded"]
    version: str
    database: Literal["ok", "unreachable"]


def check_days(first: date, last: date) -> None:
    """Refuse a range that is the wrong way round or longer than a month.

    Raises:
        RequestValidationError: Answered as 422 with a pointer to the parameter.
    """
    if last < first:
        raise in_query("before_from", "to")
    if last - first >= LONGEST_RANGE:
        raise in_query("range_too_long", "to")
