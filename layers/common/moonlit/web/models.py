"""What request and answer bodies are made of: camelCase outside, nothing unknown, no value echoed in an error."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

EARLIEST_YEAR, LATEST_YEAR = 1850, 2200


class Model(BaseModel):
    """A JSON object of the HTTP contract.

    `derived` names members that nobody changes by sending the object: an ETag is not of them.
    """

    derived: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        hide_input_in_errors=True,
        str_strip_whitespace=True,
        defer_build=True,  # One request uses few of a function's models: each is built when it is first used.
    )


class Named(Model):
    """Something by id and name."""

    id: UUID
    name: str


class Place(Model):
    """Where a visit is, as far as the EHR tells."""

    name: str | None
    kind: Literal["telehealth", "office", "home"] | None


def _text_only(value: Any) -> Any:
    # Pydantic would take a number for seconds or milliseconds since 1970.
    if isinstance(value, str) and value[:4].isdecimal() and not value.isdecimal():
        return value
    raise PydanticCustomError("date_text", "Input should be a date or an instant as text")


def _near[When: date](value: When) -> When:
    # Arithmetic with days and zones overflows at the ends of Python's calendar; nobody books there.
    if not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
        raise PydanticCustomError("out_of_range", "Input should be a year of this age")
    return value


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):  # OSError: the name of a folder of zones.
        raise PydanticCustomError("zone", "Input should be an IANA time zone") from None
    return name


def _true_or_false(value: Any) -> Any:
    # Pydantic would take "on", "1" and "t" too: who misspells a dry run must not get a real one, nor wonder.
    if value in (True, False, "true", "false"):
        return value
    raise PydanticCustomError("true_or_false", "Input should be true or false")


_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Instant = Annotated[AwareDatetime, BeforeValidator(_text_only, json_schema_input_type=str), AfterValidator(_near)]
"""RFC 3339 with an offset."""
Day = Annotated[date, BeforeValidator(_text_only, json_schema_input_type=str), AfterValidator(_near)]
"""yyyy-mm-dd."""
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PRINTABLE)]
"""One line of text."""
_WORD = r"[^@\s\x00-\x1f\x7f]+"
Email = Annotated[str, StringConstraints(max_length=254, pattern=rf"^{_WORD}@{_WORD}\.{_WORD}$")]
Phone = Annotated[str, StringConstraints(max_length=25, pattern=r"^\+?\(?[0-9](?:[ ().-]*[0-9]){6,14}$")]
State = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
"""A state of the US by its two letters."""
Language = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")]
"""ISO 639."""
ZoneName = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$"), AfterValidator(_known_zone)
]
"""An IANA time zone."""
Modality = Literal["telehealth", "in_person"]
Flag = StrictBool
Limit = Annotated[int, Field(ge=1, le=200)]
Cursor = Annotated[str, StringConstraints(max_length=400, pattern=r"^[A-Za-z0-9_=-]+$")]
"""Where a list goes on: the `nextCursor` of the page before."""
TrueOrFalse = Annotated[bool, BeforeValidator(_true_or_false, json_schema_input_type=bool)]
"""A flag of a query: `true` or `false`, and no other spelling."""
PosCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}$")]
"""A place of service, as Medicare numbers them."""
VendorId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""What an EHR calls one of its services, practitioners or places."""
