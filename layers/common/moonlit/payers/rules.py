"""Who may be booked for whom: payer acceptance, and each provider's standing with a payer on a given day.

One set of functions answers the widget, the slot list, the booking and the question "why not?". Dates are the
practice's local ones. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID

BARRED = ("suspended", "rejected")  # The status of payers whom the practice does not work with.
ACCEPTED_AHEAD = timedelta(days=30)  # How far ahead a contract may begin and still be bookable from its first day.


class Acceptance(StrEnum):
    """Whether the practice takes a payer's members."""

    ACCEPTED = "accepted"
    ACCEPTED_FROM = "accepted_from"
    LEAD = "lead"


class Via(StrEnum):
    """What lets a provider see a payer's members."""

    CONTRACT = "contract"
    SUPERVISION = "supervision"
    SELF_PAY = "self_pay"


class Excluded(StrEnum):
    """Why a provider is not offered, in the order in which the filters are applied."""

    PAYER_NOT_ACCEPTED = "payer_not_accepted"
    INACTIVE = "inactive"
    NOT_ACCEPTING_NEW_PATIENTS = "not_accepting_new_patients"
    NOT_LICENSED = "not_licensed_in_state"
    LANGUAGE = "language"
    MODALITY = "modality"
    NO_CONTRACT = "no_contract"
    NO_SERVICE_MAPPING = "no_service_mapping"
    NOT_SYNCED = "calendar_not_synced"


@dataclass(frozen=True, slots=True)
class Payer:
    """A payer as the rules see it; `type` and `status_code` as DATA lists them."""

    id: UUID
    name: str
    type: str
    status_code: str | None


@dataclass(frozen=True, slots=True)
class Contract:
    """A provider's active contract with the payer, from `first` to `last` (None: open), both inclusive."""

    provider_id: UUID
    first: date
    last: date | None


@dataclass(frozen=True, slots=True)
class Supervision:
    """An attending who lends a resident the attending's contracts, from `first` to `last`, both inclusive."""

    resident_id: UUID
    attending_id: UUID
    co_visit: bool
    first: date
    last: date | None


@dataclass(frozen=True, slots=True)
class Provider:
    """What of a provider decides on eligibility.

    Attributes:
        person_id: The human behind this id; several ids may share one, each with its own grounds.
        modalities: In which the provider has hours, or any time that may become either.
        has_mapping: The payer has a live instance of the service with a mapping for the provider's EHR.
        synced_through: The last day of the EHR's calendar that a pull has read, None while it is not known.
    """

    id: UUID
    name: str
    person_id: UUID
    states: frozenset[str]
    languages: tuple[str, ...]
    interpreter_ok: bool
    active: bool
    accepting_new_patients: bool
    max_daily: int | None
    modalities: frozenset[str]
    has_mapping: bool
    synced_through: date | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the patient asks for; None is for everything that will do.

    `state` is where the patient will be: a licence's reach is the patient's place.
    """

    state: str | None
    is_intake: bool
    language: str | None = None
    interpreter: bool = False
    modality: str | None = None


@dataclass(frozen=True, slots=True)
class Roster:
    """A payer and everyone who might see its members; contracts and supervision are those that count for it."""

    payer: Payer
    providers: Mapping[UUID, Provider]
    contracts: Sequence[Contract]
    supervision: Sequence[Supervision]

    def acceptance(self, today: date) -> tuple[Acceptance, date | None]:
        """Tell whether the practice takes the payer today, and from when when it soon will."""
        active = [provider.id for provider in self.providers.values() if provider.active]
        return acceptance(self.payer, self.contracts, active, today)


@dataclass(frozen=True, slots=True)
class Basis:
    """On what ground a provider may see the payer's members on the days `first` to `last` (None: open)."""

    via: Via
    first: date
    last: date | None
    attending_id: UUID | None = None
    co_visit: bool = False

    def covers(self, day: date) -> bool:
        """Tell whether the ground holds on that day."""
        return self.touches(day, day)

    def touches(self, first: date, last: date) -> bool:
        """Tell whether the ground holds on at least one of the days."""
        return max(self.first, first) <= (last if self.last is None else min(self.last, last))


@dataclass(frozen=True, slots=True)
class Eligible:
    """A provider and the grounds on which they may be booked, best first."""

    provider: Provider
    bases: Sequence[Basis]

    def basis_on(self, day: date) -> Basis | None:
        """Return the ground for a visit on that day: a contract of one's own wins over supervision."""
        return next((basis for basis in self.bases if basis.covers(day)), None)


def acceptance(
    payer: Payer, contracts: Iterable[Contract], active_providers: Iterable[UUID], today: date
) -> tuple[Acceptance, date | None]:
    """Tell whether the practice takes the payer today, and from when when it soon will.

    Args:
        payer: The payer.
        contracts: Its contracts of status active with an effective date; others count for nothing.
        active_providers: A contract of an inactive provider counts for nothing.
        today: The practice's local date.
    """
    if payer.status_code in BARRED:
        return Acceptance.LEAD, None
    if payer.type == "self_pay":
        return Acceptance.ACCEPTED, None
    active = set(active_providers)
    begins = [c.first for c in contracts if c.provider_id in active and (c.last is None or c.last >= today)]
    if not begins:
        return Acceptance.LEAD, None
    earliest = min(begins)
    if earliest <= today:
        return Acceptance.ACCEPTED, None
    if earliest - today <= ACCEPTED_AHEAD:
        return Acceptance.ACCEPTED_FROM, earliest
    return Acceptance.LEAD, None


