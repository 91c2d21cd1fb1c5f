"""The IntakeQ account in the vendor's own field names, with its oddities."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from local.demo_data.ids import AS_OF, ZONE, hexed, text
from local.demo_data.people import Client, clients
from local.demo_data.practice import DEFAULTS, INTAKEQ_PROVIDERS, Provider
from local.demo_data.story import story
from local.demo_data.visits import DEPARTED, Visit

_TELEHEALTH, _CLINIC = "Telehealth (UT)", "Harbor Street Clinic"


def account() -> dict[str, Any]:
    """Return the account file, ready for the simulator."""
    told = story()
    newest_first = sorted(told.visits, key=lambda visit: (visit.start, visit.number), reverse=True)
    return {
        "as_of": text(AS_OF),
        "practice_id": hexed(24, "practice"),
        "api_key": hexed(40, "demo account"),
        "limits": {"per_minute": 60, "per_day": 500},
        "settings": {
            "Locations": [
                {"Id": "4", "Name": _TELEHEALTH, "Address": None},
                {"Id": "7", "Name": _CLINIC, "Address": "40 Harbor St"},
            ],
            "Services": [
                {"Id": service.intakeq_id, "Name": service.name.strip(), "Duration": service.minutes, "Price": 295.0}
                for service in DEFAULTS
            ],
            "Practitioners": [_practitioner(provider) for provider in (*INTAKEQ_PROVIDERS, DEPARTED)],
        },
        "clients": [_client(client) for client in clients()],
        "appointments": [_appointment(visit) for visit in newest_first if not visit.deleted],
        "deleted": [_appointment(visit) for visit in newest_first if visit.deleted],
        "changes": [
            {"at": _epoch(change.at), "event": change.event, "appointment": _appointment(change.visit)}
            for change in told.changes
        ],
    }


def _practitioner(provider: Provider) -> dict[str, Any]:
    first, _, last = provider.name.rpartition(" ")
    return {
        "Id": provider.practitioner_id, "CompleteName": provider.name, "FirstName": first, "LastName": last,
        "Email": provider.email,
    }  # fmt: skip


def _client(client: Client) -> dict[str, Any]:
    first, last = client.name
    return {
        "ClientId": client.number, "Name": f"{first} {last}", "FirstName": first, "LastName": last,
        "Email": client.email, "Phone": client.phone, "DateOfBirth": _birth_date(client),
    }  # fmt: skip


def _appointment(visit: Visit) -> dict[str, Any]:
    client, provider, service = visit.client, visit.provider, visit.service
    # Addresses are missing now and then; who is known only by address is never one of them.
    reachable = not client.known_by_id or visit.number % 7
    at_clinic = visit.place == "11"
    cancelled = visit.status == "Canceled"
    return {
        "Id": visit.id, "ClientName": " ".join(client.name), "ClientEmail": client.email if reachable else None,
        "ClientPhone": client.phone if reachable else None, "ClientDateOfBirth": _birth_date(client),
        "ClientId": str(client.number) if visit.number % 5 == 0 else client.number, "Status": visit.status,
        "StartDate": _epoch(visit.start), "EndDate": _epoch(visit.end), "Duration": service.minutes,
        "ServiceName": service.name.strip(), "ServiceId": service.intakeq_id,
        "LocationName": _CLINIC if at_clinic else _TELEHEALTH,
        "LocationId": "7" if at_clinic else (4 if visit.number % 9 == 0 else "4"), "Price": 295,
        "PractitionerName": provider.name, "PractitionerEmail": provider.email,
        "PractitionerId": provider.practitioner_id, "IntakeId": None, "DateCreated": _epoch(visit.modified),
        "CreatedBy": "Front Desk", "BookedByClient": visit.number % 4 == 0, **_written_times(visit),
        "InvoiceId": None, "InvoiceNumber": None, "ClientNote": None, "PractitionerNote": None,
        "TelehealthInfo": visit.telehealth[0], "AttendanceConfirmationResponse": "None", "ReminderType": "Email",
        "CustomFields": [], "SessionStart": None, "SessionEnd": None, "ExternalClientId": None,
        "ExternalPractitionerId": None, "ExternalServiceId": None, "LastModified": _epoch(visit.modified),
        "AdditionalClients": [], "PlaceOfService": visit.place,
        "FullCancellationReason": "Client request" if cancelled else "", "CancellationReasonNote": None,
        "CancellationDate": _written(visit.modified) + "Z" if cancelled else "",
    }  # fmt: skip


def _written_times(visit: Visit) -> dict[str, str]:
    start, end = visit.start.astimezone(ZONE), visit.end.astimezone(ZONE)
    return {
        "StartDateIso": _written(visit.start) + "Z", "EndDateIso": _written(visit.end) + "Z",
        "StartDateLocal": _written(start), "EndDateLocal": _written(end),
        "StartDateLocalFormatted": f"{start.month}/{start.day}/{start:%Y at %I:%M:%S %p}",
    }  # fmt: skip


def _written(instant: datetime) -> str:
    """Return an instant without its zone and with seven fraction digits, as the vendor writes them."""
    return f"{instant:%Y-%m-%dT%H:%M:%S}.0000000"


def _birth_date(client: Client) -> str | None:
    return client.birth_date.isoformat() if client.birth_date else None


def _epoch(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp() * 1000)
