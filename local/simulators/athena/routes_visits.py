"""Booked appointments: booking, cancelling, rescheduling, reading."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from local.simulators.athena import insurances, patients
from local.simulators.athena.account import Account
from local.simulators.athena.answers import Refusal
from local.simulators.athena.calendar import Calendar, Request
from local.simulators.athena.fitting import Wish
from local.simulators.athena.forms import Parameters, form_of, query_of
from local.simulators.athena.listing import booked, paged
from local.simulators.athena.shapes import insurance_row, moved_row, slot_row
from local.simulators.athena.slot import Slot
from local.simulators.common.answers import Row
from local.simulators.common.faults import REFUSE_TAKEN

_OPTIONS = ("bookingnote", "donotsendconfirmationemail", "insuranceinfo", "nopatientcase", "urgentyn")


class VisitRoutes:
    """Handlers of appointments that somebody has or wants."""

    def __init__(self, account: Account, calendar: Calendar) -> None:
        self._account = account
        self._calendar = calendar

    def table(self, base: str) -> list[web.RouteDef]:
        """Return the routes below `base`; that of a single id comes last, because it would take the others'."""
        one = f"{base}/appointments/{{id}}"
        return [
            web.get(f"{base}/appointments/booked", self.listed),
            web.get(f"{base}/appointments/booked/multipledepartment", self.listed),
            web.put(f"{base}/appointments/booked/{{id}}", self.update),
            web.put(f"{one}/cancel", self.cancel),
            web.put(f"{one}/reschedule", self.reschedule),
            web.put(f"{one}/insurances", self.attach),
            web.get(one, self.read),
            web.put(one, self.book),
        ]

    async def listed(self, request: web.Request) -> web.Response:
        """List booked appointments."""
        rows = [self._shown(row, request) for row in booked(self._account, query_of(request))]
        return web.json_response(paged(self._account, request, "appointments", rows))

    async def read(self, request: web.Request) -> web.Response:
        """Answer an array of one appointment, or of one open slot."""
        row = slot_row(self._account, self._slot(request))
        return web.json_response([self._shown(row, request)])

    async def book(self, request: web.Request) -> web.Response:
        """Book a slot for a patient; answer an array of one."""
        slot, form = self._slot(request), await form_of(request)
        (patient_id,) = form.need("patientid")
        options = {name: value for name, value in form.rows().items() if name in _OPTIONS}
        self._calendar.book(slot, patient_id, _wish(form), self._as_api(request, form), options)
        return web.json_response([slot_row(self._account, slot)])

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel an appointment."""
        slot, form = self._slot(request), await form_of(request)
        (patient_id,) = form.need("patientid")
        reason, text = form.text("appointmentcancelreasonid"), form.text("cancellationreason")
        self._calendar.cancel(slot, patient_id, self._as_api(request, form), reason, text)
        return web.json_response({"status": "x"})

    async def reschedule(self, request: web.Request) -> web.Response:
        """Move an appointment into another slot, whose id it has from now on; the answer leaves most of it out."""
        slot, form = self._slot(request), await form_of(request)
        new_id, patient_id = form.need("newappointmentid", "patientid")
        new = self._calendar.reschedule(
            slot,
            self._calendar.slot(new_id),
            patient_id,
            self._as_api(request, form),
            reason_id=form.text("reasonid"),
            cancel_reason_id=form.text("appointmentcancelreasonid"),
        )
        return web.json_response([moved_row(new)])

    async def update(self, request: web.Request) -> web.Response:
        """Change who sees a patient and as what; answer 1, or what was wrong, inside a 200."""
        slot, form = self._slot(request), await form_of(request)
        if slot.booking is None:
            raise Refusal("The appointment is not booked.")
        problem = self._wrong(form)
        if problem is not None:
            return web.json_response(problem)
        booking = slot.booking
        booking.type_id = form.text("appointmenttypeid") or booking.type_id
        booking.rendering_id = form.text("providerid") or booking.rendering_id
        booking.supervising_id = form.text("supervisingproviderid") or booking.supervising_id
        slot.department_id = form.text("departmentid") or slot.department_id
        slot.provider_id = form.text("schedulingproviderid") or slot.provider_id
        self._calendar.update(slot, self._account.settings.api_user)
        return web.json_response(1)

    async def attach(self, request: web.Request) -> web.Response:
        """Attach policies of the patient to an appointment."""
        slot, form = self._slot(request), await form_of(request)
        given = {insurances.PRIMARY: "primaryinsuranceid", insurances.SECONDARY: "secondaryinsuranceid"}
        insurances.attach(self._account, slot, {place: form.text(name) for place, name in given.items()})
        self._calendar.update(slot, self._account.settings.api_user)
        return web.json_response({"success": "true"})

    def _slot(self, request: web.Request) -> Slot:
        return self._calendar.slot(request.match_info["id"])

    def _as_api(self, request: web.Request, form: Parameters) -> Request:
        return Request(
            by=self._account.settings.api_user,
            is_forced=form.flag("ignoreschedulablepermission"),
            taken_status=request.get(REFUSE_TAKEN, 409),
        )

    def _wrong(self, form: Parameters) -> str | None:
        known: dict[str, Collection[str]] = {
            **dict.fromkeys(("providerid", "schedulingproviderid", "supervisingproviderid"), self._account.providers),
            "appointmenttypeid": self._account.types,
            "departmentid": self._account.departments,
        }
        for name, rows in known.items():
            value = form.text(name)
            if value is not None and value not in rows:
                return f"Invalid {name}."
        return None

    def _shown(self, row: Row, request: web.Request) -> Row:
        return detailed(self._account, row, query_of(request))


def detailed(account: Account, row: Row, query: Parameters) -> Row:
    """Return an appointment with what the query wants to see of its patient and policies."""
    slot = account.slots.get(str(row["appointmentid"]))
    booking = slot.booking if slot else None
    if booking is None:
        return row
    if query.flag("showinsurance"):
        held = (account.insurances[each] for each in booking.insurances.values() if each in account.insurances)
        row = row | {"insurances": [insurance_row(account, each) for each in held]}
    if query.flag("showpatientdetail") and booking.patient_id in account.patients:
        row = row | {"patient": patients.shown(account.patients[booking.patient_id])}
    return row


def _wish(form: Parameters) -> Wish:
    reason_id, type_id = form.text("reasonid"), form.text("appointmenttypeid")
    if reason_id is None and type_id is None:
        raise Refusal("An appointment type or an appointment reason is required.", missingfields=["reasonid"])
    if reason_id is not None and type_id is not None:
        raise Refusal("Only one of appointment type and appointment reason is allowed.", invalidfields=["reasonid"])
    return Wish(reason_id, type_id)
