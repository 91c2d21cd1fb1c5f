"""Where the practice sees patients."""

from __future__ import annotations

from moonlit.catalog.shelf import Kept, Kind
from moonlit.db.tables import locations
from moonlit.web.models import Line, Model, PosCode, VendorId, ZoneName


class LocationWanted(Model):
    """A location as somebody wants it, all of it; `athenaDepartmentId` says which department it is there."""

    name: Line
    address: Line | None = None
    timezone: ZoneName
    pos_code: PosCode
    athena_department_id: VendorId | None = None


class LocationKept(Kept):
    """A location."""

    name: str
    address: str | None
    timezone: str
    pos_code: str
    athena_department_id: str | None


class LocationPage(Model):
    """A page of locations by name."""

    items: list[LocationKept]
    next_cursor: str | None


LOCATIONS: Kind[LocationWanted, LocationKept] = Kind("location", locations, locations.c.name, LocationKept)
