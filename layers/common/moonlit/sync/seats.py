"""The seats of practitioners: under which provider each gives visits, in which place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.db.engine import sqlstate
from moonlit.db.tables import provider_athena_settings, provider_intakeq_settings
from moonlit.sync.errors import ProviderMapped
from moonlit.sync.systems import SEATS
from moonlit.web.models import Model

_UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True, slots=True)
class Seat:
    """A practitioner of an EHR, in a place where that EHR has a provider for each."""

    system: Literal["intakeq", "athena"]
    practitioner_id: str
    location_id: str | None = None

    def __str__(self) -> str:
        parts = (self.system, self.practitioner_id, self.location_id)
        return ":".join(part for part in parts if part is not None)

    @property
    def table(self) -> sa.Table:
        """Where seats of this EHR are kept."""
        return provider_intakeq_settings if self.system == "intakeq" else provider_athena_settings

    @property
    def columns(self) -> dict[str, Any]:
        """What a row is known by."""
        if self.system == "intakeq":
            return {"practitioner_id": self.practitioner_id}
        return {"athena_provider_id": self.practitioner_id, "department_id": self.location_id}


class SeatShown(Model):
    """A practitioner with who they are here, if anybody has said so.

    Visits without a provider wait for that; the time of all coming rows is taken from the provider's slots from then
    on.
    """

    practitioner_id: str
    system: Literal["intakeq", "athena"]
    location_id: str | None
    provider_id: UUID | None
    provider_name: str | None
    rows_waiting: int
    rows_coming: int


class SeatList(Model):
    """All practitioners, those whom nobody has mapped first; there is no second page."""

    items: list[SeatShown]
    next_cursor: None = None


class Seats:
    """The seats of one account as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection, account_id: UUID) -> None:
        self._connection = connection
        self._account_id = account_id

    def provider_of(self, seat: Seat) -> UUID | None:
        """Return who has the seat, locked; None for nobody."""
        query = sa.select(seat.table.c.provider_id).filter_by(**seat.columns).with_for_update()
        found: UUID | None = self._connection.execute(query).scalar_one_or_none()
        return found

    def has_another(self, provider_id: UUID, seat: Seat) -> bool:
        """Return whether the provider has some other seat in this EHR."""
        mine = seat.table.c.provider_id == provider_id
        return self._connection.execute(sa.select(seat.table).where(mine)).one_or_none() is not None

    def give(self, seat: Seat, before: UUID | None, provider_id: UUID) -> None:
        """Give the seat to the provider; what else is known of it stays.

        Raises:
            ProviderMapped: Somebody was faster, and gave the seat or the provider away.
        """
        new = sa.insert(seat.table).values(provider_id=provider_id, **seat.columns)
        moved = sa.update(seat.table).where(seat.table.c.provider_id == before).values(provider_id=provider_id)
        try:
            self._connection.execute(moved if before else new)
        except DBAPIError as error:
            if sqlstate(error) == _UNIQUE_VIOLATION:
                raise ProviderMapped(f"provider {provider_id}") from None
            raise

    def reopen(self, practitioner_id: str) -> None:
        """Have all rows of the practitioner applied again, in whichever place: a second seat may change the first."""
        self._execute(_REOPEN, practitioner_id=practitioner_id)

    def patients_waiting(self, practitioner_id: str, now: datetime) -> list[str]:
        """Return the patients with rows of the practitioner that are to be applied, the next visits first."""
        found = self._execute(_WAITING, practitioner_id=practitioner_id, now=now).scalar_one()
        return list(json.loads(found or "[]"))

    def _execute(self, statement: sa.TextClause, **values: Any) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, {"account_id": self._account_id, **values})


def everyone(connection: sa.Connection, now: datetime) -> SeatList:
    """Return every practitioner whom a calendar shows or somebody has mapped."""
    rows = connection.execute(_EVERYONE, {"now": now}).mappings()
    return SeatList(items=[SeatShown(**row) for row in rows])


_REOPEN = sa.text("""
    update appointment_external_ids x set applied_hash = null from ehr_appointments m
    where m.account_id = :account_id and m.practitioner_id = :practitioner_id
        and x.account_id = m.account_id and x.external_id = m.external_id and x.is_current
""")

_WAITING = sa.text("""
    select json_agg(patient_id order by next nulls last, patient_id)::text from (
        select a.patient_id, min(a."start") filter (where a."end" > :now) as next
        from ehr_appointments m
        join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id
        join appointments a on a.id = x.appointment_id
        where m.account_id = :account_id and m.practitioner_id = :practitioner_id and x.is_current
            and x.applied_hash is distinct from m.content_hash
        group by a.patient_id
    ) waiting
""")

_EVERYONE = sa.text(f"""
    with seen as (
        select e.system, m.practitioner_id, case when e.system = 'athena' then m.location_id end as location_id,
            count(*) filter (where m.status in ('scheduled', 'confirmed') and not m.deleted_in_ehr
                and upper(m.span) > :now) as coming,
            count(a.id) as waiting
        from ehr_appointments m
        join ehr_accounts e on e.id = m.account_id
        left join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id
            and x.is_current and upper(m.span) > :now
        left join appointments a on a.id = x.appointment_id and a.provider_id is null and a."end" > :now
            and a.status in ('pending', 'scheduled', 'confirmed')
        where m.practitioner_id is not null
        group by 1, 2, 3
    ), seats as {SEATS}
    select coalesce(seen.practitioner_id, s.practitioner_id) as practitioner_id,
        coalesce(seen.system, s.system) as system, coalesce(seen.location_id, s.location_id) as location_id,
        p.id as provider_id, p.name as provider_name, coalesce(seen.waiting, 0) as rows_waiting,
        coalesce(seen.coming, 0) as rows_coming
    from seen full join seats s on s.system = seen.system and s.practitioner_id = seen.practitioner_id
        and coalesce(s.location_id, '') = coalesce(seen.location_id, '')
    left join providers p on p.id = s.provider_id
    order by p.id is not null, 2 desc, 1, 3
""")
