"""The practice's own rules of the calendar, as `practice_settings.settings` holds them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PracticeRules(BaseModel):
    """How soon, how far ahead and on which grid visits are offered; a service may ask for a longer notice."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    min_notice_minutes: int = Field(default=120, ge=0, le=100_000)
    horizon_days: int = Field(default=60, ge=0, le=3650)
    grid_minutes: int = Field(default=15, ge=5, le=1440, multiple_of=5)


class SlotRules(BaseModel):
    """How old the open slots of an EHR may get before they are read again."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    slots_minutes: int = Field(default=5, ge=1, le=1440)
