"""What Moonlit asks of an EHR, in the practice's words; each vendor's adapter answers it.

Identifiers are text on this side of the border whatever the vendor sends. Instants are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from moonlit.errors import MoonlitError


class Lane(StrEnum):
    """Who spends the account's request budget, most urgent first."""

    BOOKING = "booking"
    WEBHOOK = "webhook"
    ON_DEMAND = "on_demand"
    NIGHTLY = "nightly"


class EhrError(MoonlitError):
    """An EHR call that did not do what was asked. The text holds codes only, never a body."""


class EhrUnavailable(EhrError):
    """Surely without effect: not reached, or turned away before it did anything. Safe to repeat later."""


class BudgetExhausted(EhrUnavailable):
    """The account's request budget has no room in this lane.

    Attributes:
        retry_after: Seconds until there may be room.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__("request budget exhausted")
        self.retry_after = retry_after


class EhrLockedOut(EhrUnavailable):
    """The key or an allow-list keeps us out. It has no effect, and repeating helps when people have mended it."""


class EhrOutcomeUnknown(EhrError):
    """Sent, but nobody knows whether it took effect: timed out, dropped, 5xx. Read back before repeating."""


class EhrRefused(EhrError):
    """The EHR said no, and repeating will not help.

    Attributes:
        code: `client_not_ready` when a fresh client cannot be booked yet, `client_merged` when creating a client would
            overwrite somebody else, `unreadable` when the answer makes no sense, `not_granted` when the account may not
            do this at all, else the vendor's status as text: `409` when the time is taken.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"refused: {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class ToldInsurance:
    """What free fields of an EHR say of a client's insurance, as somebody typed it; a part may be missing."""

    payer_name: str | None
    member_id: str | None
    group_number: str | None


@dataclass(frozen=True, slots=True)
class EhrVisit:
    """One appointment as the EHR shows it.

    Attributes:
        status: scheduled, confirmed, cancelled, declined or no_show; `completed` is derived when read.
        modified_at: The vendor's version of the row: the newer one wins.
        created_at: When the visit was made in the EHR, None when it does not say.
        meeting_url: A link that the patient may use, or None.
        content_hash: Changes whenever something that Moonlit reads in `raw` does, and is the same whether the row came
            from a list, by its id or in a webhook.
        raw: The vendor's row as it came.
        location_id: The vendor's id of the place, where a practitioner sits in several; else None will do.
        moved_to: The id that the visit has instead, where a reschedule gives it a new one (athenahealth's
            `rescheduledappointmentid`); the adapter fills it, and it is part of `content_hash`.
        insurance: What the row says of the client's insurance, None for nothing; part of `content_hash` too.
    """

    external_id: str
    client_id: str | None
    client_email: str | None
    client_birth_date: date | None
    practitioner_id: str | None
    ehr_service_id: str | None
    starts_at: datetime
    ends_at: datetime
    status: str
    modified_at: datetime
    created_at: datetime | None
    meeting_url: str | None
    location_name: str | None
    place_of_service: str | None
    content_hash: str
    raw: Mapping[str, Any]
    location_id: str | None = None
    moved_to: str | None = None
    insurance: ToldInsurance | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the EHR's calendar and whether another follows.

    Attributes:
        unreadable: Ids of the rows that were left out because they make no sense, to be counted and reported.
    """

    visits: Sequence[EhrVisit]
    is_last: bool
    unreadable: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Traits:
    """How the EHRs differ, where who books has to know it.

    Attributes:
        has_open_slots: A visit takes one of the open slots that the EHR keeps; elsewhere any free time will do.
        has_details: Insurance and supervision are set on the visit by further calls, once it is booked.
        has_feed: The EHR hands out each change once to whoever asks; see `ChangesFeed`.
        finds_by_number: A client's visits are asked for by the client's number; elsewhere by e-mail address.
    """

    has_open_slots: bool = False
    has_details: bool = False
    has_feed: bool = False
    finds_by_number: bool = False


TRAITS: Mapping[str, Traits] = {
    "intakeq": Traits(),
    "athena": Traits(has_open_slots=True, has_details=True, has_feed=True, finds_by_number=True),
}


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row that an EHR has handed out and will not hand out again.

    Attributes:
        raw: As it came.
        external_id: What it is about, None when it does not say.
        kind: `visit`; `slot`, open and nobody's; `unreadable`, when it makes no sense; `unread`, when what it takes to
            read it was not to be had.
        visit: Of the kind `visit` alone.
    """

    raw: Any
    external_id: str | None
    kind: Literal["visit", "slot", "unreadable", "unread"]
    visit: EhrVisit | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows that were taken from a feed, in its order, and whether nothing is left there."""

    rows: Sequence[ChangedRow]
    is_last: bool


@runtime_checkable
class ChangesFeed(Protocol):
    """The feed of an EHR that hands out each change once. One reader at a time."""

    def ensure_subscribed(self, lane: Lane) -> None:
        """Have the EHR note every change from now on, unless it does already.

        Raises:
            EhrRefused: `not_granted`: the account may not.
        """
        ...

    def take_changes(self, lane: Lane) -> Changes:
        """Return changes that nobody has been given yet. Store them before anything else, then ask again.

        Raises:
            EhrRefused: `not_granted`: nothing is subscribed to.
            EhrOutcomeUnknown: Rows may be lost; `Ehr.changed_since` tells what they were about.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenSlot:
    """Time that an EHR offers for one visit; the visit will have the slot's id.

    Attributes:
        reason_ids: The vendor's ids of the services that may be booked into it.
    """

    slot_id: str
    practitioner_id: str
    location_id: str
    reason_ids: Sequence[str]
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class NewVisit:
    """What a booking writes into the EHR.

    Attributes:
        location_id: The vendor's, None for the account's first.
        slot_id: The open slot that it takes, where the EHR has such.
    """

    practitioner_id: str
    client_id: str
    ehr_service_id: str
    location_id: str | None
    starts_at: datetime
    slot_id: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A visit's new time, with the same practitioner."""

    external_id: str
    client_id: str
    ehr_service_id: str | None
    starts_at: datetime
    slot_id: str | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """The patient's membership with a payer; the holder is the patient.

    Attributes:
        package_id: The vendor's, None when nobody has said which one stands for the payer.
    """

    package_id: str | None
    member_id: str
    group_number: str | None


