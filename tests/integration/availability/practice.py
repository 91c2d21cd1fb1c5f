"""A practice whose providers work in two EHRs, and what is asked of its calendar. No EHR is there to be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range

from local.clinic import load
from moonlit.availability import widget
from moonlit.availability.answers import EligibilityRequest
from moonlit.availability.store import Availability
from moonlit.availability.use_cases import Inquiry, Request, free_slots, inquire
from moonlit.db import tables as t
from moonlit.db.engine import Begin
from tests.fixtures_booking import EMIL, INES, INSTANCE, PAYER, SERVICE_ID, TEN, make_clinic
from tests.fixtures_intakeq import NOON

ASTRID = UUID(int=0x12)  # Works in athenahealth, where visits take one of the slots that it keeps.
EAST, WEST = UUID(int=0x90), UUID(int=0x91)  # Departments 1 and 2.
REASON = "82"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
DAY = TEN.date()
_DENVER = ZoneInfo("America/Denver")
_FACTS: Mapping[str, Any] = {
    "npi": None,
    "license_states": ["UT"],
    "native_langs": ["en", "sv"],
    "interpreter_ok": False,
    "active": True,
    "accepting_new_patients": True,
    "timezone": "America/Denver",
}


def clinic() -> dict[str, Any]:
    made = make_clinic()
    made["providers"].append({**_FACTS, "id": str(ASTRID), "name": "Astrid Lund", "ehr_system": "athena"})
    made["provider_athena_settings"] = [{"provider_id": str(ASTRID), "athena_provider_id": "71", "department_id": "1"}]
    made["provider_payer_networks"].append({
        "id": str(uuid4()), "provider_id": str(ASTRID), "payer_id": str(PAYER), "effective_date": "2026-01-01",
        "end_date": None, "status": "active",
    })  # fmt: skip
    made["service_instance_integrations"].append(
        {"id": str(uuid4()), "service_instance_id": str(INSTANCE), "system": "athena", "external_id": REASON}
    )
    made["locations"] = [
        {"id": str(place), "name": name, "address": None, "timezone": "America/Denver", "pos_code": "11",
         "athena_department_id": department}
        for place, name, department in ((EAST, "East", "1"), (WEST, "West", "2"))
    ]  # fmt: skip
    return made


@dataclass
class Practice:
    """The database at NOON, a Wednesday; everything is asked for the day after, when Ines and Emil work 9 to 17."""

    begin: Begin
    now: datetime = NOON

    @classmethod
    def opened(cls, begin: Begin) -> Practice:
        with begin() as connection:
            load(connection, clinic())
            days = {"window_first": date(2027, 1, 1), "window_last": date(2027, 6, 30)}
            connection.execute(sa.update(t.ehr_accounts).values(**days))
            connection.execute(
                sa.update(t.ehr_accounts).where(t.ehr_accounts.c.system == "athena").values(slots_read_at=NOON)
            )
        return cls(begin)

    def execute(self, statement: str, **values: Any) -> None:
        with self.begin() as connection:
            connection.execute(sa.text(statement), values)

    def insert(self, table: sa.Table, **values: Any) -> None:
        with self.begin() as connection:
            connection.execute(sa.insert(table).values(**values))

    def account(self, system: str = "intakeq") -> UUID:
        with self.begin() as connection:
            query = sa.select(t.ehr_accounts.c.id).where(t.ehr_accounts.c.system == system)
            return UUID(str(connection.execute(query).scalar_one()))

    # ── What takes time ──────────────────────────────────────────────────────────────────────────────────────────────

    def visit(self, start: datetime = TEN, provider_id: UUID = INES, status: str = "confirmed") -> UUID:
        """Store a visit without any claim."""
        patient_id, visit_id = uuid4(), uuid4()
        self.insert(t.patients, id=patient_id, first_name="Pat", last_name="Lund")
        self.insert(
            t.appointments, id=visit_id, patient_id=patient_id, provider_id=provider_id, start=start, end=start + HOUR,
            status=status, system="intakeq", created_at=NOON, updated_at=NOON,
        )  # fmt: skip
        return visit_id

    def claim(
        self, resource_id: UUID, start: datetime = TEN, kind: str = "person", length: timedelta = HOUR, **owner: UUID
    ) -> None:
        """Claim time for `appointment_id` or `hold_id`, else for a visit that nobody has heard of."""
        owner = owner or {"appointment_id": self.visit(start)}
        span = Range(start, start + length)
        self.insert(t.time_claims, id=uuid4(), resource_kind=kind, resource_id=resource_id, span=span, **owner)

    def hold(self, start: datetime = TEN, expires_at: datetime = NOON + 10 * MINUTE) -> UUID:
        hold_id = uuid4()
        self.insert(
            t.appointment_holds, id=hold_id, provider_id=INES, service_id=SERVICE_ID, payer_id=PAYER, start=start,
            end=start + HOUR, expires_at=expires_at, created_at=NOON,
        )  # fmt: skip
        return hold_id

    def mirrored(
        self, practitioner_id: str, start: datetime = TEN, visit_id: UUID | None = None, **columns: Any
    ) -> str:
        """Let the EHR's calendar show a visit, as one of ours if there is an id."""
        values = {"system": "intakeq", "is_current": True, "status": "confirmed", "seen_at": NOON, **columns}
        account_id, is_current = self.account(values.pop("system")), values.pop("is_current")
        external_id = uuid4().hex
        self.insert(
            t.ehr_appointments, account_id=account_id, external_id=external_id, practitioner_id=practitioner_id,
            span=Range(start, start + HOUR), modified_at=NOON, content_hash="x", raw={}, **values,
        )  # fmt: skip
        if visit_id:
            ids = {"account_id": account_id, "external_id": external_id, "appointment_id": visit_id}
            self.insert(t.appointment_external_ids, **ids, is_current=is_current)
        return external_id

    def write(self, visit_id: UUID, kind: str, state: str, external_id: str, **columns: Any) -> None:
        self.insert(
            t.ehr_writes, id=uuid4(), account_id=self.account(), appointment_id=visit_id, kind=kind, state=state,
            external_id=external_id, starts_at=TEN, created_at=NOON, next_look_at=NOON, **columns,
        )  # fmt: skip

    def open_slot(self, slot_id: str, start: datetime = TEN, minutes: int = 60, **columns: Any) -> None:
        """Let athenahealth offer a slot; by default Astrid's, for the service."""
        values = {"practitioner_id": "71", "department_id": "1", "reason_ids": [REASON], "read_at": NOON, **columns}
        span = Range(start, start + minutes * MINUTE)
        self.insert(t.ehr_open_slots, account_id=self.account("athena"), external_id=slot_id, span=span, **values)

    # ── What is asked ────────────────────────────────────────────────────────────────────────────────────────────────

    def request(self, **changes: Any) -> Request:
        asked = Request(PAYER, SERVICE_ID, "UT", DAY, DAY, with_room=True)
        return replace(asked, **changes)

    def inquiry(self, **changes: Any) -> Inquiry:
        with self.begin() as connection:
            return inquire(Availability(connection), self.request(**changes), self.now)

    def free(self, **changes: Any) -> dict[str, set[UUID]]:
        """Return who has which start, the starts by Denver's clock."""
        with self.begin() as connection:
            store = Availability(connection)
            found = free_slots(store, inquire(store, self.request(**changes), self.now))
        return {f"{datetime.fromtimestamp(at, UTC).astimezone(_DENVER):%H:%M}": set(who) for at, who in found.items()}

    def starts(self, provider_id: UUID, **changes: Any) -> set[str]:
        """Return the starts that one provider has."""
        return {start for start, providers in self.free(**changes).items() if provider_id in providers}

    def answer(self, **changes: Any) -> dict[str, Any]:
        with self.begin() as connection:
            return dict(json.loads(widget.availability(connection, self.request(**changes), self.now)))

    def eligibility(self, **changes: Any) -> dict[str, Any]:
        asked = {"payerId": PAYER, "serviceId": SERVICE_ID, "state": "UT", "visitDate": DAY.isoformat(), **changes}
        with self.begin() as connection:
            found = widget.eligibility(connection, EligibilityRequest.model_validate(asked), self.now)
        return dict(json.loads(found.model_dump_json(by_alias=True)))

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Yield a list that collects the statements which are sent meanwhile."""
        heard: list[str] = []

        def hear(*sent: Any) -> None:
            heard.append(sent[2])

        sa.event.listen(sa.Engine, "before_cursor_execute", hear)
        try:
            yield heard
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", hear)


__all__ = ["ASTRID", "DAY", "EAST", "EMIL", "HOUR", "INES", "MINUTE", "NOON", "REASON", "TEN", "WEST", "Practice"]
