"""The account that the simulator serves: what an account file says, and what happened to it since."""

from __future__ import annotations

import copy
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from local.simulators.common.answers import Row
from local.simulators.intakeq.wire import birth_ms, birth_text, times

_DAYS_DELETED_ARE_KEPT = 10
_DAY_MS = 86_400_000

# What a client profile shows beside what an account file has to say.
_PROFILE: Row = {
    **dict.fromkeys(("FirstName", "MiddleName", "LastName")),
    **dict.fromkeys(("Email", "Phone", "MobilePhone", "HomePhone", "WorkPhone", "DateOfBirth", "Gender")),
    **dict.fromkeys(("MaritalStatus", "Address", "StreetAddress", "UnitNumber", "City", "StateShort", "PostalCode")),
    **dict.fromkeys(("Country", "AdditionalInformation", "LastActivityDate", "LastActivityName", "ExternalClientId")),
    **dict.fromkeys(("PrimaryInsuranceCompany", "PrimaryInsurancePolicyNumber", "PrimaryInsuranceGroupNumber")),
    **dict.fromkeys(("PrimaryInsuranceHolderName", "PrimaryInsuranceRelationship")),
    **dict.fromkeys(("PrimaryInsuranceHolderDateOfBirth", "PrimaryInsurancePlan", "PrimaryInsurancePayerId")),
    **dict.fromkeys(("SecondaryInsuranceCompany", "SecondaryInsurancePolicyNumber", "SecondaryInsuranceGroupNumber")),
    **dict.fromkeys(("SecondaryInsuranceHolderName", "SecondaryInsuranceRelationship")),
    **dict.fromkeys(("SecondaryInsuranceHolderDateOfBirth", "SecondaryInsurancePayerId")),
    **dict.fromkeys(("ParentClientId", "PractitionerId", "TimezoneId")),
    "Tags": [],
    "Archived": False,
    "BillingType": 0,
    "CreditBalance": 0.0,
    "LinkedClients": [],
    "CustomFields": [],
}

# Every field of a list row that a booking leaves empty.
_VISIT: Row = {
    **dict.fromkeys(("IntakeId", "InvoiceId", "InvoiceNumber", "ClientNote", "PractitionerNote", "TelehealthInfo")),
    **dict.fromkeys(("SessionStart", "SessionEnd", "ExternalClientId", "ExternalPractitionerId", "ExternalServiceId")),
    "BookedByClient": False,
    "AttendanceConfirmationResponse": "None",
    "CustomFields": [],
    "AdditionalClients": [],
    "FullCancellationReason": "",
    "CancellationReasonNote": None,
    "CancellationDate": "",
}


@dataclass(frozen=True, slots=True)
class Change:
    """Something that the practice's staff will do at `at`, epoch milliseconds."""

    at: int
    event: str
    appointment: Row


