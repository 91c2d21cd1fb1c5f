"""The same practice with a second EHR account, athenahealth's, and that vendor's simulator behind the real adapter.

Import the fixtures into a conftest: `from tests.fixtures_athena_sync import athena, open_athena, start_athena_night`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.ehr.athena import Athena, open_account
from moonlit.ehr.athena_token import SharedToken
from moonlit.ehr.port import Budget, Ehr, EhrVisit, OpenSlot, Page
from moonlit.sync.pull import Meter
from tests.fixtures_athena import DEPARTMENT, PROVIDER, REASON, AthenaServer, StartAthena
from tests.fixtures_intakeq import DENVER, NOON, OpenBudget
from tests.fixtures_sync import Practice

NINE = datetime(2027, 3, 15, 15, 0, tzinfo=UTC)  # Monday, 09:00 in Denver: where make_slot puts a slot.
HOUR, HALF_HOUR = timedelta(hours=1), timedelta(minutes=30)
CLIENT = "50341"


@dataclass
class AthenaPractice(Practice):
    """The practice as its athenahealth account sees it."""

    system: str = "athena"

    def provider(self, practitioner_id: str, department_id: str = DEPARTMENT, **fields: Any) -> UUID:
        values = {"name": "Ines Okafor", "ehr_system": "athena", "timezone": "America/Denver", **fields}
        provider_id = self.add(t.providers, **values)
        seat = {"provider_id": provider_id, "athena_provider_id": practitioner_id, "department_id": department_id}
        with self.begin() as connection:
            connection.execute(sa.insert(t.provider_athena_settings).values(**seat))
        return provider_id

    def service_of(self, reason_id: str) -> UUID:
        """Map the vendor's reason to the practice's service, for one payer; return the instance."""
        payer_id = self.add(t.payers, name="Cedar Health", type="private")
        instance_id = self.add(
            t.service_instances,
            service_id=self.service_id, payer_id=payer_id, location="Telehealth", pos_code="10",
        )  # fmt: skip
        self.add(
            t.service_instance_integrations,
            service_instance_id=instance_id, system="athena", external_id=reason_id,
        )  # fmt: skip
        return instance_id


@pytest.fixture
def athena(practice: Practice) -> AthenaPractice:
    """Give the practice an athenahealth account with one provider, and a reason that stands for its service."""
    account_id = practice.add(t.ehr_accounts, system="athena", per_minute=300, per_day=45_000)
    second = AthenaPractice(
        practice.begin, practice.clock, account_id, uuid4(), practice.service_id, practice.sync_queue,
        practice.pull_queue,
    )  # fmt: skip
    second.provider_id = second.provider(PROVIDER)
    second.service_of(REASON)
    return second


class OpenAthena(Protocol):
    """Opens the adapter on a simulator, with an open budget unless told otherwise; closed with the test."""

    def __call__(self, server: AthenaServer, practice: Practice, budget: Budget | None = None) -> Athena: ...


@pytest.fixture
def open_athena() -> Iterator[OpenAthena]:
    with ExitStack() as accounts:

        def opened(server: AthenaServer, practice: Practice, budget: Budget | None = None) -> Athena:
            account = open_account(
                server.base_url,
                (server.client_id, server.client_secret),
                server.practice_id,
                budget=budget or OpenBudget(),
                token=lambda endpoint: SharedToken(practice.begin, practice.account_id, practice.clock, endpoint.ask),
                clock=practice.clock,
                zone=DENVER,
            )
            return accounts.enter_context(closing(account))

        yield opened


@dataclass
class AthenaNight:
    """The practice's athenahealth side and its simulator, on one clock."""

    practice: AthenaPractice
    server: AthenaServer
    ehr: Ehr
    meter: Meter

    def run(self) -> dict[str, Any]:
        """Run a whole night of this account an hour later, and return its summary."""
        self.practice.clock.advance(hours=1)
        self.server.forget()
        nightly = self.practice.nightly(self.ehr, self.meter)
        run_id = nightly.start("automated_daily")
        self.practice.apply_all()
        return nightly.summary(run_id)

    def asked(self) -> list[str]:
        """Return the lists of visits that the last night asked for."""
        paths = [request["path"] for request in self.server.requests()]
        return [path for path in paths if "booked" in path]


class StartAthenaNight(Protocol):
    """Serves an account file to the practice."""

    def __call__(self, account: dict[str, Any]) -> AthenaNight: ...


@pytest.fixture
def start_athena_night(athena: AthenaPractice, start_athena: StartAthena, open_athena: OpenAthena) -> StartAthenaNight:
    def start(account: dict[str, Any]) -> AthenaNight:
        server = start_athena(account, athena.clock)
        meter = Meter(OpenBudget())
        return AthenaNight(athena, server, open_athena(server, athena, meter), meter)

    return start


_VISIT = EhrVisit(
    external_id="1",
    client_id=CLIENT,
    client_email=None,
    client_birth_date=None,
    practitioner_id=PROVIDER,
    ehr_service_id=REASON,
    starts_at=NINE,
    ends_at=NINE + HALF_HOUR,
    status="confirmed",
    modified_at=NOON,
    created_at=NOON,
    meeting_url=None,
    location_name="Harbor Street Clinic",
    place_of_service=None,
    content_hash="",
    raw={},
    location_id=DEPARTMENT,
)


def make_ehr_visit(external_id: str, **fields: Any) -> EhrVisit:
    """Return a visit as the adapter gives it; its hash follows its content."""
    visit = replace(_VISIT, external_id=external_id, **fields)
    told = (visit.status, visit.starts_at, visit.practitioner_id, visit.location_id, visit.client_id, visit.moved_to)
    return replace(visit, content_hash=str(told))


@dataclass
class ScriptedEhr:
    """An EHR that shows what a test has put in; `open_slots` asks `reading` for what is open."""

    visits: list[EhrVisit] = field(default_factory=list)
    reading: Callable[[], Sequence[OpenSlot]] = tuple
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def changed_since(self, *_: Any) -> Page:
        return Page(list(self.visits), is_last=True)

    def window(self, *question: Any) -> Page:
        return self.changed_since(*question)

    def deleted(self, *_: Any) -> Page:
        return Page((), is_last=True)

    def open_slots(self, *question: Any) -> Sequence[OpenSlot]:
        self.asked.append(question)
        return self.reading()


def scripted_night(practice: Practice, *visits: EhrVisit) -> dict[str, int]:
    """Run a night in which the EHR shows these visits, and return what was counted."""
    nightly = practice.nightly(cast("Ehr", ScriptedEhr(list(visits))), Meter(OpenBudget()))
    run_id = nightly.start("automated_daily")
    practice.apply_all()
    counted: dict[str, int] = nightly.summary(run_id)["counts"]
    return {name: count for name, count in counted.items() if count}
