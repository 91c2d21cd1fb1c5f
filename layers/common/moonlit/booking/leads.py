"""People whose payer is not taken yet: kept, and told to staff."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.booking.callers import Callers, PublicLimits
from moonlit.booking.outbox import Outbox
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.tables import leads, payers, practice_settings
from moonlit.errors import NotFound


@dataclass(frozen=True, slots=True)
class Lead:
    """Somebody who would like to be a patient; `effective_date` is when their membership begins."""

    payer_id: UUID | None
    payer_name: str
    email: str
    first_name: str | None
    last_name: str | None
    phone: str | None
    state: str | None
    effective_date: date | None


class Leads:
    """The leads as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, lead: Lead, now: datetime) -> UUID:
        """Store the lead and return its id.

        Raises:
            NotFound: There is no such payer.
        """
        known = sa.select(sa.exists().where(payers.c.id == lead.payer_id))
        if lead.payer_id and not self._connection.execute(known).scalar_one():
            raise NotFound("no such payer")
        lead_id = uuid4()
        self._connection.execute(sa.insert(leads).values(**asdict(lead), id=lead_id, created_at=now, updated_at=now))
        return lead_id

    def limit(self) -> int:
        """Return how many leads one address may leave within an hour."""
        settings = self._connection.execute(sa.select(practice_settings.c.settings)).scalar_one()
        return PublicLimits.model_validate(settings).leads_per_address_hour


def leave(begin: Begin, clock: Clock, lead: Lead, caller: str) -> UUID:
    """Keep the lead, have staff told, and return its id.

    Raises:
        NotFound: There is no such payer.
        TooMany: The caller has left a lot of leads within the hour.
    """
    with begin() as connection:
        now, store = clock.now(), Leads(connection)
        lead_id = store.add(lead, now)
        Outbox(connection).add("lead_created", lead_id, now, leadId=str(lead_id))
        Callers(connection).use("lead", caller, store.limit(), now)
    return lead_id