class Account:
    """Rows by their id as text; ids inside the rows keep the type that the account file gave them."""

    def __init__(self, file: Mapping[str, Any], now_ms: int) -> None:
        """Read an account file; what it does not say is as a fresh account has it.

        Beside the documented keys it may say `timezone` (America/Denver), `date_bounds` ("exclusive", as the older
        vendor text has it, or "inclusive"), `fresh_client_seconds` (5: how long a new client cannot be booked) and
        `inactive_practitioners` (rows like those of the settings, which show them no more).
        """
        file = copy.deepcopy(dict(file))
        limits = file.get("limits") or {}
        self.practice_id: str = file["practice_id"]
        self.api_key: str = file["api_key"]
        self.per_minute: int = limits.get("per_minute", 10)
        self.per_day: int | None = limits.get("per_day", 500)
        self.zone = ZoneInfo(file.get("timezone", "America/Denver"))
        self.bounds_are_inclusive = file.get("date_bounds", "exclusive") == "inclusive"
        self.fresh_client_ms: int = 1000 * file.get("fresh_client_seconds", 5)
        self.settings: dict[str, list[Row]] = file["settings"]
        self.inactive: list[Row] = file.get("inactive_practitioners", [])
        self.appointments = _by_id(file.get("appointments", ()))
        self.deleted = _by_id(file.get("deleted", ()))
        self.clients = {str(row["ClientId"]): _profile(row, now_ms) for row in file.get("clients", ())}
        self.born: dict[str, int] = {}  # When the clients that came over the API were created.
        changes = (Change(row["at"], row["event"], row["appointment"]) for row in file.get("changes", ()))
        self.changes = deque(sorted(changes, key=lambda change: change.at))

    def setting(self, kind: str, row_id: Any) -> Row | None:
        """Return a service, location or practitioner of the settings by its id."""
        return next((row for row in self.settings.get(kind, ()) if str(row["Id"]) == str(row_id)), None)

    def delete(self, row: Row) -> None:
        """Move a visit to the deleted ones, as it last was."""
        self.appointments.pop(str(row["Id"]), None)
        self.deleted[str(row["Id"])] = row

    def kept_deleted(self, now_ms: int) -> Iterable[Row]:
        """Return the visits deleted in the last ten days; a deletion is a visit's last modification."""
        oldest = now_ms - _DAYS_DELETED_ARE_KEPT * _DAY_MS
        return (row for row in self.deleted.values() if row["LastModified"] > oldest)

    def new_client(self, now_ms: int) -> Row:
        """Return an empty profile under the next client number; the caller fills and keeps it."""
        number = 1 + max((int(client_id) for client_id in self.clients if client_id.isdecimal()), default=4000)
        row = _profile({"ClientId": number}, now_ms)
        self.born[str(number)] = now_ms
        return row

    def new_visit(self, *, practitioner: Row, client: Row, service: Row, location: Row, start: int, now_ms: int) -> Row:
        """Return a confirmed visit that is not in the calendar yet."""
        visit_id = secrets.token_hex(12)
        is_remote = "telehealth" in str(location["Name"]).casefold()
        room = f"https://meet.example.org/{visit_id}"
        telehealth = {"Id": visit_id[:8], "StartUrl": room, "Invitation": "Join", "Provider": "IntakeQ"}
        return {
            **copy.deepcopy(_VISIT),
            "Id": visit_id,
            "ClientId": client["ClientId"],
            **contact(client),
            "Status": "Confirmed",
            **times(start, service["Duration"], self.zone),
            **reference("Service", service),
            **reference("Location", location),
            "Price": service.get("Price"),
            **reference("Practitioner", practitioner),
            "DateCreated": now_ms,
            "CreatedBy": "API",
            "TelehealthInfo": {**telehealth, "InvitationCode": visit_id[:4]} if is_remote else None,
            "ReminderType": "Email",
            "LastModified": now_ms,
            "PlaceOfService": "10" if is_remote else "11",
        }


def contact(client: Row) -> Row:
    """Return what an appointment repeats of its client."""
    return {
        "ClientName": client.get("Name"),
        "ClientEmail": client.get("Email"),
        "ClientPhone": client.get("Phone"),
        "ClientDateOfBirth": birth_text(client.get("DateOfBirth")),
    }


def reference(kind: str, row: Row) -> Row:
    """Return what an appointment repeats of its service, location or practitioner."""
    name = row.get("CompleteName") if kind == "Practitioner" else row.get("Name")
    fields = {f"{kind}Id": row["Id"], f"{kind}Name": name}
    return fields | ({"PractitionerEmail": row.get("Email")} if kind == "Practitioner" else {})


def _by_id(rows: Iterable[Row]) -> dict[str, Row]:
    return {str(row["Id"]): row for row in rows}


def _profile(row: Row, now_ms: int) -> Row:
    """Fill up a client of the account file, whose birth date stands as `yyyy-MM-dd`."""
    name = row.get("Name") or " ".join(filter(None, (row.get("FirstName"), row.get("LastName"))))
    dates = {"DateCreated": float(now_ms), "LastUpdateDate": float(now_ms)}
    born = birth_ms(row.get("DateOfBirth"))
    return {**copy.deepcopy(_PROFILE), **dates, **row, "Name": name, "DateOfBirth": born}
