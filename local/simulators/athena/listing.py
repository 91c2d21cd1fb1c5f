"""Lists of slots and appointments: which rows, in which order, on which page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from local.simulators.athena.account import Account
from local.simulators.athena.answers import missing
from local.simulators.athena.fitting import Openings, chain, fits_type, is_offered, openings
from local.simulators.athena.forms import Parameters
from local.simulators.athena.shapes import open_row, slot_row
from local.simulators.athena.slot import CANCELLED, Slot
from local.simulators.common.answers import Row

ANY = "-1"


def paged(account: Account, request: web.Request, name: str, rows: Sequence[Any]) -> Row:
    """Return one page of rows beside the relative addresses of its neighbours."""
    parameters = Parameters(request.query)
    highest = account.settings.page_limit
    limit = max(1, min(parameters.number("limit", highest), highest))
    offset = parameters.number("offset", 0)
    answer: Row = {"totalcount": len(rows), name: rows[offset : offset + limit]}
    others = [(key, value) for key, value in request.query.items() if key not in ("limit", "offset")]

    def address(begins: int) -> str:
        return f"{request.path}?{urlencode([*others, ('limit', limit), ('offset', begins)])}"

    if offset + limit < len(rows):
        answer["next"] = address(offset + limit)
    if offset:
        answer["previous"] = address(max(0, offset - limit))
    return answer


class OpenSearch:
    """One search for open slots, with the defaults that hide most of them."""

    def __init__(self, account: Account, parameters: Parameters, now: datetime) -> None:
        self._account = account
        self._now = now
        self._parameters = parameters
        self._departments = parameters.ids("departmentid")
        self._reasons = parameters.ids("reasonid")
        self._types = parameters.ids("appointmenttypeid")
        self._providers = parameters.ids("providerid")
        if not self._departments:
            raise missing(["departmentid"])
        if self._reasons and ANY not in self._reasons and not self._providers:
            raise missing(["providerid"])
        self._shows_frozen = parameters.flag("showfrozenslots")
        self._first, self._last = self._days()

    def rows(self) -> list[Row]:
        """Return the slots found, the earliest first; none at all without a reason or a type."""
        found = []
        free = openings(self._account)
        for slot in sorted(self._account.slots.values(), key=lambda slot: (slot.start, int(slot.id))):
            reasons = self._reasons_of(slot, free) if self._may_show(slot) else []
            if reasons:
                found.append(open_row(self._account, slot, reasons, shows_frozen=self._shows_frozen))
        return found

    def _days(self) -> tuple[datetime, datetime]:
        """Return the first day asked for and the first one after, both as midnights without a zone."""
        given, last = self._parameters.day("startdate"), self._parameters.day("enddate")
        known = next((each for each in self._departments if each in self._account.departments), None)
        today = self._account.today(known, self._now) if known else self._now.replace(tzinfo=None)
        first = datetime.combine(given, datetime.min.time()) if given else today
        days = timedelta(days=self._account.settings.open_default_days)
        until = datetime.combine(last, datetime.min.time()) if last else first + days
        return first, until + timedelta(days=1)

    def _may_show(self, slot: Slot) -> bool:
        return (
            slot.is_open
            and slot.department_id in self._departments
            and (not self._providers or slot.provider_id in self._providers)
            and self._first <= slot.start < self._last
            and (slot.is_schedulable or self._parameters.flag("ignoreschedulablepermission"))
            and (not slot.is_frozen or self._shows_frozen)
            and self._in_time(slot)
        )

    def _in_time(self, slot: Slot) -> bool:
        starts_at, settings = self._account.starts_at(slot), self._account.settings
        if starts_at <= self._now:
            return False
        if self._parameters.flag("bypassscheduletimechecks"):
            return True
        earliest = self._now + timedelta(hours=settings.open_min_hours)
        return earliest <= starts_at <= self._now + timedelta(days=settings.open_max_days)

    def _reasons_of(self, slot: Slot, free: Openings) -> list[str]:
        """Return for which of the reasons asked for the slot is offered; `-1` is for any, and asks for nothing else."""
        account = self._account
        if ANY in self._reasons:
            return [ANY]
        if self._reasons:
            return [each for each in self._reasons if self._offers(slot, each, free)]
        fitting = (each for each in self._types if each in account.types and fits_type(account, slot, each))
        return [ANY] if any(chain(account, slot, each, free) is not None for each in fitting) else []

    def _offers(self, slot: Slot, reason_id: str, free: Openings) -> bool:
        account, reason = self._account, self._account.reasons.get(reason_id)
        if reason is None or not is_offered(account, slot, reason):
            return False
        notice = account.starts_at(slot) - self._now.astimezone(UTC)
        if not timedelta(hours=reason.schedulingminhours) <= notice <= timedelta(days=reason.schedulingmaxdays):
            return False
        return chain(account, slot, reason.appointmenttypeid or slot.type_id, free) is not None


def booked(account: Account, parameters: Parameters) -> list[Row]:
    """Return the appointments that fit the query, the earliest first; never an open slot.

    Raises:
        Refusal: The days are missing or make no sense.
    """
    parameters.need("startdate", "enddate")
    found = [slot for slot in account.slots.values() if slot.is_booked and _is_wanted(slot, parameters)]
    return [slot_row(account, slot) for slot in sorted(found, key=lambda slot: (slot.start, int(slot.id)))]


def _is_wanted(slot: Slot, parameters: Parameters) -> bool:
    departments, providers = parameters.ids("departmentid"), parameters.ids("providerid")
    status, patient_id = parameters.text("appointmentstatus"), parameters.text("patientid")
    first, last = parameters.day("startdate"), parameters.day("enddate")
    changed_from, changed_to = parameters.instant("startlastmodified"), parameters.instant("endlastmodified")
    changed_at = slot.modified_at.replace(microsecond=0)
    return bool(
        first
        and last
        and first <= slot.start.date() <= last
        and (not departments or slot.department_id in departments)
        and (not providers or slot.provider_id in providers)
        and (slot.status != CANCELLED or parameters.flag("showcancelled"))
        and status in (None, slot.status)
        and (patient_id is None or (slot.booking and slot.booking.patient_id == patient_id))
        and (changed_from is None or changed_from <= changed_at)
        and (changed_to is None or changed_at <= changed_to)
    )
