"""The practice itself: providers with their hours, services and their instances, organizations and their people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import Any

from local.demo_data.ids import ZONE, hexed, in_days, local, text, uid
from local.demo_data.payers import CHANGING, READY, UNMAPPED


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as one id; `number` is what contracts and visits refer to."""

    number: int
    name: str
    states: tuple[str, ...] = ("UT",)
    languages: tuple[str, ...] = ("en",)
    interpreter_ok: bool = False
    active: bool = True
    takes_new: bool = True
    ehr: str = "intakeq"
    zone: str = ZONE.key
    person_key: str | None = None
    daily_cap: int | None = None

    @property
    def id(self) -> str:
        """Its id in the clinic file."""
        return uid("provider", self.number)

    @property
    def practitioner_id(self) -> str:
        """Its id in IntakeQ."""
        return hexed(24, "practitioner", self.number)

    @property
    def email(self) -> str:
        """Its address in IntakeQ."""
        return f"provider{self.number}@example.org"


PROVIDERS = (
    Provider(0, "Dr. Marit Halloway", interpreter_ok=True),
    Provider(1, "Dr. Teodoro Quillfeather", states=("UT", "ID"), languages=("en", "es")),
    Provider(2, "Dr. Sunniva Brackenridge", daily_cap=3),
    Provider(3, "Dr. Osei Larkmoor", states=("UT", "ID"), person_key="larkmoor"),
    Provider(4, "Dr. Ilse Vandermeer-Soo", takes_new=False),
    Provider(5, "Dr. Corwin Ashdown", active=False),
    Provider(6, "Dr. Nadia Fennimore", languages=("en", "pt")),
    Provider(7, "Dr. Jasper Okonjo-Lind"),
    Provider(8, "Dr. Wren Castellane", states=("ID",), zone="America/Boise"),
    Provider(9, "Dr. Osei Larkmoor (weekend)", person_key="larkmoor"),
    Provider(10, "Dr. Petra Huxtable", ehr="athena"),
    Provider(11, "Dr. Lazlo Merriweather", languages=("en", "vi"), ehr="athena"),
)
WEEKEND = PROVIDERS[9]  # Works into the night in which the clocks go forward.
INTAKEQ_PROVIDERS = tuple(provider for provider in PROVIDERS if provider.ehr == "intakeq")


@dataclass(frozen=True, slots=True)
class Service:
    """A service, and its id in IntakeQ where it is mapped."""

    name: str
    kind: str
    minutes: int
    code: str
    rate: str
    buffer_after: int = 0
    modality: str = "telehealth"
    active: bool = True

    @property
    def id(self) -> str:
        """Its id in the clinic file."""
        return uid("service", self.name, self.code)

    @property
    def intakeq_id(self) -> str:
        """Its id in IntakeQ."""
        return uid("intakeq service", self.name)


INTAKE = Service(" Intake", "intake", 60, "90791", "295.00")
SHORT = Service("Follow-up (Short)", "follow_up", 30, "99214", "145.00")
EXTENDED = Service("Follow-up (Extended)", "follow_up", 60, "90837", "215.00", buffer_after=10)
DEFAULTS = (INTAKE, SHORT, EXTENDED)
# One with the name of a default, out of use; and one that needs a room.
LEFTOVER = Service("Follow-up (Short)", "follow_up", 30, "99213", "115.00", active=False)
INJECTION = Service("Monthly Injection", "injection", 30, "96372", "95.00", modality="in_person")
SERVICES = (*DEFAULTS, LEFTOVER, INJECTION)

LOCATION_ID = uid("location")
ORGANIZATIONS = ("Stillwater House", "Second Bridge Recovery", "Lantern Row", "Old Orchard Center")
CLOSED = 3  # The last organization is inactive.
ORPHANS = 11


def instance_id(payer_id: str | None, service: Service, number: int = 0) -> str:
    """Return the id of a payer's instance of a service, or of one of the orphans."""
    return uid("instance", payer_id, service.id, number)


