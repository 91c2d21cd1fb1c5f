"""A practice with many providers in both EHRs, wide open for two weeks: every crash has a slot and a patient alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from tests.fixtures_athena import ANY_30, DEPARTMENT, REASON, make_athena_account, make_pattern
from tests.fixtures_booking import INSTANCE, PAYER, SERVICE_ID, make_clinic
from tests.fixtures_intakeq import DENVER, SHORT_SERVICE, make_account

SYSTEMS = ("intakeq", "athena")
PROVIDERS = 6
FIRST_DAY, WEEKS = date(2027, 3, 15), 2
OPENS, CLOSES, MINUTES = 9, 17, 30
FIRST_BIRTH = date(1950, 1, 1)
PLENTY = 1_000_000


@dataclass(frozen=True)
class Provider:
    """A provider, here and in an EHR."""

    system: str
    number: int

    @property
    def id(self) -> UUID:
        return UUID(int=(0x1000 if self.system == "intakeq" else 0x2000) + self.number)

    @property
    def name(self) -> str:
        return f"{'Ines' if self.system == 'intakeq' else 'Ada'} No{self.number}"

    @property
    def ehr_id(self) -> str:
        return f"6651f0a9c3d2e4b5a69788{self.number:02}" if self.system == "intakeq" else str(700 + self.number)


@dataclass(frozen=True)
class Slot:
    """Half an hour of a provider's."""

    provider: Provider
    start: datetime


def providers(system: str) -> list[Provider]:
    return [Provider(system, number) for number in range(PROVIDERS)]


def days() -> list[date]:
    return [FIRST_DAY + timedelta(days=7 * week + day) for week in range(WEEKS) for day in range(5)]


def starts() -> Iterator[datetime]:
    """Yield when each slot of a provider begins."""
    for day in days():
        for step in range((CLOSES - OPENS) * 60 // MINUTES):
            yield datetime.combine(day, time(OPENS), DENVER) + timedelta(minutes=MINUTES * step)


def clinic() -> dict[str, Any]:
    """Return the clinic file."""
    everyone = [provider for system in SYSTEMS for provider in providers(system)]
    small = make_clinic()
    return small | {
        "practice": small["practice"] | {
            "ehr_limits": {system: {"per_minute": PLENTY, "per_day": None} for system in SYSTEMS},
            "settings": {
                "grid_minutes": MINUTES, "bookings_per_address_hour": PLENTY, "live_holds_per_address": PLENTY,
            },
        },
        "providers": [
            small["providers"][0] | {"id": str(each.id), "name": each.name, "ehr_system": each.system}
            for each in everyone
        ],
        "provider_intakeq_settings": [
            {"provider_id": str(each.id), "practitioner_id": each.ehr_id, "practitioner_email": None}
            for each in providers("intakeq")
        ],
        "provider_athena_settings": [
            {"provider_id": str(each.id), "athena_provider_id": each.ehr_id, "department_id": DEPARTMENT}
            for each in providers("athena")
        ],
        "provider_payer_networks": [
            small["provider_payer_networks"][0] | {"id": str(UUID(int=each.id.int + 0x100)), "provider_id": str(each.id)}
            for each in everyone
        ],
        "provider_hours": [
            small["provider_hours"][0] | {"provider_id": str(each.id), "weekday": weekday}
            for each in everyone for weekday in range(5)
        ],
        "services": [small["services"][0] | {
            "name": "Follow-up", "kind": "follow_up", "duration_minutes": MINUTES, "buffer_after_minutes": 0,
        }],
        "service_instance_integrations": [
            {"id": str(UUID(int=0x50 + n)), "service_instance_id": str(INSTANCE), "system": system, "external_id": name}
            for n, (system, name) in enumerate(zip(SYSTEMS, (SHORT_SERVICE, REASON), strict=True))
        ],
    }  # fmt: skip


def intakeq_account() -> dict[str, Any]:
    """Return IntakeQ's account file."""
    account = make_account(clients=[], limits={"per_minute": PLENTY, "per_day": None})
    small = account["settings"]["Practitioners"][0]
    names = [
        small | {"Id": each.ehr_id, "CompleteName": each.name, "Email": f"{each.ehr_id}@example.org"}
        for each in providers("intakeq")
    ]
    return account | {"settings": account["settings"] | {"Practitioners": names}}


def athena_account() -> dict[str, Any]:
    """Return athenahealth's account file."""
    opens = {"startdate": f"{days()[0]:%m/%d/%Y}", "enddate": f"{days()[-1]:%m/%d/%Y}"}
    hours = {"from": f"{OPENS:02}:00", "to": f"{CLOSES:02}:00", "appointmenttypeid": ANY_30}
    return make_athena_account(
        patients=[],
        limits={"per_second": None, "per_day": None, "token_per_minute": None},
        providers=[
            {"providerid": int(each.ehr_id), "firstname": "Ada", "lastname": f"No{each.number}", "npi": 1234567893}
            for each in providers("athena")
        ],
        patterns=[make_pattern(providerid=each.ehr_id, **opens, **hours) for each in providers("athena")],
    )


def booking(slot: Slot, number: int, **more: Any) -> dict[str, Any]:
    """Return the body of a booking by the patient with that number."""
    return {
        "payerId": str(PAYER),
        "serviceId": str(SERVICE_ID),
        "providerId": str(slot.provider.id),
        "start": slot.start.isoformat(),
        "state": "UT",
        "patient": {
            "firstName": f"Pat{number}",  # IntakeQ takes one first name and phone for one person.
            "lastName": "Canary",
            "dateOfBirth": (FIRST_BIRTH + timedelta(days=number)).isoformat(),  # And athenahealth, one name and day.
            "email": f"pat{number}.canary@example.org",
            "phone": f"801-555-01{number % 100:02}",
        },
        "consents": {"email": True, "sms": False},
    } | more


def hold(slot: Slot) -> dict[str, Any]:
    """Return the body of a hold."""
    body = booking(slot, 0)
    return {name: body[name] for name in ("payerId", "serviceId", "providerId", "start", "state")}
