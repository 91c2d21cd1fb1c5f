"""Rows on their way out: the same field is a number here and text there, as the vendor has it."""

from __future__ import annotations

from local.simulators.athena.account import Account
from local.simulators.athena.slot import Booking, Slot
from local.simulators.athena.wire import day_text, stamp, time_text, words
from local.simulators.common.answers import Row


def open_row(account: Account, slot: Slot, reason_ids: list[str], *, shows_frozen: bool) -> Row:
    """Return an open slot as the search lists it: its ids as numbers, its reasons a list of text."""
    kind = account.types[slot.type_id]
    row = {
        "appointmentid": int(slot.id),
        "date": day_text(slot.start),
        "starttime": time_text(slot.start),
        "duration": slot.minutes,
        "departmentid": int(slot.department_id),
        "providerid": int(slot.provider_id),
        "localproviderid": int(slot.provider_id),
        "appointmenttypeid": int(slot.type_id),
        "appointmenttype": kind.name,
        "patientappointmenttypename": kind.patientdisplayname or kind.name,
        "reasonid": reason_ids,
    }
    return row | ({"frozen": words(slot.is_frozen)} if shows_frozen else {})


def slot_row(account: Account, slot: Slot) -> Row:
    """Return a slot as reads by id and the changed feed show it: ids and durations as text, most of them."""
    kind = account.types[slot.booking.type_id if slot.booking else slot.type_id]
    row = {
        "appointmentid": slot.id,
        "appointmentstatus": slot.status,
        "date": day_text(slot.start),
        "starttime": time_text(slot.start),
        "duration": str(slot.booking.minutes if slot.booking else slot.minutes),
        "departmentid": slot.department_id,
        "providerid": slot.provider_id,
        "appointmenttypeid": kind.appointmenttypeid,
        "appointmenttype": kind.name,
        "patientappointmenttypename": kind.patientdisplayname or kind.name,
        "templateappointmentid": slot.id,
        "templateappointmenttypeid": slot.type_id,
        "frozenyn": words(slot.is_frozen),
        "lastmodified": stamp(slot.modified_at),
        "lastmodifiedby": slot.modified_by,
    }
    return row | (_booking(account, slot.booking) if slot.booking else {})


def _booking(account: Account, booking: Booking) -> Row:
    row: Row = {
        "patientid": booking.patient_id,
        "scheduledby": booking.by,
        "scheduleddatetime": stamp(booking.at),
        "chargeentrynotrequired": False,
        "coordinatorenterprise": "false",
        "copay": 0,
    }
    if booking.rendering_id:
        row["renderingproviderid"] = int(booking.rendering_id)
    if booking.supervising_id:
        row["supervisingproviderid"] = int(booking.supervising_id)
    if booking.reason_id:
        row["reasonid"] = booking.reason_id
    if "bookingnote" in booking.options:
        row["appointmentnotes"] = [{"id": 1, "text": booking.options["bookingnote"], "displayonschedule": True}]
    return row | _cancellation(account, booking)


def _cancellation(account: Account, booking: Booking) -> Row:
    cancellation = booking.cancellation
    if cancellation is None:
        return {}
    reason = account.cancel_reasons[cancellation.reason_id]
    row: Row = {
        "cancelreasonid": cancellation.reason_id,
        "cancelreasonname": reason.name,
        "cancelreasonnoshow": reason.noshow,
        "cancelreasonslotavailable": words(reason.slotavailable),
        "cancelledby": cancellation.by,
        "cancelleddatetime": stamp(cancellation.at),
    }
    return row | ({"rescheduledappointmentid": cancellation.moved_to} if cancellation.moved_to else {})


def moved_row(slot: Slot) -> Row:
    """Return the answer to a reschedule, which leaves most of the visit out and the provider empty."""
    return {
        "appointmentid": slot.id,
        "appointmentstatus": slot.status,
        "patientid": slot.booking.patient_id if slot.booking else "",
        "date": day_text(slot.start),
        "starttime": time_text(slot.start),
        "departmentid": slot.department_id,
        "providerid": "",
    }


def insurance_row(account: Account, row: Row) -> Row:
    """Return a policy; its package's name comes from the practice's list."""
    package = account.packages.get(str(row["insurancepackageid"]), {})
    shown = {
        "insurancepackageid": str(row["insurancepackageid"]),
        "insuranceplanname": package.get("name", "*SELF PAY*"),
        "ircname": package.get("ircname", ""),
        "relationshiptoinsured": "Self",
        "eligibilitystatus": "Unverified",
    }
    return shown | {name: value for name, value in row.items() if name != "cancelled"}