def practice_row() -> dict[str, Any]:
    """Return the practice with its defaults."""
    return {
        "name": "Moonlit Demo Practice",
        "timezone": ZONE.key,
        "ehr_limits": {"intakeq": {"per_minute": 60, "per_day": 500}},
        "settings": {"min_notice_minutes": 120, "horizon_days": 60, "grid_minutes": 15, "guest_window_hours": 24},
        "default_services": [
            {"name": service.name.strip(), "service_id": service.id, "location": "Telehealth", "pos_code": "10",
             "required": service is INTAKE, "mappings": {"intakeq": service.intakeq_id, "athena": str(900 + number)}}
            for number, service in enumerate(DEFAULTS)
        ],
    }  # fmt: skip


def provider_tables() -> dict[str, list[dict[str, Any]]]:
    """Return the providers and everything that says when and for whom they work, contracts aside."""
    return {
        "providers": [_provider(provider, number) for number, provider in enumerate(PROVIDERS)],
        "provider_intakeq_settings": [
            {"provider_id": provider.id, "practitioner_id": provider.practitioner_id,
             "practitioner_email": provider.email, "location_id": "4"}
            for provider in INTAKEQ_PROVIDERS
        ],
        "provider_athena_settings": [
            {"provider_id": provider.id, "athena_provider_id": str(60 + provider.number), "department_id": "1"}
            for provider in PROVIDERS if provider.ehr == "athena"
        ],
        "supervision_relationships": [
            _supervision(6, 0, "sign_off_only", begins=-400),
            _supervision(7, 1, "co_visit_required", begins=-100),
            _supervision(2, 0, "sign_off_only", begins=-400, ends=-30),
        ],
        "provider_hours": _hours(),
        "provider_time_off": [_away(0, 13, (10, 0), 14, (17, 0)), _away(8, 14, (0, 0), 15, (0, 0))],
    }  # fmt: skip


def catalog_tables() -> dict[str, list[dict[str, Any]]]:
    """Return services, their instances as they were found, and places."""
    return {
        "services": [_service(service) for service in SERVICES],
        "service_instances": _instances(),
        "service_instance_integrations": [
            {"id": uid("integration", payer.id, service.id), "service_instance_id": instance_id(payer.id, service),
             "system": system, "external_id": service.intakeq_id}
            for payer, system in ((READY, "intakeq"), (CHANGING, "practiceq")) for service in DEFAULTS
        ],
        "locations": [
            {"id": LOCATION_ID, "name": "Harbor Street Clinic", "address": "40 Harbor St", "timezone": ZONE.key,
             "pos_code": "11", "athena_department_id": "1"}
        ],
        "rooms": [
            {"id": uid("room", name), "location_id": LOCATION_ID, "room_number": str(number), "room_name": name,
             "capacity": capacity, "equipment": equipment, "is_active": True}
            for number, name, capacity, equipment in (
                (1, "Birch", 2, ["video"]), (2, "Willow", 4, ["video", "whiteboard"]),
            )
        ],
    }  # fmt: skip


def organization_tables() -> dict[str, list[dict[str, Any]]]:
    """Return the partner organizations, their people, and the practice's own."""
    names = ("Amos Tilbury", "Greta Solheim", "Imani Foxworth", "Rufus Pallister")
    return {
        "organizations": [
            {"id": uid("organization", number), "name": name, "active": number != CLOSED}
            for number, name in enumerate(ORGANIZATIONS)
        ],
        "partner_users": [
            {"id": uid("partner user", number, role), "organization_id": uid("organization", number),
             "email": f"{role}{number}@example.org", "name": names[number], "role": role}
            for number in range(len(ORGANIZATIONS)) for role in ("partner_admin", "case_manager")
        ],
        "staff_users": [
            {"id": uid("staff user", role), "email": f"{role}@example.org", "name": name, "role": role,
             "provider_id": of}
            for role, name, of in (("admin", "Dora Finch", None), ("biller", "Lev Ostrow", None),
                                   ("provider", PROVIDERS[0].name, PROVIDERS[0].id))
        ],
    }  # fmt: skip


