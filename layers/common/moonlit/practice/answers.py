"""The practice's settings as staff see and write them."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from moonlit.practice.rules import Rules
from moonlit.web.models import Flag, Line, Model, PosCode, VendorId, ZoneName

System = Literal["intakeq", "athena"]
MOST_DEFAULTS = 50


class RulesBody(Rules, Model):
    """The practice's own rules (docs/settings.md); what is left out has its default."""

    model_config = ConfigDict(strict=True)  # The rest is as of every body; unknown rules are refused here.


class Mappings(Model):
    """What a default service is called in each EHR; null where it is not offered there."""

    intakeq: VendorId | None = None
    athena: VendorId | None = None


class DefaultServiceWanted(Model):
    """A service that every payer is to be given, at which place."""

    name: Line
    service_id: UUID
    location: Line
    pos_code: PosCode
    required: Flag
    mappings: Mappings


class LimitsWanted(Model):
    """How many requests an EHR lets through; `perDay` null: as many as there are minutes for."""

    system: System
    per_minute: Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
    per_day: Annotated[int, Field(gt=0, le=1_000_000_000, strict=True)] | None


class SettingsWanted(Model):
    """The settings as somebody wants them, all of them; an EHR account that is left out keeps its limits."""

    name: Line
    timezone: ZoneName
    settings: RulesBody
    default_services: Annotated[list[DefaultServiceWanted], Field(max_length=MOST_DEFAULTS)]
    ehr_limits: Annotated[list[LimitsWanted], Field(max_length=10)]


class MappingsShown(Model):
    """What a default service is called in each EHR."""

    intakeq: str | None = None
    athena: str | None = None


class DefaultServiceShown(Model):
    """A service that every payer is to be given, at which place."""

    name: str
    service_id: UUID
    location: str
    pos_code: str
    required: bool
    mappings: MappingsShown


class LimitsShown(Model):
    """How many requests an EHR lets through; `perDay` null: there is no daily cap."""

    system: System
    per_minute: int
    per_day: int | None


class SettingsShown(Model):
    """The practice's settings; of its rules every one, those by default too."""

    name: str
    timezone: str
    settings: RulesBody
    default_services: list[DefaultServiceShown]
    ehr_limits: list[LimitsShown]
