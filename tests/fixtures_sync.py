"""A small practice in a real database, its EHR's simulator, and queues that can be looked into and emptied by hand.

Import the fixtures into a conftest: `from tests.fixtures_sync import practice, start_night`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NoReturn, Protocol
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.db.engine import Begin
from moonlit.ehr.port import Budget, Ehr
from moonlit.sync.fan_out import FanOut
from moonlit.sync.nightly import Nightly
from moonlit.sync.organizations import Organizations
from moonlit.sync.pull import Meter, Puller
from tests.fixtures_intakeq import (
    PRACTITIONER,
    SERVICE,
    IntakeqServer,
    MovableClock,
    OpenBudget,
    OpenIntakeq,
    StartIntakeq,
)

BORN = date(1988, 5, 23)


@dataclass
class MemoryQueue:
    """Keeps what was sent, with its delay, until somebody takes it."""

    waiting: list[tuple[dict[str, Any], int]] = field(default_factory=list)

    def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
        self.waiting += [(dict(message), delay_seconds) for message in messages]

    def take(self) -> list[dict[str, Any]]:
        messages = [message for message, _ in self.waiting]
        self.waiting.clear()
        return messages


def nobody_asks(*_: object) -> NoReturn:
    """Stand for what must not be needed."""
    raise AssertionError


@dataclass
class Practice:
    """The practice's database and what works on one EHR account; the clock stands at noon until a test moves it."""

    begin: Begin
    clock: MovableClock
    account_id: UUID
    provider_id: UUID
    service_id: UUID
    sync_queue: MemoryQueue = field(default_factory=MemoryQueue)
    pull_queue: MemoryQueue = field(default_factory=MemoryQueue)
    system: str = "intakeq"

    def add(self, table: sa.Table, **values: Any) -> UUID:
        key = values.setdefault("id", uuid4())
        with self.begin() as connection:
            connection.execute(sa.insert(table).values(**values))
        return UUID(str(key))

    def patient(self, client_id: str | None = None, *organizations: UUID, **fields: Any) -> UUID:
        values = {"first_name": "Ana", "last_name": "Lund", "date_of_birth": BORN, **fields}
        number = {"intakeq": "intakeq_client_id", "athena": "athena_patient_id"}[self.system]
        patient_id = self.add(t.patients, **{number: client_id}, **values)
        for organization_id in organizations:
            self.add(
                t.patient_organization_affiliations,
                patient_id=patient_id,
                organization_id=organization_id,
                status="active",
                roi_consent="active",
            )
        return patient_id

    def organization(self, *, active: bool = True) -> UUID:
        return self.add(t.organizations, name="Harbor", active=active)

    def provider(self, practitioner_id: str, **fields: Any) -> UUID:
        values = {"name": "Ines Okafor", "ehr_system": "intakeq", "timezone": "America/Denver", **fields}
        provider_id = self.add(t.providers, **values)
        with self.begin() as connection:
            connection.execute(
                sa.insert(t.provider_intakeq_settings).values(provider_id=provider_id, practitioner_id=practitioner_id)
            )
        return provider_id

    def visit(self, patient_id: UUID, external_id: str | None, **fields: Any) -> UUID:
        """Add a visit as the import of a clinic leaves it."""
        now = self.clock.now()
        start = fields.pop("start", now + timedelta(days=1))
        appointment_id = self.add(
            t.appointments,
            patient_id=patient_id,
            start=start,
            end=fields.pop("end", start + timedelta(hours=1)),
            status=fields.pop("status", "confirmed"),
            system=self.system,
            created_at=now,
            updated_at=now,
            **fields,
        )
        if external_id:
            with self.begin() as connection:
                connection.execute(
                    sa.insert(t.appointment_external_ids).values(
                        account_id=self.account_id, external_id=external_id, appointment_id=appointment_id
                    )
                )
        return appointment_id

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.begin() as connection:
            return [row._mapping for row in connection.execute(sa.text(statement), values)]

    def visits(self) -> dict[str, Any]:
        """Return every visit that the EHR knows, by its id there."""
        found = self.rows(
            "select a.*, x.external_id from appointments a join appointment_external_ids x on x.appointment_id = a.id"
        )
        return {row["external_id"]: row for row in found}

    def claims(self, appointment_id: UUID) -> set[tuple[str, bool]]:
        found = self.rows(
            "select resource_kind, enforced from time_claims where appointment_id = :id", id=appointment_id
        )
        return {(row["resource_kind"], row["enforced"]) for row in found}

    def nightly(self, ehr: Ehr, meter: Meter, seconds_left: float = 900.0) -> Nightly:
        puller = Puller(self.begin, self.clock, ehr, meter, lambda: seconds_left)
        return Nightly(self.system, puller, FanOut(self.begin, self.clock, self.sync_queue), self.pull_queue)

    def apply_all(self) -> None:
        """Do what the workers of the sync queue do with its messages."""
        for message in self.sync_queue.take():
            assert Organizations(self.begin, self.clock, lambda: 900.0).bring_up_to_date(UUID(message["syncLogId"]))


@pytest.fixture
def practice(begin: Begin) -> Practice:
    account_id, service_id = uuid4(), uuid4()
    default = {"name": "Intake", "service_id": str(service_id), "mappings": {"intakeq": SERVICE}}
    with begin() as connection:
        connection.execute(
            sa.insert(t.practice_settings).values(name="Clinic", timezone="America/Denver", default_services=[default])
        )
        connection.execute(
            sa.insert(t.ehr_accounts).values(id=account_id, system="intakeq", per_minute=10, per_day=500)
        )
        connection.execute(
            sa.insert(t.services).values(
                id=service_id, name="Intake", kind="intake", duration_minutes=60, modality="telehealth"
            )
        )
    practice = Practice(begin, MovableClock(), account_id, uuid4(), service_id)
    practice.provider_id = practice.provider(PRACTITIONER)
    return practice


@dataclass
class Night:
    """A practice and a simulator of its EHR, on one clock; `meter` is the budget that `ehr` spends."""

    practice: Practice
    server: IntakeqServer
    ehr: Ehr
    meter: Meter

    def run(self) -> dict[str, Any]:
        """Run a whole night and return its summary, with its logs by organization."""
        self.server.forget()
        nightly = self.practice.nightly(self.ehr, self.meter)
        run_id = nightly.start("automated_daily")
        for message in self.practice.pull_queue.take():
            nightly.go_on(UUID(message["runId"]))
        self.practice.apply_all()
        summary = nightly.summary(run_id)
        return {**summary, "logs": {log["organizationId"]: log for log in summary["logs"]}}


class StartNight(Protocol):
    """Serves an account file to the practice."""

    def __call__(self, account: dict[str, Any], budget: Budget | None = None) -> Night: ...


@pytest.fixture
def start_night(practice: Practice, start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq) -> StartNight:
    def start(account: dict[str, Any], budget: Budget | None = None) -> Night:
        server = start_intakeq(account, practice.clock)
        meter = Meter(budget or OpenBudget())
        return Night(practice, server, open_intakeq(server, meter), meter)

    return start
