"""What an EHR account has set up: the services, practitioners and places that our mappings name by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from moonlit.ehr.port import Lane


@dataclass(frozen=True, slots=True)
class EhrService:
    """A service as the EHR knows it; the length is None where the EHR does not say."""

    external_id: str
    name: str | None
    duration_minutes: int | None


@dataclass(frozen=True, slots=True)
class EhrPractitioner:
    """Somebody with a calendar in the EHR; one who is not active any more cannot be booked."""

    external_id: str
    name: str | None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class EhrLocation:
    """A place, or a department."""

    external_id: str
    name: str | None


@dataclass(frozen=True, slots=True)
class EhrSettings:
    """All that an account has set up.

    Attributes:
        services: None where the EHR tells them by seat alone, and none of the seats is known to it.
    """

    services: Sequence[EhrService] | None
    practitioners: Sequence[EhrPractitioner]
    locations: Sequence[EhrLocation]


@runtime_checkable
class EhrCatalog(Protocol):
    """An account that tells what it has set up."""

    def catalog(self, seats: Sequence[tuple[str, str]], lane: Lane) -> EhrSettings:
        """Return the account's settings as they are now, not as this process may remember them.

        Takes one or more requests from the budget and may raise any EhrError, never EhrOutcomeUnknown.

        Args:
            seats: Practitioners with their locations, whose services are looked for where an EHR has some for each.
            lane: Whose requests these are.
        """
        ...
