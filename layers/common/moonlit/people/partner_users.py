"""People of partner organizations as staff keep them: where they belong, what they may do, and how they sign in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa
from pydantic import StringConstraints

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.people.errors import PeopleContended
from moonlit.people.organization_store import OrganizationStore, PartnerUserStore
from moonlit.people.trail import changed_members, members_of, told
from moonlit.web.etags import expect
from moonlit.web.malformed import in_body
from moonlit.web.models import Email, Line, Model

Sub = Annotated[str, StringConstraints(max_length=200, pattern=r"^[\x21-\x7e]+$")]


class PartnerUserWanted(Model):
    """The whole state of somebody: `identitySub` is what the sign-in calls them, and with null they may not sign in."""

    organization_id: UUID
    email: Annotated[Email, StringConstraints(to_lower=True)]
    name: Line
    role: Literal["partner_admin", "case_manager"]
    identity_sub: Sub | None = None


class PartnerUser(Model):
    """Somebody of an organization; `active` when they may sign in, and their organization is open."""

    id: UUID
    organization_id: UUID
    email: str
    name: str
    role: Literal["partner_admin", "case_manager"]
    identity_sub: str | None
    active: bool


class PartnerUserList(Model):
    """A page of people, by name."""

    items: list[PartnerUser]
    next_cursor: str | None


MEMBERS = members_of(PartnerUserWanted)


def page(connection: sa.Connection, organization_id: UUID | None, *, limit: int, after: str | None) -> PartnerUserList:
    """Return a page of people, by name: of one organization, or of all; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    found = PartnerUserStore(connection).page(organization_id, limit=limit, after=after)
    return PartnerUserList(items=[_shown(row) for row in found.rows], next_cursor=found.next_cursor)


def shown(connection: sa.Connection, user_id: UUID) -> PartnerUser:
    """Return somebody.

    Raises:
        NotFound: There is none.
    """
    return _shown(PartnerUserStore(connection).get(user_id))


@dataclass(frozen=True, slots=True)
class PartnerUsers:
    """The partners' people, as staff keep them."""

    begin: Begin
    clock: Clock

    def add(self, wanted: PartnerUserWanted, actor: Actor) -> PartnerUser:
        """Store somebody.

        Raises:
            RequestValidationError: There is no such organization.
            EmailTaken: Somebody else has the address.
            IdentityTaken: Somebody else signs in as that.
            PeopleContended: Others were at the same people, twice in a row.
        """
        return retried_once(lambda: self._add(wanted, actor), PeopleContended("a new partner user"))

    def _add(self, wanted: PartnerUserWanted, actor: Actor) -> PartnerUser:
        user_id = uuid4()
        with self.begin() as connection:
            _expect_organization(connection, wanted)
            PartnerUserStore(connection).add(user_id, dict(wanted))
            added = shown(connection, user_id)
            audit = Audit(connection, actor, self.clock.now())
            audit.changed("create", "partner_user", user_id, after=told(added, [*MEMBERS, "active"]))
        return added

    def change(self, user_id: UUID, wanted: PartnerUserWanted, if_match: str | None, actor: Actor) -> PartnerUser:
        """Make somebody what is wanted; who leaves an organization is nobody's case manager there any more.

        Their calendar's token ends with their place, and with their sign-in: the database sees to that.

        Raises:
            NotFound: There is none.
            RequestValidationError: There is no such organization.
            StaleEtag: Somebody has changed them since.
            EmailTaken: Somebody else has the address.
            IdentityTaken: Somebody else signs in as that.
            PeopleContended: Others were at the same people, twice in a row.
        """
        contended = PeopleContended(f"partner user {user_id}")
        return retried_once(lambda: self._change(user_id, wanted, if_match, actor), contended)

    def _change(self, user_id: UUID, wanted: PartnerUserWanted, if_match: str | None, actor: Actor) -> PartnerUser:
        with self.begin() as connection:
            store = PartnerUserStore(connection)
            before = _shown(store.get(user_id, lock=True))
            expect(if_match, before)
            _expect_organization(connection, wanted)
            changed = changed_members(before, before.model_copy(update=dict(wanted)), MEMBERS)
            if not changed:
                return before
            store.set(user_id, dict(wanted))
            left = "organizationId" in changed
            released = store.release_patients(user_id, before.organization_id) if left else 0
            after = shown(connection, user_id)
            told_members = [*changed, *(["active"] if before.active != after.active else [])]
            Audit(connection, actor, self.clock.now()).changed(
                "update",
                "partner_user",
                user_id,
                before=told(before, told_members),
                after=told(after, told_members) | ({"patientsReleased": released} if released else {}),
            )
        return after


def _expect_organization(connection: sa.Connection, wanted: PartnerUserWanted) -> None:
    if not OrganizationStore(connection).is_known(wanted.organization_id):
        raise in_body("unknown_id", "organizationId")


def _shown(row: sa.RowMapping) -> PartnerUser:
    own = {name: row[name] for name in ("id", *PartnerUserWanted.model_fields)}
    return PartnerUser(**own, active=row["identity_sub"] is not None and row["organization_active"])
