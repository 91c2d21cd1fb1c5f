"""What partners do: look at their patients, and have them brought up to date. Every look is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.errors import MoonlitError, NotFound
from moonlit.partners.answers import (
    HistoryAnswer,
    PatientAnswer,
    RosterPage,
    SyncProgress,
    full_name,
    history_item,
    progress_answer,
    roster_item,
    timeline_item,
    visit,
)
from moonlit.partners.calendar_tokens import CalendarTokens, Owner
from moonlit.partners.feed import feed_of
from moonlit.partners.progress import progress
from moonlit.partners.session import seen_by
from moonlit.partners.store import Roster
from moonlit.sync.single_answer import PatientSynced, patient_synced
from moonlit.sync.visits import UNKNOWN_PRACTITIONER
from moonlit.web import cursors
from moonlit.web.models import Named

if TYPE_CHECKING:
    from moonlit.sync.single import Refreshed

_MOST_ROWS = 200
_FEED_BACK, _FEED_AHEAD, _FEED_VISITS = timedelta(days=30), timedelta(days=180), 2000
_STANDING = ("pending", "scheduled", "confirmed")


class CalendarRefused(MoonlitError):
    """The calendar's token was revoked, replaced, or never issued; or its owner may not sign in any more."""

    status, slug, title = HTTPStatus.UNAUTHORIZED, "calendar-refused", "The calendar's token opens nothing"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One practice's partner dashboard; `begin` opens transactions under the login of partners."""

    begin: Begin
    clock: Clock
    zone: Callable[[], ZoneInfo]

    def roster(self, actor: Actor, *, sought: str | None, cursor: str | None, limit: int) -> RosterPage:
        """Return a page of the organization's patients, by name.

        Raises:
            RequestValidationError: The cursor is none of this organization's list.
        """
        with self._seen(actor) as (connection, roster, now):
            after = _place(roster, cursor)
            rows = roster.page(now, sought=sought, after=after, limit=limit + 1)
            items = [roster_item(row, self.zone(), now) for row in rows[:limit]]
            Audit(connection, actor, now).read("roster", [item.patient_id for item in items])
        return RosterPage(items=items, next_cursor=str(items[-1].patient_id) if len(rows) > limit else None)

    def patient(self, actor: Actor, patient_id: UUID) -> PatientAnswer:
        """Return a patient with their visits and timeline.

        Raises:
            NotFound: They are not of this organization.
        """
        zone = self.zone()
        with self._seen(actor) as (connection, roster, now):
            known = _known(roster, patient_id)
            visits = [visit(row, zone, now) for row in roster.visits(patient_id, _MOST_ROWS)]
            timeline = [timeline_item(row, zone) for row in roster.timeline(patient_id, _MOST_ROWS)]
            Audit(connection, actor, now).read("patient", [patient_id], patient_id)
        upcoming = [each for each in visits if each.status in _STANDING and each.end > now]
        latest = next((each.provider for each in visits if each.provider), None)
        return PatientAnswer(
            patient_id=patient_id,
            name=full_name(known),
            provider=upcoming[-1].provider if upcoming else latest,
            next_appointment=upcoming[-1] if upcoming else None,
            last_synced_at=known["synced_at"] and known["synced_at"].astimezone(zone),
            consent=known["consent"],
            appointments=visits,
            timeline=timeline,
        )

    def history(self, actor: Actor, patient_id: UUID) -> HistoryAnswer:
        """Return every refresh of a patient.

        Raises:
            NotFound: They are not of this organization.
        """
        with self._seen(actor) as (connection, roster, now):
            known = _known(roster, patient_id)
            history = [history_item(row, self.zone()) for row in roster.history(patient_id, _MOST_ROWS)]
            Audit(connection, actor, now).read("sync_history", [patient_id], patient_id)
        return HistoryAnswer(
            patient=Named(id=patient_id, name=full_name(known)),
            last_sync=known["synced_at"] and known["synced_at"].astimezone(self.zone()),
            history=history,
        )

    def expect_patient(self, actor: Actor, patient_id: UUID) -> None:
        """Make sure that the patient is of this organization, before something is done for them.

        Raises:
            NotFound: They are not.
        """
        with self._seen(actor) as (_, roster, _):
            _known(roster, patient_id)

    def expect_organization(self, actor: Actor, organization_id: UUID) -> None:
        """Make sure that it is the caller's own.

        Raises:
            NotFound: It is another's, or nobody's.
        """
        with self._seen(actor) as (_, roster, _):
            if not roster.is_house(organization_id):
                raise NotFound(f"organization {organization_id}")

    def synced(self, actor: Actor, patient_id: UUID, done: Refreshed) -> PatientSynced:
        """Return what a refresh did; without consent its numbers alone.

        Raises:
            NotFound: The patient left the organization meanwhile.
        """
        with self._seen(actor) as (connection, roster, now):
            consent = _known(roster, patient_id)["consent"]
            told = patient_synced(connection, patient_id, done, self.zone())
            Audit(connection, actor, now).read("patient_sync", [patient_id], patient_id)
        if consent == "active":
            return told
        silent = [warning for warning in told.warnings if warning != UNKNOWN_PRACTITIONER]  # It tells of a visit.
        return told.model_copy(update={"appointments": [], "warnings": silent})

    def progress(self, actor: Actor, sync_id: UUID) -> SyncProgress:
        """Return how far a refresh of the organization is.

        Raises:
            NotFound: It has no such refresh.
        """
        with self._seen(actor) as (connection, _, now):
            found = progress(connection, organization_of(actor), sync_id)
            if found is None:
                raise NotFound(f"sync {sync_id}")
            shown = [row["patient_id"] for row in found.patients]
            Audit(connection, actor, now).read("sync", shown, sync_id)
        return progress_answer(found, self.zone())

    def issue_calendar_token(self, actor: Actor) -> str:
        """Return a new token for the feed; an earlier one opens nothing any more."""
        with self._seen(actor) as (connection, _, now):
            owner = _owner(actor)
            token = CalendarTokens(connection).issue(owner, now)
            Audit(connection, actor, now).changed("issued", "calendar_token", owner.user_id)
        return token

    def revoke_calendar_token(self, actor: Actor) -> None:
        """Let the feed's token open nothing any more. Harmless when there is none."""
        with self._seen(actor) as (connection, _, now):
            owner = _owner(actor)
            if CalendarTokens(connection).revoke(owner):
                Audit(connection, actor, now).changed("revoked", "calendar_token", owner.user_id)

    def calendar(self, token: str, request_id: str) -> bytes:
        """Return the feed of whoever holds `token`: initials and times, and no more.

        Raises:
            CalendarRefused: It is nobody's.
        """
        with self.begin() as connection:
            owner = CalendarTokens(connection).owner(token)
        if owner is None:
            raise CalendarRefused
        actor = Actor("calendar", owner.user_id, owner.organization_id, request_id)
        with self._seen(actor) as (connection, roster, now):
            rows = roster.calendar(now - _FEED_BACK, now, now + _FEED_AHEAD, _FEED_VISITS)
            Audit(connection, actor, now).read("calendar", sorted({row["patient_id"] for row in rows}))
        return feed_of(rows, now)

    def note_refusal(self, actor: Actor, slug: str, route: str, entity_id: str | None) -> None:
        """Note that a partner asked for what they may not have."""
        with self._seen(actor) as (connection, _, now):
            Audit(connection, actor, now).refused(slug, route, entity_id)

    @contextmanager
    def _seen(self, actor: Actor) -> Iterator[tuple[sa.Connection, Roster, datetime]]:
        now, organization_id = self.clock.now(), organization_of(actor)
        today = now.astimezone(self.zone()).date()
        with seen_by(self.begin, organization_id, today) as connection:
            yield connection, Roster(connection, organization_id), now


def organization_of(actor: Actor) -> UUID:
    """Return the organization of a partner.

    Raises:
        NotFound: They are of none.
    """
    if actor.organization_id is None:
        raise NotFound("no organization")
    return actor.organization_id


def _owner(actor: Actor) -> Owner:
    if actor.user_id is None:
        raise NotFound("nobody")
    return Owner(actor.user_id, organization_of(actor))


def _known(roster: Roster, patient_id: UUID) -> Mapping[str, Any]:
    known = roster.patient(patient_id)
    if known is None:
        raise NotFound(f"patient {patient_id}")
    return known


def _place(roster: Roster, cursor: str | None) -> UUID | None:
    """Return the patient after whom the page begins: a cursor holds an id and no name, since it travels in URLs."""
    if cursor is None:
        return None
    try:
        after = UUID(cursor)
    except ValueError:
        raise cursors.refused() from None
    if roster.patient(after) is None:
        raise cursors.refused()
    return after
