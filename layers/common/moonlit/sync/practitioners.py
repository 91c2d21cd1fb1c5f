"""Who the practitioners of the EHRs are here: seen in their calendars, and mapped to providers by people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import batched
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.db.tables import providers
from moonlit.errors import NotFound
from moonlit.observability import logger
from moonlit.sync.at_once import AtOnce
from moonlit.sync.errors import ProviderMapped, SyncContended, WrongEhrSystem
from moonlit.sync.runs import Runs
from moonlit.sync.seats import Seat, Seats
from moonlit.web.models import Model, VendorId

MOST_PATIENTS = 200  # The rest is left to the next run, or to the same request once more.
_BATCH_PATIENTS = 50
_SECONDS_KEPT = 10.0


class MappingWanted(Model):
    """Who a practitioner is; `locationId` is the department, where an EHR has a provider for each."""

    practitioner_id: VendorId
    provider_id: UUID
    system: Literal["intakeq", "athena"] = "intakeq"
    location_id: VendorId | None = None

    @model_validator(mode="after")
    def _has_its_place(self) -> MappingWanted:
        if (self.system == "athena") != (self.location_id is not None):
            raise PydanticCustomError("location", "A department goes with athena, and with nobody else")
        return self


class MappingKept(Model):
    """A mapping as it stands, and whose visits follow it already."""

    practitioner_id: str
    provider_id: UUID
    system: Literal["intakeq", "athena"]
    location_id: str | None
    patients_applied: int
    patients_waiting: int


@dataclass(frozen=True, slots=True)
class Practitioners:
    """The mappings; `time_left` is the seconds until this process is stopped."""

    begin: Begin
    clock: Clock
    time_left: Callable[[], float]

    def map(self, wanted: MappingWanted, actor: Actor) -> MappingKept:
        """Keep the mapping and bring the practitioner's visits up to date, those that come next first.

        What is left over is done by the next run, or by the same request once more.

        Raises:
            NotFound: There is no such provider, or no account of that EHR.
            WrongEhrSystem: The provider's calendar is elsewhere.
            ProviderMapped: The provider is another practitioner; that one has to be mapped to somebody else first.
            SyncContended: Others were at the same mapping, twice in a row.
        """
        seat = Seat(wanted.system, wanted.practitioner_id, wanted.location_id)
        patients = retried_once(
            lambda: self._map(seat, wanted.provider_id, actor), SyncContended(f"provider {wanted.provider_id}")
        )
        applied = self.apply(seat, patients[:MOST_PATIENTS], actor)
        logger.info(
            "practitioner_mapped",
            system=seat.system,
            provider_id=str(wanted.provider_id),
            patients_applied=applied,
            patients_waiting=len(patients) - applied,
        )
        return MappingKept(
            practitioner_id=seat.practitioner_id,
            provider_id=wanted.provider_id,
            system=wanted.system,
            location_id=seat.location_id,
            patients_applied=applied,
            patients_waiting=len(patients) - applied,
        )

    def _map(self, seat: Seat, provider_id: UUID, actor: Actor) -> list[str]:
        """Return the patients whose visits have to follow."""
        now = self.clock.now()
        with self.begin() as connection:
            account = Runs(connection).account(system=seat.system)
            # Shared: where the calendar is stays so until the mapping is there to say it.
            where = sa.select(providers.c.ehr_system).where(providers.c.id == provider_id).with_for_update(read=True)
            system = connection.scalar(where)
            if system is None:
                raise NotFound(f"provider {provider_id}")
            if system != seat.system:
                raise WrongEhrSystem(f"provider {provider_id} is in {system}")
            seats = Seats(connection, account.id)
            before = seats.provider_of(seat)
            if before != provider_id:
                if seats.has_another(provider_id, seat):
                    raise ProviderMapped(f"provider {provider_id}")
                seats.give(seat, before, provider_id)
                seats.reopen(seat.practitioner_id)
                Audit(connection, actor, now).changed(
                    "map",
                    "practitioner",
                    seat,
                    before={"providerId": before and str(before)},
                    after={"providerId": str(provider_id)},
                )
            return seats.patients_waiting(seat.practitioner_id, now)

    def apply(self, seat: Seat, patients: list[str], actor: Actor) -> int:
        """Bring patients up to date as far as time reaches, and return how many of them that were."""
        applied = 0
        at_once, reference = AtOnce(self.begin, self.clock), {"practitionerId": seat.practitioner_id}
        for batch in batched(patients, _BATCH_PATIENTS, strict=False):
            if self.time_left() < _SECONDS_KEPT:
                break
            at_once.apply(seat.system, batch, actor.reference, reference)
            applied += len(batch)
        return applied
