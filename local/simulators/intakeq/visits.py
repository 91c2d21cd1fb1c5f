"""The calendar: what the API and the practice's staff may do with visits, and what each of them announces."""

from __future__ import annotations

import copy
from typing import Any

from local.simulators.common.answers import Refused, Row
from local.simulators.intakeq.account import Account, reference
from local.simulators.intakeq.webhooks import Webhooks
from local.simulators.intakeq.wire import iso, times, to_ms
from moonlit.clock import Clock

_MARK_MS = 300_000  # Starts lie on five-minute marks.
_REMINDERS = ("Sms", "Email", "Voice", "OptOut")
_BOOKABLE = ("Confirmed", "WaitingConfirmation")
_ACTIVE = ("Confirmed", "WaitingConfirmation")
_EVENT_OF_STATUS = {
    "Confirmed": "AppointmentConfirmed",
    "Canceled": "AppointmentCanceled",
    "Declined": "AppointmentDeclined",
    "Missed": "AppointmentMissed",
}
_MANDATORY = (
    "PractitionerId",
    "ClientId",
    "ServiceId",
    "LocationId",
    "UtcDateTime",
    "Status",
    "SendClientEmailNotification",
    "ReminderType",
)


class Visits:
    """Changes the account's visits; each change is complete before the next one begins."""

    def __init__(self, account: Account, webhooks: Webhooks, clock: Clock) -> None:
        self._account = account
        self._webhooks = webhooks
        self._clock = clock

    def now_ms(self) -> int:
        """Return the current instant in epoch milliseconds."""
        return to_ms(self._clock.now())

    def catch_up(self) -> int:
        """Apply the account file's changes that the clock has passed, in order; return how many are to come."""
        changes, now_ms = self._account.changes, self.now_ms()
        while changes and changes[0].at <= now_ms:
            change = changes.popleft()
            row = copy.deepcopy(change.appointment)
            if change.event == "AppointmentDeleted":
                self._account.delete(row)
            else:
                self._account.appointments[str(row["Id"])] = row
            self._announce(change.event, row)
        return len(changes)

    # What the API may do.

    def book(self, body: Row, refuse_taken: int | None = None) -> Row:
        """Book as POST /appointments does. Overlaps are taken unless `refuse_taken` names a status to refuse with.

        Raises:
            Refused: A rule of the API was broken.
        """
        for field in _MANDATORY:
            if body.get(field) is None:
                raise Refused(f"Field {field} is mandatory.")
        self._check_options(body)
        row = self._account.new_visit(
            practitioner=self._known("Practitioner", body["PractitionerId"]),
            client=self._bookable_client(body["ClientId"]),
            service=self._known("Service", body["ServiceId"]),
            location=self._known("Location", body["LocationId"]),
            start=body["UtcDateTime"],
            now_ms=self.now_ms(),
        )
        self._refuse_overlap(row, refuse_taken)
        given = ("Status", "ReminderType", "ClientNote", "PractitionerNote")
        row |= {field: body[field] for field in given if field in body}
        self._account.appointments[row["Id"]] = row
        self._announce("AppointmentCreated", row)
        return row

    def move(self, body: Row, refuse_taken: int | None = None) -> Row:
        """Change a visit as PUT /appointments does: time, service, place, status; never client or practitioner.

        Raises:
            Refused: A rule of the API was broken.
        """
        for field in ("Id", "UtcDateTime"):
            if body.get(field) is None:
                raise Refused(f"Field {field} is mandatory.")
        self._check_options(body)
        before = self._visit(body["Id"])
        if before["Status"] not in _BOOKABLE:
            raise Refused("The appointment cannot be changed.")
        if before["Status"] == "Confirmed" and body.get("Status") == "WaitingConfirmation":
            raise Refused("Invalid Status.")
        service = self._known("Service", body.get("ServiceId", before["ServiceId"]))
        location = self._known("Location", body.get("LocationId", before["LocationId"]))
        row = {
            **before,
            **reference("Service", service),
            **reference("Location", location),
            **times(body["UtcDateTime"], service["Duration"], self._account.zone),
        }
        given = ("Status", "ReminderType", "ClientNote", "PractitionerNote")
        row |= {field: body[field] for field in given if field in body}
        self._refuse_overlap(row, refuse_taken)
        return self._replace(before, row)

    def cancel(self, visit_id: Any, reason: str | None) -> Row:
        """Cancel as POST /appointments/cancellation does; there is no way back.

        Raises:
            Refused: The visit is unknown or no longer stands.
        """
        before = self._visit(visit_id)
        if before["Status"] not in _ACTIVE:
            raise Refused("The appointment is already canceled.")
        told = {"FullCancellationReason": reason or "", "CancellationDate": iso(self.now_ms())}
        return self._replace(before, {**before, **told, "Status": "Canceled"})

    # What staff may do in the calendar: the API's rules do not bind them.

    def staff_creates(self, fields: Row) -> Row:
        """Put a visit in the calendar; ids choose practitioner, client, service and location, the first by default.

        Raises:
            Refused: An id is unknown, or there is no start.
        """
        if not isinstance(fields.get("StartDate"), int):
            raise Refused("Field StartDate is mandatory.")
        client = self._account.clients.get(str(fields.get("ClientId")))
        if client is None:
            raise Refused("Client not found")
        row = self._account.new_visit(
            practitioner=self._chosen("Practitioner", fields),
            client=client,
            service=self._chosen("Service", fields),
            location=self._chosen("Location", fields),
            start=fields["StartDate"],
            now_ms=self.now_ms(),
        )
        row |= {"CreatedBy": "Front Desk"} | fields
        self._account.appointments[str(row["Id"])] = row
        self._announce("AppointmentCreated", row)
        return row

    def staff_updates(self, visit_id: Any, fields: Row) -> Row:
        """Change any fields; a new start moves the end with it.

        Raises:
            Refused: The visit is unknown.
        """
        before = self._visit(visit_id)
        row = {**before, **fields}
        if "StartDate" in fields or "Duration" in fields:
            row |= times(row["StartDate"], row["Duration"], self._account.zone)
        return self._replace(before, row)

    def staff_deletes(self, visit_id: Any) -> Row:
        """Delete a visit, whose status stays what it was.

        Raises:
            Refused: The visit is unknown.
        """
        before = self._visit(visit_id)
        row = {**before, "LastModified": self._next_version(before)}
        self._account.delete(row)
        self._announce("AppointmentDeleted", row)
        return row

    def _replace(self, before: Row, row: Row) -> Row:
        row["LastModified"] = self._next_version(before)
        self._account.appointments[str(row["Id"])] = row
        if row["Status"] != before["Status"]:
            self._announce(_EVENT_OF_STATUS.get(row["Status"]), row)
        if row["StartDate"] != before["StartDate"]:
            self._announce("AppointmentRescheduled", row)
        return row

    def _announce(self, event: str | None, row: Row) -> None:
        if event is not None:
            self._webhooks.announce(event, copy.deepcopy(row))

    def _next_version(self, row: Row) -> int:
        return max(self.now_ms(), int(row["LastModified"]) + 1)

    def _visit(self, visit_id: Any) -> Row:
        row = self._account.appointments.get(str(visit_id))
        if row is None:
            raise Refused("Appointment not found.")
        return row

    def _known(self, kind: str, row_id: Any) -> Row:
        row = self._account.setting(f"{kind}s", row_id)
        if row is None:
            raise Refused(f"Invalid {kind}Id.")
        return row

    def _chosen(self, kind: str, fields: Row) -> Row:
        return self._known(kind, fields.get(f"{kind}Id", self._account.settings[f"{kind}s"][0]["Id"]))

    def _bookable_client(self, client_id: Any) -> Row:
        client = self._account.clients.get(str(client_id))
        born = self._account.born.get(str(client_id))
        if client is None or (born is not None and self.now_ms() < born + self._account.fresh_client_ms):
            raise Refused("Client not found")
        return client

    def _check_options(self, body: Row) -> None:
        start, status = body["UtcDateTime"], body.get("Status", "Confirmed")
        mails = body.get("SendClientEmailNotification", False)
        if not isinstance(start, int) or start % _MARK_MS:
            raise Refused("Invalid UtcDateTime.")
        if status not in _BOOKABLE:
            raise Refused("Invalid Status.")
        if not isinstance(mails, bool) or (mails and status != "Confirmed"):
            raise Refused("SendClientEmailNotification can only be true for confirmed appointments.")
        if body.get("ReminderType", "Email") not in _REMINDERS:
            raise Refused("Invalid ReminderType.")

    def _refuse_overlap(self, row: Row, status: int | None) -> None:
        if status is None:
            return
        for other in self._account.appointments.values():
            if (
                other["Id"] != row["Id"]
                and other["PractitionerId"] == row["PractitionerId"]
                and other["Status"] in _ACTIVE
                and other["StartDate"] < row["EndDate"]
                and row["StartDate"] < other["EndDate"]
            ):
                raise Refused("The selected time is no longer available.", status)
