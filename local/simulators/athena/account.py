"""The practice that the simulator serves: its catalog, its slots, its patients."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from local.simulators.athena.file import (
    AccountFile,
    Appointment,
    AppointmentType,
    CancelReason,
    Pattern,
    Reason,
)
from local.simulators.athena.file import Slot as FileSlot
from local.simulators.athena.slot import CANCELLED, Booking, Cancellation, Slot
from local.simulators.athena.wire import department_zone, exists, read_day, read_local
from local.simulators.common.answers import Row

FROM_API = CancelReason(appointmentcancelreasonid="-5", name="CANCELLED FROM API")
_STAFF = "frontdesk1"
_FIRST = {"slot": 1_204_880, "patient": 50_340, "insurance": 9_126}


class Account:
    """Everything by its id as text; ids take other types only on their way out."""

    def __init__(self, file: Mapping[str, Any], now: datetime) -> None:
        """Read an account file.

        Raises:
            pydantic.ValidationError: It is none; docs/athena-account.md describes it.
        """
        said = AccountFile.model_validate(file)
        self.practice_id, self.client_id, self.client_secret = said.practice_id, said.client_id, said.client_secret
        self.settings, self.grants, self.limits = said.settings, said.grants, said.limits
        self.departments = {row.departmentid: row for row in said.departments}
        self.providers = {row.providerid: row for row in said.providers}
        self.types: dict[str, AppointmentType] = {row.appointmenttypeid: row for row in said.appointmenttypes}
        self.reasons: dict[str, Reason] = {row.reasonid: row for row in said.reasons}
        self.cancel_reasons = {row.appointmentcancelreasonid: row for row in (*said.cancelreasons, FROM_API)}
        self.packages: dict[str, Row] = {str(row["insurancepackageid"]): row for row in said.insurancepackages}
        self.patients: dict[str, Row] = {str(row["patientid"]): _patient(row) for row in said.patients}
        self.insurances: dict[str, Row] = {str(row["insuranceid"]): dict(row) for row in said.insurances}
        self.slots: dict[str, Slot] = {}
        self.subscription = said.subscription
        self.changes = deque(sorted(said.changes, key=lambda change: change.at))
        self._zones = {
            row.departmentid: department_zone(row.timezonename, observes_dst=not row.doesnotobservedst)
            for row in said.departments
        }
        self._last = {
            "slot": _highest(
                "slot",
                (*(row.appointmentid for row in said.slots), *(row.appointmentid for row in said.appointments)),
            ),
            "patient": _highest("patient", self.patients),
            "insurance": _highest("insurance", self.insurances),
        }
        self._fill(said, now)

    def next_id(self, kind: str) -> str:
        """Return a number that no slot, patient or insurance has yet."""
        self._last[kind] += 1
        return str(self._last[kind])

    def zone(self, department_id: str) -> tzinfo:
        """Return a department's zone."""
        return self._zones[department_id]

    def starts_at(self, slot: Slot) -> datetime:
        """Return the instant at which a slot begins."""
        return slot.start.replace(tzinfo=self.zone(slot.department_id))

    def today(self, department_id: str, now: datetime) -> datetime:
        """Return the department's midnight, by its own clock."""
        return now.astimezone(self.zone(department_id)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)

    def add(self, slot: Slot) -> Slot:
        """Put a slot on its schedule."""
        self.slots[slot.id] = slot
        return slot

    def _fill(self, said: AccountFile, now: datetime) -> None:
        for row in said.slots:
            self.add(self.open_slot(row.model_dump(), now))
        for pattern in said.patterns:
            for start in self._starts(pattern):
                self.add(self._of_pattern(pattern, start, now))
        for appointment in said.appointments:
            self.add(self._booked(appointment, now))

    def open_slot(self, fields: Mapping[str, Any], now: datetime, by: str = _STAFF) -> Slot:
        """Return an open slot, not on its schedule yet, from the fields that the account file has for one.

        Raises:
            pydantic.ValidationError: They do not make a slot.
        """
        row = FileSlot.model_validate(fields)
        return Slot(
            id=row.appointmentid or self.next_id("slot"),
            provider_id=row.providerid,
            department_id=row.departmentid,
            start=read_local(row.date, row.starttime),
            minutes=row.duration or self.types[row.appointmenttypeid].duration,
            type_id=row.appointmenttypeid,
            reason_ids=row.reasonids,
            is_schedulable=row.schedulable,
            is_frozen=row.frozen,
            modified_at=now,
            modified_by=by,
        )

    def _starts(self, pattern: Pattern) -> Iterator[datetime]:
        """Yield when the pattern's slots begin; times that the department's clock skips are left out."""
        length = timedelta(minutes=self._minutes(pattern))
        day, last = read_day(pattern.startdate), read_day(pattern.enddate)
        while day <= last:
            if day.weekday() in pattern.weekdays:
                written = f"{day:%m/%d/%Y}"
                start, end = read_local(written, pattern.start), read_local(written, pattern.end)
                while start + length <= end:
                    if exists(start, self.zone(pattern.departmentid)):
                        yield start
                    start += length
            day += timedelta(days=1)

    def _minutes(self, pattern: Pattern) -> int:
        return pattern.minutes or self.types[pattern.appointmenttypeid].duration

    def _of_pattern(self, pattern: Pattern, start: datetime, now: datetime) -> Slot:
        return Slot(
            id=self.next_id("slot"),
            provider_id=pattern.providerid,
            department_id=pattern.departmentid,
            start=start,
            minutes=self._minutes(pattern),
            type_id=pattern.appointmenttypeid,
            reason_ids=pattern.reasonids,
            is_schedulable=pattern.schedulable,
            modified_at=now,
            modified_by=_STAFF,
        )

    def _booked(self, row: Appointment, now: datetime) -> Slot:
        minutes = row.duration or self.types[row.appointmenttypeid].duration
        changed = row.lastmodified or now
        booking = Booking(
            patient_id=row.patientid,
            type_id=row.appointmenttypeid,
            reason_id=None,
            minutes=minutes,
            by=row.scheduledby,
            at=changed,
            rendering_id=row.renderingproviderid,
            supervising_id=row.supervisingproviderid,
        )
        if row.appointmentstatus == CANCELLED:
            reason_id = row.cancelreasonid or FROM_API.appointmentcancelreasonid
            booking.cancellation = Cancellation(
                reason_id=reason_id, by=row.scheduledby, at=changed, moved_to=row.rescheduledappointmentid
            )
        return Slot(
            id=row.appointmentid,
            provider_id=row.providerid,
            department_id=row.departmentid,
            start=read_local(row.date, row.starttime),
            minutes=minutes,
            type_id=row.appointmenttypeid,
            status=row.appointmentstatus,
            modified_at=changed,
            modified_by=row.scheduledby,
            booking=booking,
        )


def _patient(row: Row) -> Row:
    return {"status": "active"} | row | {"patientid": str(row["patientid"])}


def _highest(kind: str, ids: Any) -> int:
    return max((int(each) for each in ids if each and str(each).isdecimal()), default=_FIRST[kind])