def _provider(provider: Provider, number: int) -> dict[str, Any]:
    return {
        "id": provider.id, "name": provider.name, "npi": f"15550{number:05}",
        "license_states": list(provider.states), "native_langs": list(provider.languages),
        "interpreter_ok": provider.interpreter_ok, "active": provider.active,
        "accepting_new_patients": provider.takes_new, "ehr_system": provider.ehr, "timezone": provider.zone,
        "person_key": provider.person_key, "max_daily_appointments": provider.daily_cap,
    }  # fmt: skip


def _supervision(resident: int, attending: int, level: str, *, begins: int, ends: int | None = None) -> dict[str, Any]:
    return {
        "id": uid("supervision", resident, attending), "resident_id": PROVIDERS[resident].id,
        "attending_id": PROVIDERS[attending].id, "payer_id": None, "level": level,
        "effective_date": in_days(begins).isoformat(),
        "end_date": None if ends is None else in_days(ends).isoformat(),
    }  # fmt: skip


def _hours() -> list[dict[str, Any]]:
    rows = []
    for provider in PROVIDERS:
        for weekday in (5, 6) if provider is WEEKEND else range(5):
            rows += [_window(provider, weekday, *window) for window in _windows(provider.number, weekday)]
    evening = _window(PROVIDERS[4], 2, "17:00", "19:00")
    rows.append(evening | {"valid_from": in_days(14).isoformat(), "valid_to": in_days(35).isoformat()})
    office = _window(PROVIDERS[3], 4, "13:00", "17:00")
    rows.append(office | {"modality": "in_person", "location_id": LOCATION_ID})
    return rows


def _windows(number: int, weekday: int) -> tuple[tuple[str, str], ...]:
    special: dict[tuple[int, int], tuple[tuple[str, str], ...]] = {
        (1, 0): (),
        (3, 4): (("09:00", "12:00"),),
        (6, 3): (("13:00", "17:00"), ("21:00", "24:00")),
        (9, 5): (("09:00", "12:00"),),
        (9, 6): (("01:00", "05:00"),),
    }
    return special.get((number, weekday), (("09:00", "12:00"), ("13:00", "17:00")))


def _window(provider: Provider, weekday: int, start: str, end: str) -> dict[str, Any]:
    return {
        "provider_id": provider.id, "weekday": weekday, "start": start, "end": end, "timezone": provider.zone,
        "modality": "telehealth", "location_id": None, "valid_from": None, "valid_to": None,
    }  # fmt: skip


def _away(number: int, first: int, begins: tuple[int, int], last: int, ends: tuple[int, int]) -> dict[str, Any]:
    return {
        "provider_id": PROVIDERS[number].id,
        "start": text(local(in_days(first), time(*begins))),
        "end": text(local(in_days(last), time(*ends))),
    }


def _service(service: Service) -> dict[str, Any]:
    return {
        "id": service.id, "name": service.name, "kind": service.kind, "duration_minutes": service.minutes,
        "buffer_before_minutes": 0, "buffer_after_minutes": service.buffer_after, "min_notice_minutes": None,
        "codes": [service.code], "base_rate": service.rate, "modality": service.modality,
        "room_required": service.modality == "in_person", "dose_required": service.kind == "injection",
        "is_active": service.active,
    }  # fmt: skip


def _instances() -> list[dict[str, Any]]:
    found: list[tuple[str, str | None, Service]] = [
        (instance_id(payer.id, service), payer.id, service) for payer in (READY, CHANGING) for service in DEFAULTS
    ]
    found.append((instance_id(UNMAPPED.id, SHORT), UNMAPPED.id, SHORT))
    found.append((instance_id(READY.id, INTAKE, 1), READY.id, INTAKE))  # The twin of a mapped one.
    orphaned = (*DEFAULTS, LEFTOVER)
    found += [
        (instance_id(None, orphaned[number % 4], number), None, orphaned[number % 4]) for number in range(ORPHANS)
    ]
    return [
        {"id": row_id, "service_id": service.id, "payer_id": payer_id, "location": "Telehealth", "pos_code": "10"}
        for row_id, payer_id, service in found
    ]
