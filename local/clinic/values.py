"""The kinds of value that a clinic file holds: what each accepts, and the form it is written in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, Strict
from pydantic_core import PydanticCustomError

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _day_text(value: Any) -> Any:
    """Refuse what pydantic would read beside YYYY-MM-DD: seconds since 1970, and instants at midnight."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        return value
    raise PydanticCustomError("day", "is not a day written as YYYY-MM-DD")


def _instant_text(value: Any) -> Any:
    if isinstance(value, str) and _DAY.match(value):
        return value
    raise PydanticCustomError("instant", "is not an instant as of RFC 3339")


@cache
def _zones() -> set[str]:
    return available_timezones()


def _known_zone(value: str) -> str:
    if value not in _zones():
        raise PydanticCustomError("zone", "is not a time zone")
    return value


def _ehr(value: Any) -> Any:
    """IntakeQ and PracticeQ are one product; files name it either way, the database one way."""
    return "intakeq" if value == "practiceq" else value


# PostgreSQL stores no zero bytes; anything else is taken as it stands, stray blanks included.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(pattern=r"^[^\x00]*$", min_length=1)]
Zone = Annotated[str, AfterValidator(_known_zone)]
Day = Annotated[date, Strict(strict=False), BeforeValidator(_day_text), Field(ge=date(1850, 1, 1), lt=date(2200, 1, 1))]
Instant = Annotated[
    AwareDatetime,
    Strict(strict=False),
    BeforeValidator(_instant_text),
    Field(ge=datetime(1950, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC)),
]
WallClockStart = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
WallClockEnd = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
Minutes = Annotated[int, Field(ge=0, le=100_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Money = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2)]
Ehr = Annotated[Literal["intakeq", "athena"], BeforeValidator(_ehr)]
Modality = Literal["telehealth", "in_person"]
