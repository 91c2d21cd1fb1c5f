"""What the practice's staff do in the calendar, now by a control or later by the account file: rules do not bind them.

Each action is an object with `action`, its own fields, and `by` (frontdesk1), the login that did it:

    book       appointmentid, patientid; reasonid or appointmenttypeid
    visit      patientid, providerid, departmentid, date, starttime, appointmenttypeid   a visit without a slot before
    cancel     appointmentid; appointmentcancelreasonid
    move       appointmentid, newappointmentid
    status     appointmentid, status (2 checked in, 3 checked out, 4 charge entered)
    update     appointmentid; any of providerid, departmentid, appointmenttypeid, starttime, date,
               renderingproviderid, supervisingproviderid
    freeze     appointmentid                    unfreeze  appointmentid
    open       a slot of the account file       close     appointmentid, an open slot
    block      providerid, date, from, to       closes the open slots in between
    patient    patientid and the fields to set, for one who is new or known
    merge      patientid, into                  the first is deleted, its visits go to the other
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from local.simulators.athena import file
from local.simulators.athena.account import Account
from local.simulators.athena.answers import Refusal, invalid
from local.simulators.athena.calendar import Calendar, Request
from local.simulators.athena.fitting import Wish
from local.simulators.athena.shapes import slot_row
from local.simulators.athena.slot import Slot
from local.simulators.athena.wire import day_text, read_day, read_local, time_text
from local.simulators.common.answers import Row
from moonlit.clock import Clock

_LOGIN = "frontdesk1"


class Staff:
    """Carries out what staff do, at once or when the clock gets there."""

    def __init__(self, account: Account, calendar: Calendar, clock: Clock) -> None:
        self._account = account
        self._calendar = calendar
        self._clock = clock
        self._actions: dict[str, Callable[[Row, str], Slot | Row]] = {
            "book": self._book,
            "visit": self._visit,
            "cancel": self._cancel,
            "move": self._move,
            "status": self._status,
            "update": self._update,
            "freeze": self._freeze,
            "unfreeze": self._freeze,
            "open": self._open,
            "close": self._close,
            "block": self._block,
            "patient": self._patient,
            "merge": self._merge,
        }

    def catch_up(self) -> int:
        """Do what the account file has staff do up to now, in order; return how many changes are still to come."""
        changes, now = self._account.changes, self._clock.now()
        while changes and changes[0].at <= now:
            change = changes.popleft()
            self.act({"action": change.action} | (change.model_extra or {}))
        return len(changes)

    def act(self, body: Row) -> Row:
        """Carry out one action; return the slot, or the patient, as it is now.

        Raises:
            Refusal: There is no such action, or what it names is not there.
        """
        action = self._actions.get(str(body.get("action")))
        if action is None:
            raise Refusal(f"action is one of {', '.join(self._actions)}")
        try:
            changed = action(body, str(body.get("by", _LOGIN)))
        except (KeyError, ValueError, ValidationError) as error:
            raise Refusal(f"{type(error).__name__}: {error}") from None
        return slot_row(self._account, changed) if isinstance(changed, Slot) else changed

    def _book(self, body: Row, by: str) -> Slot:
        slot = self._slot(body)
        reason, kind = body.get("reasonid"), body.get("appointmenttypeid")
        wish = Wish(str(reason)) if reason else Wish(type_id=str(kind or slot.type_id))
        return self._calendar.book(slot, str(body["patientid"]), wish, Request(by=by, is_forced=True))

    def _visit(self, body: Row, by: str) -> Slot:
        names = ("providerid", "departmentid", "date", "starttime", "appointmenttypeid", "duration")
        slot = self._account.open_slot({name: body[name] for name in names if name in body}, self._clock.now(), by)
        self._account.add(slot)
        return self._calendar.book(slot, str(body["patientid"]), Wish(type_id=slot.type_id), Request(by=by))

    def _cancel(self, body: Row, by: str) -> Slot:
        slot = self._slot(body)
        return self._calendar.cancel(slot, _holder(slot), Request(by=by), _text(body, "appointmentcancelreasonid"))

    def _move(self, body: Row, by: str) -> Slot:
        old, new = self._slot(body), self._calendar.slot(str(body["newappointmentid"]))
        return self._calendar.reschedule(old, new, _holder(old), Request(by=by, is_forced=True))

    def _status(self, body: Row, by: str) -> Slot:
        slot = self._slot(body)
        self._calendar.set_status(slot, str(body["status"]), by)
        return slot

    def _update(self, body: Row, by: str) -> Slot:
        slot = self._slot(body)
        slot.provider_id = _text(body, "providerid") or slot.provider_id
        slot.department_id = _text(body, "departmentid") or slot.department_id
        if slot.booking is not None:
            booking = slot.booking
            booking.type_id = _text(body, "appointmenttypeid") or booking.type_id
            booking.rendering_id = _text(body, "renderingproviderid") or booking.rendering_id
            booking.supervising_id = _text(body, "supervisingproviderid") or booking.supervising_id
        slot.start = _moved(slot.start, body)
        self._calendar.update(slot, by)
        return slot

    def _freeze(self, body: Row, by: str) -> Slot:
        slot = self._slot(body)
        if not self._calendar.freeze(slot, by, frozen=body["action"] == "freeze"):
            raise invalid("appointmentid")
        return slot

    def _open(self, body: Row, by: str) -> Slot:
        fields = {name: value for name, value in body.items() if name in file.Slot.model_fields}
        return self._calendar.open(self._account.open_slot(fields, self._clock.now(), by))

    def _close(self, body: Row, by: str) -> Slot:
        slot = self._slot(body)
        self._calendar.delete(slot, by)
        return slot

    def _block(self, body: Row, by: str) -> Row:
        start, end = (read_local(body["date"], body[name]) for name in ("from", "to"))
        provider = str(body["providerid"])
        closed = [
            slot
            for slot in self._account.slots.values()
            if slot.is_open and slot.provider_id == provider and slot.start < end and start < slot.end
        ]
        for slot in closed:
            self._calendar.delete(slot, by)
        return {"closed": [slot.id for slot in closed]}

    def _patient(self, body: Row, _: str) -> Row:
        patient_id = str(body.get("patientid") or self._account.next_id("patient"))
        fields = {name: value for name, value in body.items() if name not in ("action", "by")}
        known = self._account.patients.setdefault(patient_id, {"status": "active"})
        known |= fields | {"patientid": patient_id}
        return known

    def _merge(self, body: Row, by: str) -> Row:
        gone, into = self._account.patients[str(body["patientid"])], self._account.patients[str(body["into"])]
        gone["status"] = "deleted"
        for slot in self._account.slots.values():
            if slot.booking is not None and slot.booking.patient_id == gone["patientid"]:
                slot.booking.patient_id = into["patientid"]
                self._calendar.update(slot, by)
        return into

    def _slot(self, body: Row) -> Slot:
        return self._calendar.slot(str(body["appointmentid"]))


def _holder(slot: Slot) -> str:
    return slot.booking.patient_id if slot.booking else ""


def _text(body: Row, name: str) -> str | None:
    value: Any = body.get(name)
    return None if value is None else str(value)


def _moved(start: datetime, body: Row) -> datetime:
    day, at = body.get("date", day_text(start)), body.get("starttime", time_text(start))
    read_day(day)
    return read_local(day, at)
