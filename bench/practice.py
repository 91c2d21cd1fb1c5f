"""The practice that everything is measured on: fifty providers, one payer, one service, and the EHR account behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from bench.history import DENVER
from moonlit.ehr.intakeq_rows import epoch_ms

PROVIDERS = 50
PAYER, SERVICE, INSTANCE = UUID(int=0xA0), UUID(int=0xA1), UUID(int=0xA2)
EHR_SERVICE = "5b0f6c1e-2f6d-4a55-9d0a-0c1b7c9e2a10"
API_KEY = "0123456789abcdef0123456789abcdef01234567"
WEBHOOK_SECRET = "long-random-path-segment"  # noqa: S105  # Of this machine's own secret store.
NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)  # 05:00 in Denver on the window's first day.
PHONE = "8015550142"
_UNLIMITED = {"per_minute": 1_000_000, "per_day": None}  # What limits a practice must not limit a measurement.


def provider_id(number: int) -> UUID:
    """Return the id of the provider with this number, from 0."""
    return UUID(int=0x1000 + number)


def practitioner_id(number: int) -> str:
    """Return the EHR's id of the same person."""
    return f"{0x6651F0A9C3D2E4B5A6978800 + number:024x}"


def born(number: int) -> str:
    """Return the birth date of the patient with this number, from 1."""
    return (date(1950, 1, 1) + timedelta(days=number)).isoformat()


def clinic(providers: int = PROVIDERS) -> dict[str, Any]:
    """Return the practice as a clinic file."""
    numbers = range(providers)
    return {
        "as_of": NOW.isoformat(),
        "practice": {
            "name": "Bench Practice",
            "timezone": DENVER.key,
            "ehr_limits": {"intakeq": _UNLIMITED},
            "settings": {"bookings_per_address_hour": 1_000_000},  # All of them come from here.
            "default_services": [],
        },
        "payers": [
            {"id": str(PAYER), "name": "Cedar Health", "type": "private", "status_code": "approved", "state": "UT",
             "plan_codes": []}
        ],
        "providers": [_provider(number) for number in numbers],
        "provider_intakeq_settings": [
            {"provider_id": str(provider_id(number)), "practitioner_id": practitioner_id(number),
             "practitioner_email": f"p{number}@example.org"}
            for number in numbers
        ],
        "provider_payer_networks": [
            {"id": str(UUID(int=0x2000 + number)), "provider_id": str(provider_id(number)), "payer_id": str(PAYER),
             "effective_date": "2026-01-01", "end_date": None, "status": "active"}
            for number in numbers
        ],
        "provider_hours": [
            {"provider_id": str(provider_id(number)), "weekday": weekday, "start": "08:00", "end": "19:00",
             "timezone": DENVER.key, "modality": "telehealth"}
            for number in numbers
            for weekday in range(5)
        ],
        "services": [
            {"id": str(SERVICE), "name": "Intake", "kind": "intake", "duration_minutes": 60,
             "buffer_before_minutes": 0, "buffer_after_minutes": 0, "codes": ["90791"], "base_rate": "180.00",
             "modality": "telehealth", "is_active": True}
        ],
        "service_instances": [
            {"id": str(INSTANCE), "service_id": str(SERVICE), "payer_id": str(PAYER), "location": "Telehealth",
             "pos_code": "10"}
        ],
        "service_instance_integrations": [
            {"id": str(UUID(int=0xA3)), "service_instance_id": str(INSTANCE), "system": "intakeq",
             "external_id": EHR_SERVICE}
        ],
    }  # fmt: skip


def _provider(number: int) -> dict[str, Any]:
    return {
        "id": str(provider_id(number)),
        "name": f"Provider {number}",
        "npi": None,
        "license_states": ["UT"],
        "native_langs": ["en"],
        "interpreter_ok": False,
        "active": True,
        "accepting_new_patients": True,
        "ehr_system": "intakeq",
        "timezone": DENVER.key,
        "max_daily_appointments": None if number % 5 else 12,
    }


def account(
    clients: int = 0, appointments: Iterable[Mapping[str, Any]] = (), changes: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return the account file of the practice's EHR with the clients `c1`, `c2` and so on."""
    return {
        "practice_id": "63f0c0ffee0c0ffee0c0ffee",
        "api_key": API_KEY,
        "limits": _UNLIMITED,
        "fresh_client_seconds": 0,
        "settings": {
            "Locations": [{"Id": "4", "Name": "Telehealth (UT)", "Address": None}],
            "Services": [{"Id": EHR_SERVICE, "Name": "New Patient Visit", "Duration": 60, "Price": 300.0}],
            "Practitioners": [_practitioner(number) for number in range(PROVIDERS)],
        },
        "clients": [_client(number) for number in range(1, clients + 1)],
        "appointments": list(appointments),
        "deleted": [],
        "changes": list(changes),
    }


def visit(
    number: int, starts_at: datetime, *, client: int, modified_at: datetime = NOW - timedelta(days=30)
) -> dict[str, Any]:
    """Return the EHR's row of visit number `number`, of the client with the number `client`."""
    practitioner = _practitioner(number % PROVIDERS)
    return {
        "Id": f"e{number:023x}",
        "ClientId": f"c{client}",
        "ClientName": f"Pat{client} Lund",
        "ClientEmail": f"c{client}@example.org",
        "ClientPhone": PHONE,
        "ClientDateOfBirth": born(client),
        "Status": "Confirmed",
        "StartDate": epoch_ms(starts_at),
        "EndDate": epoch_ms(starts_at + timedelta(hours=1)),
        "Duration": 60,
        "ServiceName": "New Patient Visit",
        "ServiceId": EHR_SERVICE,
        "LocationName": "Telehealth (UT)",
        "LocationId": "4",
        "PractitionerName": practitioner["CompleteName"],
        "PractitionerEmail": practitioner["Email"],
        "PractitionerId": practitioner["Id"],
        "DateCreated": epoch_ms(NOW - timedelta(days=30)),
        "TelehealthInfo": None,
        "CustomFields": [],
        "LastModified": epoch_ms(modified_at),
        "AdditionalClients": [],
        "PlaceOfService": "10",
    }


def _client(number: int) -> dict[str, Any]:
    return {
        "ClientId": f"c{number}",
        "Name": f"Pat{number} Lund",
        "FirstName": f"Pat{number}",
        "LastName": "Lund",
        "Email": f"c{number}@example.org",
        "Phone": PHONE,
        "DateOfBirth": born(number),
    }


def _practitioner(number: int) -> dict[str, Any]:
    name = {"CompleteName": f"Provider {number}", "FirstName": "Provider", "LastName": str(number)}
    return {"Id": practitioner_id(number), **name, "Email": f"p{number}@example.org"}
