"""The leads as staff see them, and how far somebody has got with each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.audit.store import Audit
from moonlit.booking.errors import LeadStatusRefused
from moonlit.db.days import between
from moonlit.db.paging import by_instant
from moonlit.db.tables import leads
from moonlit.errors import NotFound
from moonlit.web.etags import expect
from moonlit.web.models import Model

LeadStatus = Literal["pending", "contacted", "converted"]
STEPS: tuple[str, ...] = get_args(LeadStatus)


class LeadShown(Model):
    """Somebody whose payer was not taken; `payerId` null: a payer that the practice does not know."""

    lead_id: UUID
    payer_id: UUID | None
    payer_name: str
    email: str
    first_name: str | None
    last_name: str | None
    phone: str | None
    state: str | None
    effective_date: date | None
    status: LeadStatus
    created_at: datetime
    updated_at: datetime


class LeadPage(Model):
    """A page of leads, the newest first."""

    items: list[LeadShown]
    next_cursor: str | None

    def lead_ids(self) -> list[UUID]:
        """Return the people who are shown."""
        return [item.lead_id for item in self.items]


class LeadStep(Model):
    """How far somebody has got with a lead."""

    status: LeadStatus


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """Which leads: of a status, and left on the practice's days `first` to `last`, each None for any."""

    status: str | None = None
    first: date | None = None
    last: date | None = None


class LeadList:
    """The leads as one transaction shows them, instants in `zone`. It never commits."""

    def __init__(self, connection: sa.Connection, zone: ZoneInfo) -> None:
        self._connection = connection
        self._zone = zone

    def page(self, wanted: LeadFilter, *, limit: int, after: str | None) -> LeadPage:
        """Return a page of leads; `after` is the cursor of the page before.

        Raises:
            RequestValidationError: `after` is no cursor of this list, or the last day lies before the first.
        """
        at = leads.c.created_at
        query = sa.select(leads).where(*between(at, wanted.first, wanted.last, self._zone))
        if wanted.status:
            query = query.where(leads.c.status == wanted.status)
        found = by_instant(self._connection, query, at, leads.c.id, limit=limit, after=after, newest_first=True)
        return LeadPage(items=[self._shown(row) for row in found.rows], next_cursor=found.next_cursor)

    def show(self, lead_id: UUID, *, lock: bool = False) -> LeadShown:
        """Return one lead.

        Raises:
            NotFound: There is none with this id.
        """
        query = sa.select(leads).where(leads.c.id == lead_id)
        row = self._connection.execute(query.with_for_update() if lock else query).mappings().first()
        if row is None:
            raise NotFound(f"lead {lead_id}")
        return self._shown(row)

    def follow(self, lead_id: UUID, wanted: LeadStep, if_match: str | None, audit: Audit) -> LeadShown:
        """Take a lead to where somebody has got with it; steps may be left out, and none is taken back.

        Raises:
            NotFound: There is none with this id.
            StaleEtag: The change was made from another state.
            LeadStatusRefused: The lead is further already.
        """
        before = self.show(lead_id, lock=True)
        expect(if_match, before)
        if STEPS.index(wanted.status) < STEPS.index(before.status):
            raise LeadStatusRefused(f"lead {lead_id} is {before.status}")
        if wanted.status == before.status:
            return before
        update = sa.update(leads).where(leads.c.id == lead_id).values(status=wanted.status, updated_at=audit.now)
        self._connection.execute(update)
        audit.changed("follow", "lead", lead_id, before={"status": before.status}, after={"status": wanted.status})
        return self.show(lead_id)

    def _shown(self, row: sa.RowMapping) -> LeadShown:
        times = {name: row[name].astimezone(self._zone) for name in ("created_at", "updated_at")}
        return LeadShown(lead_id=row["id"], **{name: value for name, value in row.items() if name != "id"} | times)
