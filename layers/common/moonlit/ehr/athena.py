"""athenahealth (athenaOne): one practice's calendar, slots and patients behind the port."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from moonlit.clock import Clock
from moonlit.ehr.athena_calls import (
    TAKEN,
    WITH_PATIENT,
    Calls,
    appointment_path,
    id_of,
    joined,
    padded_days,
    refusal_code,
    within,
    written_row,
)
from moonlit.ehr.athena_details import Details
from moonlit.ehr.athena_feed import Feed
from moonlit.ehr.athena_patients import Patients
from moonlit.ehr.athena_practice import Catalog, QuotaWatch
from moonlit.ehr.athena_rows import day_text, is_slot, visit_of
from moonlit.ehr.athena_settings import read_settings
from moonlit.ehr.athena_slots import Slots
from moonlit.ehr.athena_token import TokenEndpoint
from moonlit.ehr.catalog import EhrSettings
from moonlit.ehr.http import EhrHttp, Tokens, open_client, unlimited
from moonlit.ehr.port import (
    Budget,
    Changes,
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

_BOOKED = "appointments/booked/multipledepartment"
_DAY = timedelta(days=1)
# A change is asked for by its own day, but the vendor wants days of visits too: wide enough for any that matters.
_OLDEST, _FARTHEST = timedelta(days=400), timedelta(days=800)
_CANCELLED = "x"


def open_account(
    base_url: str,
    login: tuple[str, str],
    practice_id: str,
    *,
    budget: Budget,
    token: Callable[[TokenEndpoint], Tokens],
    clock: Clock,
    zone: ZoneInfo,
    time_left: Callable[[], float] = unlimited,
) -> Athena:
    """Return the practice that `login` opens.

    Args:
        base_url: The API's host.
        login: The app's client id and secret.
        practice_id: The vendor's id of the practice.
        budget: The account's, shared by everyone who uses it.
        token: Makes the account's shared token, given where to ask for one.
        clock: Tells the time.
        zone: The practice's, whose days the port speaks of.
        time_left: Seconds until this process is stopped.
    """
    client = open_client(f"{base_url}/v1/{quote(practice_id, safe='')}", {})
    tokens = token(TokenEndpoint(client, f"{base_url}/oauth2/v1/token", login, time_left))
    http = EhrHttp(
        client,
        budget,
        refusal_code=refusal_code,
        time_left=time_left,
        form=True,
        tokens=tokens,
        watch=QuotaWatch(clock),
    )
    return Athena(http, zone)


class Athena:
    """One athenahealth practice as `moonlit.ehr.port.Ehr`.

    Days in its questions are days of each department, so every question asks for one more on each side and the answer
    is cut by the practice's own.
    """

    def __init__(self, http: EhrHttp, zone: ZoneInfo) -> None:
        self._calls = Calls(http)
        self._catalog = Catalog(self._calls)
        self._patients = Patients(self._calls, self._catalog)
        self._details = Details(self._calls, self._patients)
        self._slots = Slots(self._calls, self._catalog, zone)
        self._feed = Feed(self._calls, self._catalog)
        self._zone = zone

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def changed_since(self, day: date, page: int, lane: Lane) -> Page:
        """Return page `page` (from 1) of the visits changed on or after the practice's `day`.

        Unlike the feed of changes, this may be asked again. The zone of its stamp is not documented: a day more.
        """
        stamp = f"{day_text(day - _DAY)} 00:00:00"
        days = {"startdate": day_text(day - _OLDEST), "enddate": day_text(day + _FARTHEST)}
        return self._page({**days, "startlastmodified": stamp}, page, lane)

    def window(self, first: date, last: date, page: int, lane: Lane) -> Page:
        """Return page `page` of the visits that start on the practice's days `first` to `last`, both inclusive."""
        found = self._page(padded_days(first, last), page, lane)
        return Page(within(found.visits, (first, last), self._zone), found.is_last, found.unreadable)

    def deleted(self, page: int, lane: Lane) -> Page:  # noqa: ARG002
        """Return nothing: only slots that nobody has booked can be deleted; a visit is cancelled, and stays."""
        return Page((), is_last=True)

    def take_changes(self, lane: Lane) -> Changes:
        """Return changes that nobody has been given yet; see `Feed.take`."""
        return self._feed.take(lane)

    def ensure_subscribed(self, lane: Lane) -> None:
        """Subscribe to every change of every department, unless that is so; see `Feed.ensure_subscribed`."""
        self._feed.ensure_subscribed(lane)

    def visits_of_practitioner(self, practitioner_id: str, first: date, last: date, lane: Lane) -> Sequence[EhrVisit]:
        """Return a practitioner's visits on the practice's days `first` to `last`.

        Raises:
            EhrRefused: `unreadable`: a row left out here would be taken for a visit that is not there.
        """
        return self._visits({"providerid": practitioner_id}, first, last, lane)

    def visits_of_client(self, email: str, first: date, last: date, lane: Lane) -> Page:
        """Return a patient's visits on the practice's days `first` to `last`.

        athenahealth finds nobody by an address alone, so what is given here is the patient's id in athenahealth.

        Raises:
            EhrRefused: `client_id_needed` for an address.
        """
        if not email.isdecimal():
            raise EhrRefused("client_id_needed")
        asked = self._everywhere({"patientid": email, **padded_days(first, last)}, lane)
        visits, unreadable = self._readable(list(self._calls.rows(_BOOKED, "appointments", lane, asked)), lane)
        found = {visit.external_id: visit for visit in visits}.values()
        return Page(within(found, (first, last), self._zone), is_last=True, unreadable=unreadable)

    def visit(self, external_id: str, lane: Lane) -> EhrVisit | None:
        """Return one visit; None when the EHR does not know the id, or only as a slot that nobody has booked."""
        row = self._calls.one(appointment_path(external_id), lane, WITH_PATIENT)
        return None if row is None or is_slot(row) else visit_of(row, self._catalog.practice([row], lane))

    def client_for(self, details: ClientDetails, lane: Lane) -> str:
        """Return the id of the patient who is this person, else of a new one; see `Patients.client_for`."""
        return self._patients.client_for(details, lane)

    def book(self, visit: NewVisit, lane: Lane) -> EhrVisit:
        """Book an open slot, confirmed, with the EHR's own mails off.

        Raises:
            EhrRefused: `409` when the slot is taken, or there is none to take.
        """
        if visit.slot_id is None:
            raise EhrRefused(TAKEN)
        self._catalog.department_ids(lane)  # What the answer is read with; afterwards it would be too late to fail.
        form = {
            "patientid": visit.client_id,
            "reasonid": visit.ehr_service_id,
            "nopatientcase": "true",
            "donotsendconfirmationemail": "true",
        }
        place = {"departmentid": visit.location_id} if visit.location_id else {}
        answer = self._calls.send("PUT", appointment_path(visit.slot_id), lane, form | place)
        return self._written(answer, visit.slot_id, visit.client_id, lane)

    def reschedule(self, move: Move, lane: Lane) -> EhrVisit:
        """Move the visit into another slot, whose id it has from now on.

        The answer leaves most of the visit out, so it is read again.

        Raises:
            EhrRefused: `409` when the slot is taken, or there is none to take; the visit stands where it was.
        """
        if move.slot_id is None:
            raise EhrRefused(TAKEN)
        self._catalog.department_ids(lane)
        form = {"newappointmentid": move.slot_id, "patientid": move.client_id, "nopatientcase": "true"}
        reason = {"reasonid": move.ehr_service_id} if move.ehr_service_id else {}
        answer = self._calls.send("PUT", f"{appointment_path(move.external_id)}/reschedule", lane, form | reason)
        if str(written_row(answer).get("appointmentid")) != move.slot_id:
            raise EhrOutcomeUnknown("answered another visit")
        try:
            moved = self.visit(move.slot_id, lane)
        except (EhrUnavailable, EhrRefused):
            moved = None
        if moved is None:
            raise EhrOutcomeUnknown("moved, but not to be read")
        return moved

    def cancel(self, external_id: str, client_id: str | None, reason: str, lane: Lane) -> None:
        """Cancel the visit; a visit that is already cancelled, or gone, stays so.

        Without a reason from the practice's own list the vendor opens the slot again.
        """
        if client_id is None:
            visit = self.visit(external_id, lane)
            if visit is None or visit.status == "cancelled":
                return
            client_id = visit.client_id
        form = {"patientid": client_id or "", "cancellationreason": reason, "nopatientcase": "true"}
        try:
            answer = self._calls.send("PUT", f"{appointment_path(external_id)}/cancel", lane, form)
        except EhrRefused:
            visit = self.visit(external_id, lane)
            if visit is not None and visit.status != "cancelled":
                raise
            return
        if not isinstance(answer, Mapping) or answer.get("status") != _CANCELLED:
            raise EhrOutcomeUnknown("answered something other than a cancellation")

    def add_details(self, external_id: str, client_id: str, details: VisitDetails, lane: Lane) -> None:
        """Set on a booked visit what a booking cannot carry; once more changes nothing. See `Details.add`."""
        self._details.add(external_id, client_id, details, lane)

    def open_slots(
        self, seats: Sequence[tuple[str, str]], service_ids: Sequence[str], first: date, last: date, lane: Lane
    ) -> Sequence[OpenSlot]:
        """Return the open slots of `seats` on the practice's days `first` to `last`, those frozen left out."""
        return self._slots.open(seats, service_ids, (first, last), lane)

    def freeze(self, slot_id: str, lane: Lane) -> None:
        """Keep an open slot from everybody else; see `Slots.freeze`."""
        self._slots.freeze(slot_id, lane)

    def thaw(self, slot_id: str, lane: Lane) -> None:
        """Open a slot that was frozen; see `Slots.thaw`."""
        self._slots.thaw(slot_id, lane)

    def catalog(self, seats: Sequence[tuple[str, str]], lane: Lane) -> EhrSettings:
        """Return what the practice has set up now; see `read_settings`."""
        return read_settings(self._calls, seats, lane)

    def _written(self, answer: Any, slot_id: str, client_id: str, lane: Lane) -> EhrVisit:
        """Read what a booking answers, and make sure that it is this one."""
        row = written_row(answer)
        try:
            visit = visit_of(row, self._catalog.practice([row], lane))
        except (EhrUnavailable, EhrRefused):
            raise EhrOutcomeUnknown("answered a visit that makes no sense") from None
        if (visit.external_id, visit.client_id, visit.status) != (slot_id, client_id, "confirmed"):
            raise EhrOutcomeUnknown("answered another visit")
        return visit

    def _page(self, parameters: Mapping[str, str], page: int, lane: Lane) -> Page:
        asked = self._everywhere(parameters, lane)
        rows, more = self._calls.page(_BOOKED, "appointments", lane, asked, page)
        visits, unreadable = self._readable(rows, lane)
        return Page(visits, not more, unreadable)

    def _visits(self, parameters: Mapping[str, str], first: date, last: date, lane: Lane) -> list[EhrVisit]:
        asked = self._everywhere({**parameters, **padded_days(first, last)}, lane)
        rows = [row for row in self._calls.rows(_BOOKED, "appointments", lane, asked) if not is_slot(row)]
        practice = self._catalog.practice(rows, lane)
        visits = (visit_of(row, practice) for row in rows)
        return within({visit.external_id: visit for visit in visits}.values(), (first, last), self._zone)

    def _everywhere(self, parameters: Mapping[str, str], lane: Lane) -> dict[str, str]:
        departments = joined(self._catalog.department_ids(lane))
        return {**parameters, "departmentid": departments, "showcancelled": "true", **WITH_PATIENT}

    def _readable(self, rows: Sequence[Any], lane: Lane) -> tuple[list[EhrVisit], list[str]]:
        booked = [row for row in rows if not is_slot(row)]
        practice = self._catalog.practice(booked, lane)
        visits: list[EhrVisit] = []
        unreadable: list[str] = []
        for row in booked:
            try:
                visits.append(visit_of(row, practice))
            except EhrRefused:
                unreadable.append(id_of(row))
        return visits, unreadable
