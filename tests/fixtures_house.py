"""The practice of tests/fixtures_booking.py with providers in both EHRs, seen from the side of either of them.

Import the fixtures into a conftest: `from tests.fixtures_house import clients, house, schedule, side, vendors`. A test
that takes `house` runs twice: for visits in IntakeQ and for those in athenahealth. `house.side` is the one it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.booking import holds
from moonlit.booking.answers import AppointmentAnswer
from moonlit.booking.desk import Desk
from moonlit.booking.errors import BookingRefused
from moonlit.booking.holds_store import Hold
from moonlit.booking.moving import Change
from moonlit.booking.saga import Saga
from moonlit.booking.sweep import WATCHES, Sweeper
from moonlit.booking.wanted import Key, SlotWish, Wanted
from moonlit.db import tables as t
from moonlit.db.engine import Begin
from moonlit.ehr.athena import Athena, open_account
from moonlit.ehr.athena_token import SharedToken
from moonlit.ehr.port import Budget, Ehr
from moonlit.sync.open_slots import refresh_due
from tests.fixtures_athena import DEPARTMENT, AthenaServer, StartAthena
from tests.fixtures_booking import EMIL, INES, PAYER, SERVICE_ID, TEN, Office, load_practice, make_clinic, wanted
from tests.fixtures_ehrs import (
    HOUR,
    NOOR,
    REASON,
    STRANGER,
    TOVE,
    AthenaSide,
    IntakeqSide,
    Side,
    System,
    make_schedule,
)
from tests.fixtures_intakeq import (
    DENVER,
    MovableClock,
    OpenBudget,
    OpenIntakeq,
    StartIntakeq,
    make_account,
    make_client,
)

TOKEN_KEY = "0123456789abcdef0123456789abcdef"
CALLER = "somebody's address"


def make_house(**tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a clinic file's object with two providers in each EHR; `tables` replace whole tables."""
    base = make_clinic()
    twins = {str(INES): (NOOR, "Noor Haddad", "71"), str(EMIL): (TOVE, "Tove Lindgren", "72")}

    def both(table: str, **changes: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = list(base[table])
        for row in base[table]:
            twin, name, _ = twins[row.get("provider_id") or row["id"]]
            own = {"id": str(twin), "name": name} if table == "providers" else {"provider_id": str(twin)}
            if table == "provider_payer_networks":
                own["id"] = str(UUID(int=twin.int + 0x60))
            rows.append(row | own | changes)
        return rows

    mapping = base["service_instance_integrations"][0]
    return (
        base
        | {
            "providers": both("providers", ehr_system="athena"),
            "provider_payer_networks": both("provider_payer_networks"),
            "provider_hours": both("provider_hours"),
            "provider_athena_settings": [
                {"provider_id": str(twin), "athena_provider_id": vendor_id, "department_id": DEPARTMENT}
                for twin, _, vendor_id in twins.values()
            ],
            "payer_athena_settings": [{"payer_id": str(PAYER), "insurance_package_id": "318"}],
            "service_instance_integrations": [
                mapping,
                mapping | {"id": str(UUID(int=0x51)), "system": "athena", "external_id": REASON},
            ],
        }
        | tables
    )


def offered(refused: BookingRefused) -> list[dict[str, Any]]:
    """Return the free slots that a refusal offers instead."""
    found: Any = refused.extra["alternatives"]
    return list(found)


@dataclass
class House(Office):
    """The practice over both EHRs, at whose desk people book, hold, move and cancel."""

    side: Side = field(kw_only=True)
    sides: Mapping[System, Side] = field(kw_only=True)

    @property
    def desk(self) -> Desk:
        return Desk(self.saga, TOKEN_KEY)

    @property
    def other_side(self) -> Side:
        return next(each for each in self.sides.values() if each is not self.side)

    @property
    def athena(self) -> AthenaSide:
        side = self.sides["athena"]
        assert isinstance(side, AthenaSide)
        return side

    def wanted(self, start: datetime = TEN, **changes: Any) -> Wanted:
        """Return a booking of Dana's with the provider of this side."""
        return wanted(start, **{"provider_id": self.side.provider} | changes)

    def book(self, start: datetime = TEN, *, key: str = "", body: str = "", **changes: Any) -> AppointmentAnswer:
        return self.desk.book(self.wanted(start, **changes), Key(key or uuid4().hex, body))

    def hold(self, start: datetime = TEN, *, caller: str = CALLER, **changes: Any) -> Hold:
        wish = SlotWish(PAYER, SERVICE_ID, start, "UT", provider_id=self.side.provider)
        return holds.place(self.saga, replace(wish, **changes), caller)

    def drop(self, hold_id: UUID) -> None:
        holds.drop(self.saga, hold_id)

    def move(
        self,
        appointment_id: UUID,
        start: datetime,
        provider_id: UUID | None = None,
        *,
        by_staff: bool = True,
        **by: Any,
    ) -> AppointmentAnswer:
        return self.desk.move(Change(appointment_id, start, provider_id, by_staff=by_staff, **by))

    def cancel(self, appointment_id: UUID, *, by_staff: bool = True) -> AppointmentAnswer:
        return self.desk.cancel(appointment_id, None, by_staff=by_staff)

    def sweep(self) -> None:
        """Do what the sweeper's function does in a minute, and let the minute pass."""
        self._sweep(timedelta(seconds=61))
        self.read_slots()

    def read_slots(self) -> None:
        refresh_due(self.begin, self.clock, self.saga.ehr_of, lambda: 60.0)

    def settle(self) -> None:
        """Sweep until nothing can be under way any more: looks, repetitions and watches have had their time."""
        for pause in (*[timedelta(seconds=61)] * 8, *WATCHES, timedelta(hours=2)):
            self._sweep(pause)
        self.sweep()

    def _sweep(self, pause: timedelta) -> None:
        self.clock.instant += pause
        self.sweeper.sweep()

    def writes(self, appointment_id: UUID) -> list[tuple[str, str]]:
        """Return kind and state of each write of a visit, in the order in which they were opened."""
        rows = self.rows(
            "select kind, state from ehr_writes where appointment_id = :id order by created_at, kind", id=appointment_id
        )
        return [(row["kind"], row["state"]) for row in rows]

    def owners(self, start: datetime = TEN, end: datetime | None = None) -> set[UUID]:
        """Return the visits and holds that claim any person's time within the hour."""
        rows = self.rows(
            "select coalesce(appointment_id, hold_id) as owner from time_claims where resource_kind = 'person'"
            " and span && tstzrange(:start, :end)",
            start=start,
            end=end or start + HOUR,
        )
        return {row["owner"] for row in rows}

    def told(self) -> list[str]:
        """Return what is to be told to people, by kind."""
        return [row["kind"] for row in self.rows("select kind from outbox order by created_at, kind")]

    def external_ids(self, appointment_id: UUID) -> dict[str, bool]:
        """Return the visit's ids in EHRs, and whether each is the one that it has now."""
        rows = self.rows(
            "select external_id, is_current from appointment_external_ids where appointment_id = :id", id=appointment_id
        )
        return {row["external_id"]: row["is_current"] for row in rows}

    def room(self) -> UUID:
        """Have everybody work at a place with one room, which the service needs."""
        place, room_id = {"name": "Main Street", "timezone": "America/Denver", "pos_code": "11"}, uuid4()
        room = {"id": room_id, "room_number": "1", "room_name": "Blue", "capacity": 2}
        with self.begin() as connection:
            added = sa.insert(t.locations).values(id=uuid4(), athena_department_id=DEPARTMENT, **place)
            location_id = connection.execute(added.returning(t.locations.c.id)).scalar_one()
            connection.execute(sa.insert(t.rooms).values(location_id=location_id, **room))
            connection.execute(sa.update(t.services).values(room_required=True, modality="in_person"))
            connection.execute(sa.update(t.provider_hours).values(modality="in_person", location_id=location_id))
        return room_id


@pytest.fixture(params=["intakeq", "athena"])
def side(request: pytest.FixtureRequest) -> System:
    """Return the EHR that the test is about; a test may fix it by parametrizing it."""
    chosen: System = request.param
    return chosen


@pytest.fixture
def schedule() -> dict[str, Any]:
    """Return athenahealth's account file; a test may put its own in this place by parametrizing it."""
    return make_schedule()


@pytest.fixture
def clients() -> list[dict[str, Any]]:
    """Return IntakeQ's clients; a test may put its own in this place by parametrizing it."""
    strangers = ((int(STRANGER), "Odalys"), (70_000, "Vera"))  # New ids are none that athenahealth gives too.
    return [make_client(number, FirstName=name, Email=None, Phone=None) for number, name in strangers]


@pytest.fixture
def vendors(
    schedule: dict[str, Any], clients: list[dict[str, Any]], start_intakeq: StartIntakeq, start_athena: StartAthena
) -> tuple[IntakeqSide, AthenaSide]:
    """Return both simulators on one clock at NOON."""
    clock = MovableClock()
    return IntakeqSide(start_intakeq(make_account(clients=clients), clock)), AthenaSide(start_athena(schedule, clock))


@pytest.fixture
def house(
    begin: Begin, side: System, vendors: tuple[IntakeqSide, AthenaSide], open_intakeq: OpenIntakeq
) -> Iterator[House]:
    """Return the practice over both EHRs at NOON, with athenahealth's slots read."""
    load_practice(begin, make_house())
    intakeq, athena = vendors
    clock = intakeq.server.clock
    assert isinstance(clock, MovableClock)
    with begin() as connection:
        accounts = connection.execute(sa.select(t.ehr_accounts.c.system, t.ehr_accounts.c.id))
        ids = {row.system: row.id for row in accounts}
    with closing(open_athena(athena.server, begin, ids["athena"], clock)) as adapter:
        adapters: dict[UUID, Ehr] = {ids["intakeq"]: open_intakeq(intakeq.server), ids["athena"]: adapter}
        saga = Saga(begin, clock, adapters.__getitem__, lambda _: False)
        sweeper = Sweeper(saga, DENVER, lambda: 60.0)
        sides: dict[System, Side] = {"intakeq": intakeq, "athena": athena}
        opened = House(begin, clock, intakeq.server, saga, sweeper, side=sides[side], sides=sides)
        opened.read_slots()
        yield opened


def open_athena(
    server: AthenaServer, begin: Begin, account_id: UUID, clock: MovableClock, budget: Budget | None = None
) -> Athena:
    """Return the adapter on a simulator."""
    return open_account(
        server.base_url,
        (server.client_id, server.client_secret),
        server.practice_id,
        budget=budget or OpenBudget(),
        token=lambda endpoint: SharedToken(begin, account_id, clock, endpoint.ask),
        clock=clock,
        zone=DENVER,
    )
