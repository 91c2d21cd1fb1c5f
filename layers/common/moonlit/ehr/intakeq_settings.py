"""IntakeQ's settings, and its list of practitioners, read into the port's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import AliasChoices, Field, ValidationError

from moonlit.ehr.catalog import EhrLocation, EhrPractitioner, EhrService, EhrSettings
from moonlit.ehr.port import EhrRefused
from moonlit.ehr.rows import VendorRow, refuse_unstorable


class _Listed(VendorRow):
    external_id: str = Field(alias="Id", min_length=1)
    name: str | None = Field(default=None, validation_alias=AliasChoices("Name", "CompleteName"))
    duration: Any = Field(default=None, alias="Duration")


def settings_read(settings: Any, practitioners: Any) -> EhrSettings:
    """Read both answers. The settings show those who can be booked; who is in the longer list alone is inactive.

    Raises:
        EhrRefused: `unreadable`: what is left out here would be taken for something that the EHR does not know.
    """
    if not isinstance(settings, Mapping) or not isinstance(practitioners, list):
        raise EhrRefused("unreadable")
    places = settings.get("Locations", settings.get("Locatons"))  # The vendor's own sample misspells it.
    bookable = {each.external_id: each for each in _rows(settings.get("Practitioners"))}
    everybody = {each.external_id: each for each in _rows(practitioners)} | bookable
    return EhrSettings(
        services=[EhrService(each.external_id, each.name, _minutes(each)) for each in _rows(settings.get("Services"))],
        practitioners=[
            EhrPractitioner(each.external_id, each.name, each.external_id in bookable) for each in everybody.values()
        ],
        locations=[EhrLocation(each.external_id, each.name) for each in _rows(places)],
    )


def _rows(rows: Any) -> Iterator[_Listed]:
    if not isinstance(rows, list):
        raise EhrRefused("unreadable")
    for row in rows:
        try:
            refuse_unstorable(row)
            yield _Listed.model_validate(row)
        except (ValidationError, TypeError, ValueError):
            raise EhrRefused("unreadable") from None


def _minutes(row: _Listed) -> int | None:
    """Return a length in minutes; one that makes no sense is as good as none."""
    return int(row.duration) if isinstance(row.duration, int | float) and row.duration > 0 else None
