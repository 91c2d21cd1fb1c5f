"""A bookable practice: two providers, one payer with contracts, one service mapped to the simulator's, both synced.

Import the fixtures into a conftest: `from tests.fixtures_booking import account, office`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range

from local.clinic import load
from moonlit.booking.patients import PatientForm
from moonlit.booking.saga import Saga
from moonlit.booking.sweep import Sweeper
from moonlit.booking.use_cases import accept
from moonlit.booking.wanted import Key, Wanted
from moonlit.db import tables as t
from moonlit.db.engine import Begin
from tests.fixtures_intakeq import (
    DENVER,
    NOON,
    OTHER_PRACTITIONER,
    PRACTITIONER,
    SERVICE,
    IntakeqServer,
    MovableClock,
    OpenIntakeq,
    StartIntakeq,
    make_account,
)

INES, EMIL = UUID(int=0x10), UUID(int=0x11)
PAYER, NEW_PAYER, SERVICE_ID, INSTANCE = UUID(int=0x20), UUID(int=0x21), UUID(int=0x30), UUID(int=0x40)
# Thursday 2027-03-11, 10:00 in Denver: inside both providers' hours, 22 hours ahead of NOON.
TEN = datetime(2027, 3, 11, 17, 0, tzinfo=UTC)


def make_clinic(**tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a clinic file's object; `tables` replace whole tables."""
    return {
        "as_of": NOON.isoformat(),
        "practice": {
            "name": "Test Practice",
            "timezone": "America/Denver",
            "ehr_limits": {"intakeq": {"per_minute": 1000, "per_day": None}},
            "default_services": [],
        },
        "payers": [
            _payer(PAYER, "Cedar Health", "approved"),
            _payer(NEW_PAYER, "Dune Mutual", "pending"),
        ],
        "providers": [_provider(INES, "Ines Okafor"), _provider(EMIL, "Emil Varga")],
        "provider_intakeq_settings": [
            {"provider_id": str(INES), "practitioner_id": PRACTITIONER, "practitioner_email": "i@example.org"},
            {"provider_id": str(EMIL), "practitioner_id": OTHER_PRACTITIONER, "practitioner_email": "e@example.org"},
        ],
        "provider_payer_networks": [_contract(INES), _contract(EMIL)],
        "provider_hours": [
            {
                "provider_id": str(who),
                "weekday": weekday,
                "start": "09:00",
                "end": "17:00",
                "timezone": "America/Denver",
                "modality": "telehealth",
            }
            for who in (INES, EMIL)
            for weekday in range(5)
        ],
        "services": [
            {
                "id": str(SERVICE_ID),
                "name": "Intake",
                "kind": "intake",
                "duration_minutes": 60,
                "buffer_before_minutes": 0,
                "buffer_after_minutes": 10,
                "codes": ["90791"],
                "base_rate": "180.00",
                "modality": "telehealth",
                "is_active": True,
            }
        ],
        "service_instances": [
            {
                "id": str(INSTANCE),
                "service_id": str(SERVICE_ID),
                "payer_id": str(PAYER),
                "location": "Telehealth",
                "pos_code": "10",
            }
        ],
        "service_instance_integrations": [
            {
                "id": str(UUID(int=0x50)),
                "service_instance_id": str(INSTANCE),
                "system": "intakeq",
                "external_id": SERVICE,
            }
        ],
    } | tables


def _payer(payer_id: UUID, name: str, status: str) -> dict[str, Any]:
    return {
        "id": str(payer_id),
        "name": name,
        "type": "private",
        "status_code": status,
        "state": "UT",
        "plan_codes": [],
    }


def _provider(provider_id: UUID, name: str) -> dict[str, Any]:
    return {
        "id": str(provider_id),
        "name": name,
        "npi": None,
        "license_states": ["UT"],
        "native_langs": ["en"],
        "interpreter_ok": False,
        "active": True,
        "accepting_new_patients": True,
        "ehr_system": "intakeq",
        "timezone": "America/Denver",
    }