@dataclass(frozen=True, slots=True)
class Standing:
    """What came of one provider: the grounds on which they may be booked, best first, or else the reason why not."""

    provider: Provider
    bases: Sequence[Basis]
    reason: Excluded | None


def standings(
    roster: Roster, wish: Wish, *, today: date, first: date, last: date, only: Collection[UUID] = ()
) -> list[Standing]:
    """Return how each provider stands on the days `first` to `last`: bookable on at least one of them, or why not.

    Args:
        roster: The payer and the practice's providers.
        wish: What the patient asks for.
        today: The practice's local date, on which the payer has to be accepted.
        first: First day of the visit.
        last: Last day, inclusive.
        only: Whom the caller asks for, empty for everyone. Who is not asked for is not looked at: that the caller wants
            somebody else is not a reason that anybody has to be told.
    """
    asked = [one for one in roster.providers.values() if not only or one.id in only]
    if roster.acceptance(today)[0] is Acceptance.LEAD:
        return [Standing(provider, [], Excluded.PAYER_NOT_ACCEPTED) for provider in asked]
    return [_standing(roster, provider, wish, first, last) for provider in asked]


def eligible_providers(
    roster: Roster, wish: Wish, *, today: date, first: date, last: date, only: Collection[UUID] = ()
) -> tuple[list[Eligible], Counter[Excluded]]:
    """Return who may be booked on at least one of the days, and how many each filter removed; see `standings`."""
    found = standings(roster, wish, today=today, first=first, last=last, only=only)
    eligible = [Eligible(one.provider, one.bases) for one in found if one.reason is None]
    return eligible, Counter(one.reason for one in found if one.reason)


def grounds(roster: Roster, provider: Provider) -> list[Basis]:
    """Return on what grounds the provider may see the payer's members, contracts of their own first.

    Nobody supervises themselves: an attending who is the same human under another id lends nothing.
    """
    if roster.payer.type == "self_pay":
        return [Basis(Via.SELF_PAY, date.min, None)]
    own = [Basis(Via.CONTRACT, c.first, c.last) for c in roster.contracts if c.provider_id == provider.id]
    lent = [
        Basis(Via.SUPERVISION, max(s.first, c.first), _earlier(s.last, c.last), s.attending_id, s.co_visit)
        for s in roster.supervision
        if s.resident_id == provider.id and _may_lend(roster.providers.get(s.attending_id), provider)
        for c in roster.contracts
        if c.provider_id == s.attending_id
    ]
    # Of two attendings, the one whose signature suffices is easier to find a time with.
    return own + sorted(lent, key=lambda basis: (basis.co_visit, basis.first, str(basis.attending_id)))


def _standing(roster: Roster, provider: Provider, wish: Wish, first: date, last: date) -> Standing:
    held = [basis for basis in grounds(roster, provider) if basis.touches(first, last)]
    hindrances = [_hindrance(roster, basis, wish) for basis in held]
    usable = [basis for basis, hindrance in zip(held, hindrances, strict=True) if hindrance is None]
    lacking = hindrances[0] if held and not usable else None
    reason = _why_not(provider, wish, lacking, has_ground=bool(held))
    return Standing(provider, [] if reason else usable, reason)


def _hindrance(roster: Roster, basis: Basis, wish: Wish) -> Excluded | None:
    """Return why the attending cannot join, if the visit needs them.

    Whoever is in the room treats the patient, so the attending of a co-visit must be licensed where the patient is, be
    there in the modality that is asked for, and have a calendar that is known. One who only signs is not there: the
    licence of the resident counts. Neither takes on the patient, who stays the resident's, so a full panel is no bar.
    """
    if not basis.co_visit or basis.attending_id is None:
        return None
    attending = roster.providers[basis.attending_id]
    checks = (
        (Excluded.NOT_LICENSED, wish.state is None or wish.state in attending.states),
        (Excluded.MODALITY, wish.modality is None or wish.modality in attending.modalities),
        (Excluded.NOT_SYNCED, attending.synced_through is not None),
    )
    return next((reason for reason, passed in checks if not passed), None)


def _why_not(provider: Provider, wish: Wish, lacking: Excluded | None, *, has_ground: bool) -> Excluded | None:
    """Return the first filter that removes the provider; `lacking` is what every attending who must join lacks."""
    speaks = wish.language is None or wish.language in provider.languages
    checks = (
        (Excluded.INACTIVE, provider.active),
        (Excluded.NOT_ACCEPTING_NEW_PATIENTS, provider.accepting_new_patients or not wish.is_intake),
        (Excluded.NOT_LICENSED, wish.state is None or wish.state in provider.states),
        (Excluded.LANGUAGE, speaks or (wish.interpreter and provider.interpreter_ok)),
        (Excluded.MODALITY, wish.modality is None or wish.modality in provider.modalities),
        (Excluded.NO_CONTRACT, has_ground),
        (Excluded.NO_SERVICE_MAPPING, provider.has_mapping),
        (Excluded.NOT_SYNCED, provider.synced_through is not None),
    )
    return next((reason for reason, passed in checks if not passed or reason is lacking), None)


def _may_lend(attending: Provider | None, resident: Provider) -> bool:
    return attending is not None and attending.active and attending.person_id != resident.person_id


def _earlier(one: date | None, other: date | None) -> date | None:
    return min((day for day in (one, other) if day), default=None)
