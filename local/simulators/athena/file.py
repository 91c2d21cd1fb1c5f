"""The account file, parsed: docs/athena-account.md describes it. Rows keep the vendor's other fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Text = Annotated[str, BeforeValidator(str)]
"""An id: a number or text in the file, text inside."""
Day = Annotated[str, Field(pattern=r"^\d\d/\d\d/\d{4}$")]
Time = Annotated[str, Field(pattern=r"^\d\d:\d\d$")]

EVENTS = (
    "ScheduleAppointment", "CheckIn", "CheckOut", "UpdateAppointment", "CancelAppointment", "UpdateReminderCall",
    "UpdateSuggestedOverbooking", "FreezeAppointment", "UnfreezeAppointment", "DeleteAppointment", "AddAppointmentSlot",
)  # fmt: skip


class _Vendor(BaseModel):
    """A row with the vendor's own fields; those not named here are handed on as they are."""

    model_config = ConfigDict(extra="allow")


class _Ours(BaseModel):
    """A part of the file that the vendor does not have."""

    model_config = ConfigDict(extra="forbid")


class Department(_Vendor):
    """A department; its clock is the wall clock of its slots."""

    departmentid: Text
    name: str
    timezonename: str = "US/Mountain"
    doesnotobservedst: bool = False


class Provider(_Vendor):
    """A provider's schedule."""

    providerid: Text
    firstname: str
    lastname: str


class AppointmentType(_Vendor):
    """A kind of appointment; slots of a generic one may be booked as any other."""

    appointmenttypeid: Text
    name: str
    shortname: str = ""
    duration: int = Field(gt=0)
    generic: bool = False
    patient: bool = True
    patientdisplayname: str = ""
    templatetypeonly: bool = False


class Reason(_Ours):
    """Why patients come, and the appointment type that a booking for it becomes; None keeps the slot's own."""

    reasonid: Text
    reason: str
    description: str = ""
    reasontype: Literal["new", "existing", "all"] = "all"
    schedulingminhours: int = 0
    schedulingmaxdays: int = 365
    appointmenttypeid: Text | None = None
    departmentids: tuple[Text, ...] = ()
    providerids: tuple[Text, ...] = ()


class CancelReason(_Ours):
    """Why a visit was cancelled; `slotavailable` decides whether its time may be booked again."""

    appointmentcancelreasonid: Text
    name: str
    noshow: bool = False
    patientrescheduled: bool = False
    providerunavailable: bool = False
    slotavailable: bool = True


class _Placed(_Ours):
    """Something on a provider's schedule in a department."""

    providerid: Text
    departmentid: Text
    appointmenttypeid: Text


class Slot(_Placed):
    """An open slot."""

    appointmentid: Text | None = None
    date: Day
    starttime: Time
    duration: int | None = None
    reasonids: tuple[Text, ...] = ()
    schedulable: bool = True
    frozen: bool = False


class Pattern(_Placed):
    """Slots one after the other between two times of day, on some weekdays (0 is Monday) of some weeks."""

    startdate: Day
    enddate: Day
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: Time = Field(alias="from")
    end: Time = Field(alias="to")
    minutes: int | None = Field(default=None, gt=0)
    reasonids: tuple[Text, ...] = ()
    schedulable: bool = True


class Appointment(_Placed):
    """A slot that somebody has, or had."""

    appointmentid: Text
    patientid: Text
    date: Day
    starttime: Time
    duration: int | None = None
    appointmentstatus: Literal["f", "2", "3", "4", "x"] = "f"
    renderingproviderid: Text | None = None
    supervisingproviderid: Text | None = None
    cancelreasonid: Text | None = None
    rescheduledappointmentid: Text | None = None
    scheduledby: str = "frontdesk1"
    lastmodified: AwareDatetime | None = None


class Limits(_Ours):
    """How many calls the vendor takes; None for any number."""

    per_second: int | None = None
    per_day: int | None = 50_000
    token_per_minute: int | None = 5


class Settings(_Ours):
    """What the practice, and this simulator, are set to; docs/athena-account.md says what each is."""

    open_default_days: int = 7
    open_min_hours: int = 24
    open_max_days: int = 90
    page_limit: int = Field(default=1000, gt=0)
    last_name_length: int = 20
    best_match_score: int = 26
    api_user: str = "API-10001"
    subscription_delay_seconds: int = 0
    insurance_answers: Literal["full", "without_id", "success_only"] = "full"


class Grants(_Ours):
    """What the app may do beyond reading and booking; what is not granted answers 403."""

    freeze: bool = True
    create_slots: bool = True
    delete_slots: bool = True
    changed: bool = True
    best_match: bool = True


class Subscription(_Ours):
    """What the changed feed tells of; no departments means all of them."""

    events: tuple[str, ...] = EVENTS
    departmentids: tuple[Text, ...] = ()


class Change(BaseModel):
    """Something that staff will do at `at`: the other fields are those of the control below /_control/staff."""

    model_config = ConfigDict(extra="allow")
    at: AwareDatetime
    action: str


class AccountFile(_Ours):
    """A practice as athenahealth has it."""

    practice_id: Text
    client_id: str
    client_secret: str
    limits: Limits = Limits()
    settings: Settings = Settings()
    grants: Grants = Grants()
    departments: tuple[Department, ...] = Field(min_length=1)
    providers: tuple[Provider, ...]
    appointmenttypes: tuple[AppointmentType, ...]
    reasons: tuple[Reason, ...] = ()
    cancelreasons: tuple[CancelReason, ...] = ()
    insurancepackages: tuple[dict[str, Any], ...] = ()
    slots: tuple[Slot, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    appointments: tuple[Appointment, ...] = ()
    patients: tuple[dict[str, Any], ...] = ()
    insurances: tuple[dict[str, Any], ...] = ()
    subscription: Subscription | None = None
    changes: tuple[Change, ...] = ()
    as_of: AwareDatetime | None = None

    @model_validator(mode="after")
    def _refers_to_its_own(self) -> Self:
        """Refuse slots of departments, providers and types that are not in the file."""
        departments = {row.departmentid for row in self.departments}
        providers = {row.providerid for row in self.providers}
        types = {row.appointmenttypeid for row in self.appointmenttypes}
        patients = {str(row.get("patientid")) for row in self.patients}
        placed: tuple[_Placed, ...] = (*self.slots, *self.patterns, *self.appointments)
        for row in placed:
            if row.departmentid not in departments or row.providerid not in providers:
                raise ValueError(f"department {row.departmentid} or provider {row.providerid} is not in the file")
            if row.appointmenttypeid not in types:
                raise ValueError(f"appointment type {row.appointmenttypeid} is not in the file")
            if isinstance(row, Appointment) and row.patientid not in patients:
                raise ValueError(f"patient {row.patientid} is not in the file")
        return self
