"""Partner organizations as staff keep them: who closes one keeps its people out from their next request on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import Field

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.people.organization_store import OrganizationStore
from moonlit.people.trail import changed_members, members_of, told
from moonlit.web.etags import expect
from moonlit.web.models import Flag, Line, Model

Days = Annotated[int, Field(strict=True, ge=0, le=730)]


class OrganizationWanted(Model):
    """The whole state of an organization: how far its patients' visits are synced, null as the practice says."""

    name: Line
    active: Flag
    sync_days_back: Days | None = None
    sync_days_ahead: Days | None = None


class NewOrganization(OrganizationWanted):
    """An organization to be; open unless said otherwise."""

    active: Flag = True


class Organization(Model):
    """An organization, with how many patients it looks after and when all of them were last brought up to date."""

    derived = frozenset({"patients_active", "last_synced_at"})

    id: UUID
    name: str
    active: bool
    sync_days_back: int | None
    sync_days_ahead: int | None
    patients_active: int
    last_synced_at: datetime | None


class OrganizationList(Model):
    """A page of organizations, by name."""

    items: list[Organization]
    next_cursor: str | None


MEMBERS = members_of(OrganizationWanted)


def page(connection: sa.Connection, zone: ZoneInfo, *, limit: int, after: str | None) -> OrganizationList:
    """Return a page of organizations, by name; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    found = OrganizationStore(connection).page(limit=limit, after=after)
    return OrganizationList(items=[_shown(row, zone) for row in found.rows], next_cursor=found.next_cursor)


def shown(connection: sa.Connection, organization_id: UUID, zone: ZoneInfo) -> Organization:
    """Return an organization.

    Raises:
        NotFound: There is none.
    """
    return _shown(OrganizationStore(connection).get(organization_id), zone)


@dataclass(frozen=True, slots=True)
class Organizations:
    """The organizations, as staff keep them; instants are shown in `zone`."""

    begin: Begin
    clock: Clock
    zone: ZoneInfo

    def add(self, wanted: NewOrganization, actor: Actor) -> Organization:
        """Store an organization."""
        organization_id = uuid4()
        with self.begin() as connection:
            OrganizationStore(connection).add(organization_id, dict(wanted))
            added = shown(connection, organization_id, self.zone)
            audit = Audit(connection, actor, self.clock.now())
            audit.changed("create", "organization", organization_id, after=told(added, MEMBERS))
        return added

    def change(
        self, organization_id: UUID, wanted: OrganizationWanted, if_match: str | None, actor: Actor
    ) -> Organization:
        """Make the organization what is wanted.

        Raises:
            NotFound: There is none.
            StaleEtag: Somebody has changed it since.
        """
        with self.begin() as connection:
            store = OrganizationStore(connection)
            before = _shown(store.get(organization_id, lock=True), self.zone)
            expect(if_match, before)
            after = before.model_copy(update=dict(wanted))
            changed = changed_members(before, after, MEMBERS)
            if changed:
                store.set(organization_id, dict(wanted))
                Audit(connection, actor, self.clock.now()).changed(
                    "update", "organization", organization_id, before=told(before, changed), after=told(after, changed)
                )
        return after


def _shown(row: sa.RowMapping, zone: ZoneInfo) -> Organization:
    last: datetime | None = row["last_practiceq_sync_at"]
    own = {name: row[name] for name in ("id", *OrganizationWanted.model_fields, "patients_active")}
    return Organization(**own, last_synced_at=last and last.astimezone(zone))