def _contract(provider_id: UUID) -> dict[str, Any]:
    return {
        "id": str(UUID(int=provider_id.int + 0x60)),
        "provider_id": str(provider_id),
        "payer_id": str(PAYER),
        "effective_date": "2026-01-01",
        "end_date": None,
        "status": "active",
    }


def wanted(start: datetime = TEN, **changes: Any) -> Wanted:
    """Return a booking of Dana's for that start."""
    form = PatientForm("Dana", "Whitlock", date(1988, 5, 23), "dana.whitlock@example.org", "8015550142", "UT", None)
    return replace(Wanted(PAYER, SERVICE_ID, start, "UT", patient=form, provider_id=INES), **changes)


def somebody(number: int) -> PatientForm:
    """Return another patient for each number."""
    return PatientForm("Pat", f"N{number}", date(1990, 1, 1), f"pat.n{number}@example.org", "8015550100", "UT", None)


@dataclass
class Office:
    """The practice's database, its EHR's simulator, and what books between them."""

    begin: Begin
    clock: MovableClock
    intakeq: IntakeqServer
    saga: Saga
    sweeper: Sweeper
    account_id: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.account_id = self.rows("select id from ehr_accounts where system = 'intakeq'")[0]["id"]

    def accept(self, booking: Wanted, key: str = "", body: str = "") -> UUID:
        return accept(self.begin, self.clock, booking, Key(key or uuid4().hex, body)).appointment_id

    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        with self.begin() as connection:
            return [dict(row) for row in connection.execute(sa.text(statement), values).mappings()]

    def execute(self, statement: str, **values: Any) -> None:
        with self.begin() as connection:
            connection.execute(sa.text(statement), values)

    def write(self, appointment_id: UUID) -> Mapping[str, Any]:
        return self.rows("select * from ehr_writes where appointment_id = :id", id=appointment_id)[0]

    def visit(self, appointment_id: UUID) -> Mapping[str, Any]:
        return self.rows("select * from appointments where id = :id", id=appointment_id)[0]

    def claims(self, appointment_id: UUID) -> set[str]:
        found = self.rows("select resource_kind from time_claims where appointment_id = :id", id=appointment_id)
        return {row["resource_kind"] for row in found}

    def in_ehr(self) -> list[dict[str, Any]]:
        """Return the EHR's visits that stand."""
        return [row for row in self.intakeq.state()["appointments"] if row["Status"] != "Canceled"]

    def busy_in_mirror(self, practitioner_id: str, start: datetime, minutes: int = 60) -> None:
        """Let the EHR's mirror show a visit of somebody unknown."""
        values = {
            "account_id": self.account_id,
            "external_id": uuid4().hex[:24],
            "practitioner_id": practitioner_id,
            "span": Range(start, start + timedelta(minutes=minutes)),
            "status": "confirmed",
            "modified_at": NOON,
            "content_hash": "x",
            "raw": {},
            "seen_at": NOON,
        }
        with self.begin() as connection:
            connection.execute(sa.insert(t.ehr_appointments).values(**values))


def load_practice(begin: Begin, clinic: Mapping[str, Any]) -> None:
    """Load a clinic whose calendar a pull has read for three months."""
    with begin() as connection:
        load(connection, clinic)
        connection.execute(
            sa.update(t.ehr_accounts).values(window_first=date(2027, 1, 1), window_last=date(2027, 6, 30))
        )


@pytest.fixture
def account() -> dict[str, Any]:
    """Return the EHR account of the office; a test may put its own in this place by parametrizing it."""
    return make_account(clients=[])


@pytest.fixture
def office(begin: Begin, account: dict[str, Any], start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq) -> Office:
    """Return the practice with its clock at NOON."""
    load_practice(begin, make_clinic())
    clock = MovableClock()
    server = start_intakeq(account, clock)
    adapter = open_intakeq(server)
    saga = Saga(begin, clock, lambda _: adapter, lambda _: False)
    return Office(begin, clock, server, saga, Sweeper(saga, DENVER, lambda: 60.0))
