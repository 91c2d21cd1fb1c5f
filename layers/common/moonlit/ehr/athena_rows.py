"""athenahealth's JSON as it really comes, read into the port's words.

One id comes as a number here and as text there, booleans come as words, times are wall-clock times of the department,
and stamps of changes are in US Eastern: to the second, and one hour in autumn cannot be told from the next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from moonlit.ehr.port import EhrRefused, EhrVisit, OpenSlot
from moonlit.ehr.rows import PersonRow, VendorRow, hash_of, refuse_unstorable
from moonlit.observability import logger

_EASTERN = ZoneInfo("US/Eastern")
_DAY, _WALL_CLOCK, _STAMP = "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S"
_OPEN, _CANCELLED = "o", "x"
_TAKEN = frozenset("f234")  # Future, checked in, checked out, charge entered.
_NOT_TO_BE_BOOKED = frozenset({"deleted", "inactive"})

# The version of a row that does not say when it was changed: older than every other, so that it hides none of them.
_NO_VERSION = datetime(1970, 1, 1, tzinfo=UTC)


class _DepartmentRow(VendorRow):
    department_id: str = Field(alias="departmentid", min_length=1)
    name: str | None = None
    zone_name: str | None = Field(default=None, alias="timezonename")
    offset_hours: float | None = Field(default=None, alias="timezoneoffset", ge=-14, le=14)
    stays_on_standard_time: bool = Field(default=False, alias="doesnotobservedst")


class _CancelReasonRow(VendorRow):
    reason_id: str = Field(alias="appointmentcancelreasonid", min_length=1)
    no_show: bool = Field(default=False, alias="noshow")


class _SlotRow(VendorRow):
    external_id: str = Field(alias="appointmentid", min_length=1)
    department_id: str = Field(alias="departmentid", min_length=1)
    practitioner_id: str | None = Field(default=None, alias="providerid")
    day: str = Field(alias="date")
    starts: str = Field(alias="starttime")
    minutes: int = Field(alias="duration", gt=0, le=24 * 60)
    reason_ids: list[str] | str | None = Field(default=None, alias="reasonid")
    frozen: bool = Field(default=False, validation_alias=AliasChoices("frozenyn", "frozen"))


class _AppointmentRow(_SlotRow):
    status: str = Field(alias="appointmentstatus", min_length=1)
    client_id: str | None = Field(default=None, alias="patientid")
    modified: str | None = Field(default=None, alias="lastmodified")
    scheduled: str | None = Field(default=None, alias="scheduleddatetime")
    cancelled: str | None = Field(default=None, alias="cancelleddatetime")
    cancel_reason_id: str | None = Field(default=None, alias="cancelreasonid")
    is_no_show: bool | None = Field(default=None, alias="cancelreasonnoshow")
    moved_to: str | None = Field(default=None, alias="rescheduledappointmentid")
    patient: Any = None


class PatientRow(PersonRow):
    """A patient; `sex` is M, F or nothing."""

    patient_id: str = Field(alias="patientid", min_length=1)
    first_name: str | None = Field(default=None, alias="firstname")
    last_name: str | None = Field(default=None, alias="lastname")
    email: str | None = None
    birth_date: str | None = Field(default=None, alias="dob")
    mobile_phone: str | None = Field(default=None, alias="mobilephone")
    home_phone: str | None = Field(default=None, alias="homephone")
    work_phone: str | None = Field(default=None, alias="workphone")
    status: str | None = None
    sex: str | None = None

    @property
    def is_bookable(self) -> bool:
        """Tell whether the record is in use: not deleted, not merged into another, not put aside."""
        return (self.status or "").casefold() not in _NOT_TO_BE_BOOKED

    def born(self) -> date | None:
        """Return the birth date."""
        return day_of(self.birth_date)

    def phones(self) -> Sequence[str | None]:
        """Return every number."""
        return self.mobile_phone, self.home_phone, self.work_phone


class CreatedRow(VendorRow):
    """What creating a patient answers: a message beside the id says that the id is not new."""

    patient_id: str | None = Field(default=None, alias="patientid")
    message: str | None = Field(default=None, alias="errormessage")


class InsuranceRow(VendorRow):
    """A policy of a patient."""

    insurance_id: str | None = Field(default=None, alias="insuranceid")
    package_id: str | None = Field(default=None, alias="insurancepackageid")
    member_id: str | None = Field(default=None, alias="insuranceidnumber")
    sequence: int | None = Field(default=None, alias="sequencenumber")


@dataclass(frozen=True, slots=True)
class Department:
    """A place, and the zone of its clock."""

    name: str | None
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Practice:
    """What has to be known of a practice to read its calendar: departments, and reasons that mean nobody came."""

    departments: Mapping[str, Department]
    no_show_reasons: Collection[str] = ()


_APPOINTMENT, _SLOT = TypeAdapter(_AppointmentRow), TypeAdapter(_SlotRow)


def parsed[Row: VendorRow](kind: type[Row], row: Any) -> Row:
    """Read a row.

    Raises:
        EhrRefused: `unreadable`; nothing of the row is quoted.
    """
    try:
        return kind.model_validate(row)
    except ValidationError:
        raise EhrRefused("unreadable") from None


def department_of(row: Any) -> tuple[str, Department]:
    """Read a department, with its id.

    Raises:
        EhrRefused: `unreadable`: without a zone its times mean nothing.
    """
    read = parsed(_DepartmentRow, row)
    if read.stays_on_standard_time and read.offset_hours is not None:
        zone: tzinfo = timezone(timedelta(hours=read.offset_hours))
    else:
        try:
            zone = ZoneInfo(read.zone_name or "")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise EhrRefused("unreadable") from None
    return read.department_id, Department(read.name or None, zone)


def no_show_reason_of(row: Any) -> str | None:
    """Return a cancel reason's id when it says that the patient did not come."""
    read = parsed(_CancelReasonRow, row)
    return read.reason_id if read.no_show else None


