"""Add and change providers, and say which visits to come a change leaves without ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.audit.store import Actor, Audit
from moonlit.booking.claims import lock
from moonlit.booking.stranding import FutureVisit, Stranded, StrandedVisit, future_visits, stranded
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.people.errors import EhrSystemInUse, PeopleContended
from moonlit.people.joining import stranded_by_joining
from moonlit.people.lending import stranded_by_lending
from moonlit.people.persons import Persons
from moonlit.people.provider_answers import NewProvider, Provider, ProviderChanged, ProviderList, ProviderWanted
from moonlit.people.provider_store import ProviderStore, provider
from moonlit.people.rules import Practising, is_npi, stopped
from moonlit.people.trail import changed_members, members_of, told
from moonlit.web.etags import etag, expect
from moonlit.web.malformed import in_body

MEMBERS = members_of(ProviderWanted)


def page(
    connection: sa.Connection,
    q: str | None,
    *,
    active: bool | None,
    limit: int,
    after: str | None,
) -> ProviderList:
    """Return a page of providers, by name; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    found = ProviderStore(connection).page(q, active=active, limit=limit, after=after)
    return ProviderList(items=[provider(row) for row in found.rows], next_cursor=found.next_cursor)


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants a provider to be, and whether it is only a question."""

    provider_id: UUID
    wanted: ProviderWanted
    if_match: str | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers, as staff keep them."""

    begin: Begin
    clock: Clock

    def add(self, wanted: NewProvider, actor: Actor) -> Provider:
        """Store a provider, who is bookable with hours, contracts and a practitioner of the EHR.

        Raises:
            RequestValidationError: The NPI is none.
        """
        _expect_npi(wanted, None)
        provider_id = uuid4()
        with self.begin() as connection:
            store = ProviderStore(connection)
            store.add(provider_id, dict(wanted))
            added = store.get(provider_id)
            audit = Audit(connection, actor, self.clock.now())
            audit.changed("create", "provider", provider_id, after=told(added, MEMBERS))
        return added

    def change(self, change: Change, actor: Actor) -> tuple[ProviderChanged, str]:
        """Make the provider what is wanted, and return what that changes, with the ETag of what stands now.

        A provider who turns out to be another human (`personKey`) takes the time of their coming visits along: the
        claims are rewritten under the locks of both, so that nobody is booked twice in between.

        Raises:
            NotFound: There is no such provider.
            RequestValidationError: The NPI is a new one, and none.
            StaleEtag: Somebody has changed the provider since.
            EhrSystemInUse: Visits or a mapping say where the calendar is.
            PersonOverlaps: As one human they would be at two visits at once.
            PersonChanging: Their time is just being changed.
            PeopleContended: Others were at the same people, twice in a row.
        """
        contended = PeopleContended(f"provider {change.provider_id}")
        return retried_once(lambda: self._change(change, actor), contended)

    def _change(self, change: Change, actor: Actor) -> tuple[ProviderChanged, str]:
        now, provider_id, wanted = self.clock.now(), change.provider_id, change.wanted
        with self.begin() as connection:
            store, audit = ProviderStore(connection), Audit(connection, actor, now)
            person_ids = _queued(connection, store, provider_id, wanted)
            before = store.locked(provider_id)
            expect(change.if_match, before)
            _expect_npi(wanted, before)
            after = before.model_copy(update=dict(wanted) | {"ehr": _ehr(before, wanted)})
            changed = changed_members(before, after, MEMBERS)
            if "ehrSystem" in changed and store.is_in_use(provider_id):
                raise EhrSystemInUse(f"provider {provider_id}")
            persons = Persons(connection, now)
            persons.expect_free(provider_id, *person_ids)
            found = _stopped(store, future_visits(connection, now, provider_ids=[provider_id]), before, after)
            if "personKey" in changed:
                found += stranded_by_joining(connection, provider_id, person_ids[1], now)
            if (before.active and not after.active) or "personKey" in changed:
                human = person_ids[1]
                found += stranded_by_lending(connection, provider_id, now, active=after.active, person_id=human)
            hit = _once(found)
            if changed and not change.dry_run:
                moved = {"claimsMoved": persons.move(provider_id, *person_ids)} if "personKey" in changed else {}
                store.set(provider_id, dict(wanted))
                was, became = told(before, changed), told(after, changed) | moved
                audit.changed("update", "provider", provider_id, before=was, after=became)
            if hit.items:
                audit.read("provider", hit.patient_ids(), provider_id)
        answer = ProviderChanged(**dict(after), dry_run=change.dry_run, changed=changed, stranded=hit)
        return answer, etag(before if change.dry_run else after)


def _queued(
    connection: sa.Connection, store: ProviderStore, provider_id: UUID, wanted: ProviderWanted
) -> tuple[UUID, UUID]:
    """Wait for the turn on the provider's time; return the human whom they are, and whom they become."""
    before, after = store.person(provider_id), store.person_of_key(provider_id, wanted.person_key)
    lock(connection, [before, after])
    if store.person(provider_id) != before:
        raise PeopleContended(f"provider {provider_id}")
    return before, after


def _ehr(before: Provider, wanted: ProviderWanted) -> object:
    """Return where the calendar is; in another EHR nobody has said so yet."""
    if wanted.ehr_system == before.ehr_system:
        return before.ehr
    nobody = {"practitioner_id": None, "practitioner_email": None, "location_id": None}
    return before.ehr.model_copy(update={"system": wanted.ehr_system, **nobody})


def _expect_npi(wanted: ProviderWanted, before: Provider | None) -> None:
    """Refuse a number that is none; one that was taken over from elsewhere may stand until somebody mends it."""
    if wanted.npi is not None and (before is None or wanted.npi != before.npi) and not is_npi(wanted.npi):
        raise in_body("npi", "npi")


def _once(found: Sequence[StrandedVisit]) -> Stranded:
    """Return the visits by their start, each with the first reason that was found."""
    each = {visit.appointment_id: visit for visit in reversed(found)}
    return stranded(sorted(each.values(), key=lambda visit: (visit.start, str(visit.appointment_id))))


def _stopped(
    store: ProviderStore, visits: Sequence[FutureVisit], before: Provider, after: Provider
) -> list[StrandedVisit]:
    homes = store.states({visit.patient_id for visit in visits if visit.patient_state is None})
    # Who only signs need not be licensed where the patient is.
    states = {
        visit.id: visit.patient_state or homes.get(visit.patient_id)
        if visit.provider_id == before.id or visit.co_visit
        else None
        for visit in visits
    }
    reasons = stopped(_practising(before), _practising(after), states)
    return [_stranded(visit, reasons[visit.id]) for visit in visits if visit.id in reasons]


def _practising(one: Provider) -> Practising:
    return Practising(one.active, frozenset(one.license_states))


def _stranded(visit: FutureVisit, reason: str) -> StrandedVisit:
    return visit.stranded("provider_inactive" if reason == "provider_inactive" else "not_licensed_in_state")
