"""Providers as staff send and see them."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from moonlit.booking.stranding import Stranded
from moonlit.web.models import Flag, Language, Line, Model, State, ZoneName

System = Literal["intakeq", "athena"]


def _each_once[One](values: list[One]) -> list[One]:
    return sorted(set(values), key=str)


States = Annotated[list[State], Field(max_length=60), AfterValidator(_each_once)]
Languages = Annotated[list[Language], Field(max_length=60), AfterValidator(_each_once)]
Visits = Annotated[int, Field(strict=True, ge=1, le=100)]


class ProviderWanted(Model):
    """The whole state of a provider; what may be null and is left out is null.

    `personKey` is the same for all ids of one human: their time is one. Who is in both EHRs is two providers.
    """

    name: Line
    npi: Line | None = None
    license_states: States
    native_langs: Languages
    interpreter_ok: Flag
    active: Flag
    accepting_new_patients: Flag
    ehr_system: System
    timezone: ZoneName
    person_key: Line | None = None
    max_daily_appointments: Visits | None = None


class NewProvider(ProviderWanted):
    """A provider to be; active and taking new patients unless said otherwise."""

    license_states: States = Field(default_factory=list)
    native_langs: Languages = Field(default_factory=list)
    interpreter_ok: Flag = False
    active: Flag = True
    accepting_new_patients: Flag = True


class ProviderEhr(Model):
    """Where the provider's calendar is, as the practitioner mappings say; without a practitioner nobody has said so."""

    system: System
    practitioner_id: str | None
    practitioner_email: str | None
    location_id: str | None


class ProviderSummary(Model):
    """What stands behind a provider."""

    hours: int
    contracts: int


class Provider(Model):
    """A provider. Where their calendar is changes by the practitioner mappings alone."""

    derived = frozenset({"ehr", "summary"})

    id: UUID
    name: str
    npi: str | None
    license_states: list[str]
    native_langs: list[str]
    interpreter_ok: bool
    active: bool
    accepting_new_patients: bool
    ehr_system: System
    timezone: str
    person_key: str | None
    max_daily_appointments: int | None
    ehr: ProviderEhr
    summary: ProviderSummary


class ProviderList(Model):
    """A page of providers, by name."""

    items: list[Provider]
    next_cursor: str | None


class ProviderChanged(Provider):
    """A provider as a change makes them: which members it changes, and the visits that it strands."""

    derived = Provider.derived | {"dry_run", "changed", "stranded"}

    dry_run: bool
    changed: list[str]
    stranded: Stranded