def names_unknown_reason(row: Any) -> bool:
    """Tell whether a cancelled row leaves it to the list of reasons whether the patient did not come."""
    return (
        isinstance(row, Mapping)
        and row.get("appointmentstatus") == _CANCELLED
        and row.get("cancelreasonnoshow") is None
        and row.get("cancelreasonid") not in (None, "")
    )


def is_slot(row: Any) -> bool:
    """Tell whether a row is an open slot, which is nobody's visit."""
    return isinstance(row, Mapping) and row.get("appointmentstatus") == _OPEN


def is_frozen_slot(row: Any) -> bool:
    """Tell whether a row is a slot that is kept from everybody."""
    return is_slot(row) and parsed(_SlotRow, row).frozen


def visit_of(row: Any, practice: Practice) -> EhrVisit:
    """Read an appointment that is no open slot, from a list, by its id or out of the feed of changes.

    A place's kind is left open: the vendor has an id of its own for it, which need not be the code that payers know.

    Raises:
        EhrRefused: `unreadable`; nothing of the row is quoted.
    """
    try:
        read = _APPOINTMENT.validate_python(row)
        starts_at, ends_at, department = _times(read, practice)
        refuse_unstorable(row)
    except (ValidationError, LookupError, OverflowError, ValueError):
        raise EhrRefused("unreadable") from None
    if read.status == _OPEN:
        raise EhrRefused("unreadable")
    patient = _patient(read.patient)
    parts: dict[str, Any] = {
        "client_id": read.client_id or None,
        "client_email": patient.email or None if patient else None,
        "client_birth_date": patient.born() if patient else None,
        "practitioner_id": read.practitioner_id or None,
        "ehr_service_id": next(iter(_reasons(read)), None),
        "starts_at": starts_at,
        "ends_at": ends_at,
        "status": _status(read, practice),
        "location_name": department.name,
        "location_id": read.department_id,
        "moved_to": read.moved_to or None,
    }
    stamps = [stamp for stamp in map(_instant, (read.modified, read.scheduled, read.cancelled)) if stamp]
    return EhrVisit(
        external_id=read.external_id,
        modified_at=_instant(read.modified) or max(stamps, default=_NO_VERSION),
        created_at=_instant(read.scheduled),
        meeting_url=None,
        place_of_service=None,
        # Without the version: what a write answers has none, and a new one may come without any other change.
        content_hash=hash_of(parts),
        raw=row,
        **parts,
    )


def open_slot_of(row: Any, practice: Practice) -> OpenSlot | None:
    """Read an open slot; None when it is frozen.

    Raises:
        EhrRefused: `unreadable`.
    """
    try:
        read = _SLOT.validate_python(row)
        starts_at, ends_at, _ = _times(read, practice)
    except (ValidationError, LookupError, OverflowError, ValueError):
        raise EhrRefused("unreadable") from None
    if read.frozen:
        return None
    return OpenSlot(
        slot_id=read.external_id,
        practitioner_id=read.practitioner_id or "",
        location_id=read.department_id,
        reason_ids=_reasons(read),
        starts_at=starts_at,
        ends_at=ends_at,
    )


def day_text(day: date) -> str:
    """Return a day as the vendor writes it."""
    return f"{day:{_DAY}}"


def day_of(text: str | None) -> date | None:
    """Read a day; None when it is none."""
    try:
        return _naive(text or "", _DAY).date()
    except ValueError:
        return None


def _times(read: _SlotRow, practice: Practice) -> tuple[datetime, datetime, Department]:
    """Return when it starts and ends, and where.

    A wall-clock time that a change of the clock skips is taken an hour later, one that it repeats is the first.
    """
    department = practice.departments[read.department_id]
    local = _naive(f"{read.day} {read.starts}", _WALL_CLOCK).replace(tzinfo=department.zone, fold=0)
    starts_at = local.astimezone(UTC)
    return starts_at, starts_at + timedelta(minutes=read.minutes), department


def _naive(text: str, form: str) -> datetime:
    return datetime.strptime(text, form)  # noqa: DTZ007  # The caller knows the zone.


def _instant(stamp: str | None) -> datetime | None:
    """Read a stamp; one that makes no sense must not hide the visit, whose time is taken all the same."""
    try:
        return _naive(stamp or "", _STAMP).replace(tzinfo=_EASTERN).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _status(read: _AppointmentRow, practice: Practice) -> str:
    """Translate the status; one that nobody has met keeps the time taken, since selling it twice is worse."""
    if read.status in _TAKEN:
        return "confirmed"
    if read.status == _CANCELLED:
        by_reason = read.cancel_reason_id in practice.no_show_reasons
        return "no_show" if (by_reason if read.is_no_show is None else read.is_no_show) else "cancelled"
    logger.warning("ehr_status_unknown", external_id=read.external_id)
    return "scheduled"


def _reasons(read: _SlotRow) -> Sequence[str]:
    reasons = [read.reason_ids] if isinstance(read.reason_ids, str) else read.reason_ids or []
    return tuple(reason for reason in reasons if reason)


def _patient(row: Any) -> PatientRow | None:
    """Read the patient within an appointment; what is odd about them does not hide the visit."""
    try:
        return PatientRow.model_validate(row)
    except ValidationError:
        return None
