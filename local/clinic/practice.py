"""The practice itself, as a clinic file describes it: one object, not a row."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from local.clinic.row import STRICT
from local.clinic.values import Ehr, Name, Zone
from moonlit.practice.rules import Rules


class EhrLimits(BaseModel):
    """How many requests an EHR account allows; no daily cap when `per_day` is null."""

    model_config = STRICT
    per_minute: Annotated[int, Field(gt=0, le=1_000_000)]
    per_day: Annotated[int, Field(gt=0, le=1_000_000_000)] | None = None


class DefaultService(BaseModel):
    """A service that every payer is to be given, and what it is called in each EHR."""

    model_config = STRICT
    name: Name
    service_id: UUID
    location: Name
    pos_code: Name
    required: bool
    mappings: dict[Ehr, Name]


class PracticeSettings(Rules):
    """Settings of the practice; the known ones are checked, others are kept for whoever reads them."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue]


class Practice(BaseModel):
    """The practice itself. Settings that the file leaves out stay out, so that their defaults can change."""

    model_config = STRICT
    name: Name
    timezone: Zone
    ehr_limits: dict[Ehr, EhrLimits] | None = None
    settings: PracticeSettings = PracticeSettings()
    default_services: list[DefaultService] = []
