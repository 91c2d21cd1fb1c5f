"""What Moonlit asks of an EHR, in the practice's words; each vendor's adapter answers it.

Identifiers are text on this side of the border whatever the vendor sends. Instants are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

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
            overwrite somebody else, `unreadable` when the answer makes no sense, else the vendor's status as text.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"refused: {code}")
        self.code = code


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
class NewVisit:
    """What a booking writes into the EHR; `location_id` is the vendor's, None for the account's first."""

    practitioner_id: str
    client_id: str
    ehr_service_id: str
    location_id: str | None
    starts_at: datetime


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

    def visits_of_client(self, email: str, first: date, last: date, lane: Lane) -> Sequence[EhrVisit]:
        """Return a client's visits on the practice's days `first` to `last`; rows of others may be among them."""
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

    def reschedule(self, external_id: str, starts_at: datetime, lane: Lane) -> EhrVisit:
        """Move the visit; the returned id is the one it has from now on."""
        ...

    def cancel(self, external_id: str, reason: str, lane: Lane) -> None:
        """Cancel the visit; a visit that is already cancelled stays so."""
        ...