@dataclass(frozen=True, slots=True)
class VisitDetails:
    """What some EHRs take only after the booking; ids are the vendor's, None leaves as it is."""

    supervising_id: str | None = None
    rendering_id: str | None = None
    membership: Membership | None = None


@dataclass(frozen=True, slots=True)
class ClientDetails:
    """The person to find or create in the EHR. `reference` is our patient id."""

    reference: str
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    birth_date: date | None


class Budget(Protocol):
    """Counts requests against the account's limits."""

    def take(self, lane: Lane) -> None:
        """Count one request.

        Raises:
            BudgetExhausted: There is no room in this lane; nothing was counted.
        """
        ...

    def back_off(self, seconds: float) -> None:
        """Let no lane through for `seconds`: the EHR said 429 although the count saw room."""
        ...


class Ehr(Protocol):
    """One EHR account. Every call takes one or more requests from its budget and may raise any EhrError.

    Reads raise EhrUnavailable, never EhrOutcomeUnknown.
    """

    def changed_since(self, day: date, page: int, lane: Lane) -> Page:
        """Return page `page` (from 1) of the visits changed on or after the practice's `day`, deleted ones left out."""
        ...

    def window(self, first: date, last: date, page: int, lane: Lane) -> Page:
        """Return page `page` of the visits that start on the practice's days `first` to `last`, both inclusive."""
        ...

    def deleted(self, page: int, lane: Lane) -> Page:
        """Return page `page` of the visits deleted lately, as they last were."""
        ...

    def visits_of_practitioner(self, practitioner_id: str, first: date, last: date, lane: Lane) -> Sequence[EhrVisit]:
        """Return a practitioner's visits on the practice's days `first` to `last`; rows of others may be among them.

        Raises:
            EhrRefused: `unreadable`: a row left out here would be taken for a visit that is not there.
        """
        ...

    def visits_of_client(self, email: str, first: date, last: date, lane: Lane) -> Page:
        """Return all of a client's visits on the practice's days `first` to `last`; rows of others may be among them.

        Where `Traits.finds_by_number`, the client's number is given in place of an address. Nothing may be concluded
        from a visit that is not there.
        """
        ...

    def visit(self, external_id: str, lane: Lane) -> EhrVisit | None:
        """Return one visit, or None when the EHR does not know the id."""
        ...

    def client_for(self, details: ClientDetails, lane: Lane) -> str:
        """Return the id of the client who is this person (names, birth date, and e-mail or phone), else of a new one.

        Raises:
            EhrRefused: `client_merged`: the EHR would hand back, or overwrite, somebody else's record.
        """
        ...

    def book(self, visit: NewVisit, lane: Lane) -> EhrVisit:
        """Book the visit, confirmed, with the EHR's own mails off."""
        ...

    def reschedule(self, move: Move, lane: Lane) -> EhrVisit:
        """Move the visit; the returned id is the one it has from now on.

        Raises:
            EhrRefused: `409`: the time is taken, and the visit stands where it was.
        """
        ...

    def cancel(self, external_id: str, client_id: str | None, reason: str, lane: Lane) -> None:
        """Cancel the visit; a visit that is already cancelled, or deleted, stays so."""
        ...

    def add_details(self, external_id: str, client_id: str, details: VisitDetails, lane: Lane) -> None:
        """Set on a booked visit what a booking cannot carry; once more changes nothing. See `Traits.has_details`.

        Raises:
            EhrRefused: `no_package` for a membership without one, `sex_unknown` where the EHR needs to know it; what
                else there is to set was set before.
        """
        ...

    def open_slots(
        self, seats: Sequence[tuple[str, str]], service_ids: Sequence[str], first: date, last: date, lane: Lane
    ) -> Sequence[OpenSlot]:
        """Return the open slots on the practice's days `first` to `last`, those frozen by a hold left out.

        Args:
            seats: Practitioners with their locations; slots of others are left out.
            service_ids: The vendor's ids of the services that are looked for.
            first: First day.
            last: Last day, inclusive.
            lane: Whose requests these are.
        """
        ...

    def freeze(self, slot_id: str, lane: Lane) -> None:
        """Keep an open slot from everybody else; a slot that is frozen stays so.

        Raises:
            EhrRefused: `409`: it is not open any more; `not_granted`: the account may not freeze.
        """
        ...

    def thaw(self, slot_id: str, lane: Lane) -> None:
        """Open a slot that was frozen; one that is open, booked or gone stays so."""
        ...
