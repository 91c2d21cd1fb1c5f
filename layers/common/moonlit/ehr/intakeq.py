"""IntakeQ, also sold as PracticeQ: one account's calendar and clients behind the port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from moonlit.ehr.catalog import EhrSettings
from moonlit.ehr.http import EhrHttp, open_client, unlimited
from moonlit.ehr.intakeq_rows import ClientRow, SettingsRow, client_body, client_of, epoch_ms, settings_of, visit_of
from moonlit.ehr.intakeq_settings import settings_read
from moonlit.ehr.port import (
    Budget,
    ClientDetails,
    EhrOutcomeUnknown,
    EhrRefused,
    EhrUnavailable,
    EhrVisit,
    Lane,
    Move,
    NewVisit,
    OpenSlot,
    Page,
    VisitDetails,
)
from moonlit.ehr.rows import shown_id

_PAGE_ROWS = 100
_NAMESAKE_PAGES = 3  # A first name such as "Mai" is part of every address with "mail" in it.
_DAY = timedelta(days=1)

# One owner per message kind: what we write makes IntakeQ send neither mails nor reminders.
_NO_MAILS = {"SendClientEmailNotification": False, "ReminderType": "OptOut"}


def open_account(
    base_url: str, key: str, *, budget: Budget, zone: ZoneInfo, time_left: Callable[[], float] = unlimited
) -> Intakeq:
    """Return the account that `key` opens.

    Args:
        base_url: Ends in `/api/v1`.
        key: The account's API key.
        budget: The account's, shared by everyone who uses it.
        zone: The practice's, whose days the port speaks of.
        time_left: Seconds until this process is stopped.
    """
    client = open_client(base_url, {"X-Auth-Key": key})
    return Intakeq(EhrHttp(client, budget, refusal_code=refusal_code, time_left=time_left), zone)


def refusal_code(status: int, body: Any) -> str:
    """Name a refusal: a client created a moment ago is not bookable for some seconds, and only the text says so."""
    message = str(body.get("Message")) if isinstance(body, Mapping) else ""
    return "client_not_ready" if "client not found" in message.casefold() else str(status)


class Intakeq:
    """One IntakeQ account as `moonlit.ehr.port.Ehr`.

    Its dates are days of the account with unclear edges ("after", by another text "on or after"), so every question
    asks for a day more on each side and the answer is cut by `StartDate`.
    """

    def __init__(self, http: EhrHttp, zone: ZoneInfo) -> None:
        self._http = http
        self._zone = zone
        self._known_settings: SettingsRow | None = None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def changed_since(self, day: date, page: int, lane: Lane) -> Page:
        """Return page `page` (from 1) of the visits changed on or after the practice's `day`."""
        return self._page({"updatedSince": (day - _DAY).isoformat()}, page, lane)

    def window(self, first: date, last: date, page: int, lane: Lane) -> Page:
        """Return page `page` of the visits that start on the practice's days `first` to `last`, both inclusive."""
        found = self._page(_padded(first, last), page, lane)
        return Page(self._within(found.visits, first, last), found.is_last, found.unreadable)

    def deleted(self, page: int, lane: Lane) -> Page:
        """Return page `page` of the visits deleted in the last ten days, as they last were."""
        return self._page({"deletedOnly": "true"}, page, lane)

    def visits_of_practitioner(self, practitioner_id: str, first: date, last: date, lane: Lane) -> Sequence[EhrVisit]:
        """Return a practitioner's visits on the practice's days `first` to `last`; rows of others may be among them.

        IntakeQ filters by the e-mail of the practitioner's account, which the settings tell.
        """
        email = self._settings(lane).email_of(practitioner_id)
        return self._visits({"practitionerEmail": email} if email else {}, first, last, lane)

    def visits_of_client(self, email: str, first: date, last: date, lane: Lane) -> Page:
        """Return a client's visits on the practice's days `first` to `last`; rows of others may be among them."""
        visits: dict[str, EhrVisit] = {}
        unreadable: list[str] = []
        for rows in self._pages("appointments", {"client": email, **_padded(first, last)}, lane):
            found, left_out = _readable(rows)
            visits |= {visit.external_id: visit for visit in found}
            unreadable += left_out
        return Page(self._within(list(visits.values()), first, last), is_last=True, unreadable=unreadable)

    def visit(self, external_id: str, lane: Lane) -> EhrVisit | None:
        """Return one visit, or None when the EHR does not know the id."""
        try:
            row = self._http.read(f"appointments/{quote(external_id, safe='')}", lane)
        except EhrRefused as refused:
            if refused.code == "404":
                return None
            raise
        return visit_of(row)

    def client_for(self, details: ClientDetails, lane: Lane) -> str:
        """Return the id of the client who is this person, else of a new one.

        IntakeQ overwrites a client with the same first name and e-mail, or first name and phone, instead of creating
        one, so that a parent and a child would become one person. The new client goes without what it shares.

        Raises:
            EhrRefused: `client_merged`: nothing is left to reach the new client by; staff have to create them.
        """
        namesakes, everyone = self._namesakes(details, lane)
        surely = [client for client in namesakes if client.is_surely(details)]
        if len(surely) == 1:
            return surely[0].client_id
        strangers = [client for client in namesakes if client not in surely]
        shared: set[str] = set().union(*(client.shared_contacts(details) for client in strangers))
        if not everyone and not surely:
            shared.add("phone")  # Somebody who was not looked at may have it.
        apart = replace(
            details,
            email=None if "email" in shared else details.email,
            phone=None if "phone" in shared else details.phone,
        )
        if not (apart.email or apart.phone):
            raise EhrRefused("client_merged")
        saved = self._http.write("POST", "clients", lane, client_body(apart))
        try:
            client_id = client_of(saved).client_id
        except EhrRefused:
            raise EhrOutcomeUnknown("answered a client that makes no sense") from None
        if client_id in {client.client_id for client in strangers}:  # Merged by a rule that nobody documented.
            raise EhrRefused("client_merged")
        return client_id

    def book(self, visit: NewVisit, lane: Lane) -> EhrVisit:
        """Book the visit, confirmed, with the EHR's own mails off.

        Raises:
            EhrRefused: `client_not_ready` when a fresh client cannot be booked yet.
        """
        body = {
            "PractitionerId": visit.practitioner_id,
            "ClientId": int(visit.client_id) if visit.client_id.isdecimal() else visit.client_id,
            "ServiceId": visit.ehr_service_id,
            "LocationId": visit.location_id or self._default_location(lane),
            "UtcDateTime": epoch_ms(visit.starts_at),
            "Status": "Confirmed",
            **_NO_MAILS,
        }
        return _written(self._http.write("POST", "appointments", lane, body))

    def reschedule(self, move: Move, lane: Lane) -> EhrVisit:
        """Move the visit, which keeps its id."""
        body = {"Id": move.external_id, "UtcDateTime": epoch_ms(move.starts_at), **_NO_MAILS}
        return _written(self._http.write("PUT", "appointments", lane, body))

    def cancel(self, external_id: str, client_id: str | None, reason: str, lane: Lane) -> None:  # noqa: ARG002
        """Cancel the visit; a visit that is already cancelled, or deleted, stays so.

        What IntakeQ says to a second cancellation is not documented, so a refusal is checked against the visit.
        """
        body = {"AppointmentId": external_id, "Reason": reason}
        try:
            self._http.write("POST", "appointments/cancellation", lane, body, answers=False)
        except EhrRefused:
            visit = self.visit(external_id, lane)
            if visit is not None and visit.status != "cancelled":
                raise

    def add_details(self, external_id: str, client_id: str, details: VisitDetails, lane: Lane) -> None:
        """Do nothing: what IntakeQ keeps of these is no part of a visit."""

    def open_slots(
        self,
        seats: Sequence[tuple[str, str]],  # noqa: ARG002
        service_ids: Sequence[str],  # noqa: ARG002
        first: date,  # noqa: ARG002
        last: date,  # noqa: ARG002
        lane: Lane,  # noqa: ARG002
    ) -> Sequence[OpenSlot]:
        """Return none: any free time may be booked."""
        return ()

    def freeze(self, slot_id: str, lane: Lane) -> None:  # noqa: ARG002
        """Refuse: there is nothing to freeze."""
        raise EhrRefused("not_granted")

    def thaw(self, slot_id: str, lane: Lane) -> None:
        """Do nothing: nothing was frozen."""

    def catalog(self, seats: Sequence[tuple[str, str]], lane: Lane) -> EhrSettings:  # noqa: ARG002
        """Return the account's settings as they are now, and remember them; `moonlit.ehr.catalog.EhrCatalog`."""
        settings = self._http.read("appointments/settings", lane)
        self._known_settings = settings_of(settings)
        return settings_read(settings, self._http.read("practitioners", lane, {"includeInactive": "true"}))

    def _visits(self, parameters: Mapping[str, str], first: date, last: date, lane: Lane) -> list[EhrVisit]:
        visits: dict[str, EhrVisit] = {}  # Rows shift between pages while the calendar changes.
        for rows in self._pages("appointments", {**parameters, **_padded(first, last)}, lane):
            visits |= {visit.external_id: visit for visit in map(visit_of, rows)}
        return self._within(list(visits.values()), first, last)

    def _page(self, parameters: Mapping[str, str], page: int, lane: Lane) -> Page:
        rows = self._rows("appointments", parameters, page, lane)
        visits, unreadable = _readable(rows)
        return Page(visits, len(rows) < _PAGE_ROWS, unreadable)

    def _pages(self, path: str, parameters: Mapping[str, str], lane: Lane) -> Iterator[list[Any]]:
        page, rows = 0, [None] * _PAGE_ROWS
        while len(rows) >= _PAGE_ROWS:
            page += 1
            rows = self._rows(path, parameters, page, lane)
            yield rows

    def _rows(self, path: str, parameters: Mapping[str, str], page: int, lane: Lane) -> list[Any]:
        rows = self._http.read(path, lane, {**parameters, "page": str(page)})
        if not isinstance(rows, list):  # Lists are bare arrays; anything else is not this API speaking.
            raise EhrUnavailable("answered something other than a list")
        return rows

    def _namesakes(self, details: ClientDetails, lane: Lane) -> tuple[list[ClientRow], bool]:
        """Return the clients whom IntakeQ could merge with, and whether these are all of them.

        It can only be asked for parts of a name or an e-mail, and merges by phone too: so for everyone whose name
        contains the first name. Where these are too many, at least those with the e-mail are among them.
        """
        found: list[ClientRow] = []
        for page, rows in enumerate(self._pages("clients", _search(details.first_name.strip()), lane), start=1):
            found += map(client_of, rows)
            if len(rows) < _PAGE_ROWS:
                return found, True
            if page == _NAMESAKE_PAGES:
                break
        if details.email:
            rows = self._rows("clients", _search(details.email.strip()), 1, lane)
            found += map(client_of, rows)
        return found, False

    def _default_location(self, lane: Lane) -> str:
        locations = self._settings(lane).locations
        if not locations:
            raise EhrRefused("unreadable")
        return locations[0].place_id

    def _settings(self, lane: Lane) -> SettingsRow:
        """Return the account's settings, which are asked for once in a process's life."""
        if self._known_settings is None:
            self._known_settings = settings_of(self._http.read("appointments/settings", lane))
        return self._known_settings

    def _within(self, visits: Sequence[EhrVisit], first: date, last: date) -> list[EhrVisit]:
        opens = datetime.combine(first, datetime.min.time(), self._zone)
        closes = datetime.combine(last + _DAY, datetime.min.time(), self._zone)
        return [visit for visit in visits if opens <= visit.starts_at < closes]


def _search(text: str) -> dict[str, str]:
    return {"search": text, "includeProfile": "true"}


def _padded(first: date, last: date) -> dict[str, str]:
    return {"startDate": (first - _DAY).isoformat(), "endDate": (last + _DAY).isoformat()}


def _readable(rows: Sequence[Any]) -> tuple[list[EhrVisit], list[str]]:
    visits: list[EhrVisit] = []
    unreadable: list[str] = []
    for row in rows:
        try:
            visits.append(visit_of(row))
        except EhrRefused:
            unreadable.append(shown_id(row.get("Id")) if isinstance(row, Mapping) else "")
    return visits, unreadable


def _written(row: Any) -> EhrVisit:
    try:
        return visit_of(row)
    except EhrRefused:
        raise EhrOutcomeUnknown("answered a visit that makes no sense") from None
