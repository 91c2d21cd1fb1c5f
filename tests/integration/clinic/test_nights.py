"""Two nights of the demo practice, from the simulated EHR to the export, held against what was known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from local import demo_data
from local.clinic import export, load
from local.demo_data.ids import AS_OF, SECOND_NIGHT, TODAY
from moonlit.availability.store import Availability
from moonlit.availability.use_cases import Request, free_slots, inquire
from moonlit.db.engine import Begin
from moonlit.payers.rules import acceptance
from moonlit.payers.store import Payers
from moonlit.sync.fan_out import FanOut
from moonlit.sync.nightly import Nightly
from moonlit.sync.organizations import Organizations
from moonlit.sync.pull import Meter, Puller
from tests import expectations
from tests.fixtures_intakeq import (
    IntakeqServer,
    MovableClock,
    OpenBudget,
    OpenIntakeq,
    StartIntakeq,
    open_intakeq,
    start_intakeq,
)

__all__ = ["open_intakeq", "start_intakeq"]


def _all_the_time() -> float:
    return 600.0


@dataclass
class MemoryQueue:
    """Keeps what was sent."""

    messages: list[Mapping[str, Any]] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)

    def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
        self.messages += messages
        self.delays.append(delay_seconds)


@dataclass
class Stage:
    """The demo practice on a database of its own, beside its EHR."""

    begin: Begin
    clock: MovableClock
    server: IntakeqServer
    intakeq: OpenIntakeq

    def night(self) -> None:
        meter, parts, continuations = Meter(OpenBudget()), MemoryQueue(), MemoryQueue()
        puller = Puller(self.begin, self.clock, self.intakeq(self.server, meter), meter, _all_the_time)
        nightly = Nightly("intakeq", puller, FanOut(self.begin, self.clock, parts), continuations)
        nightly.start("automated_daily")
        for message in parts.messages:
            Organizations(self.begin, self.clock, _all_the_time).bring_up_to_date(UUID(message["syncLogId"]))

    def export(self) -> dict[str, Any]:
        with self.begin() as connection:
            return export(connection, self.clock.now())

    def payers(self) -> Iterator[dict[str, Any]]:
        with self.begin() as connection:
            store = Payers(connection)
            rows = store.page(q=None, state=None, limit=200, after=None)
            contracts = store.contracts([row.id for row in rows])
        for row in rows:
            # The store leaves the contracts of inactive providers out.
            ours = contracts.get(row.id, [])
            status, first = acceptance(row, ours, [contract.provider_id for contract in ours], TODAY)
            yield {"name": row.name, "acceptance": {"status": status, "from": first and first.isoformat()}}

    def availability(self, query: Mapping[str, Any]) -> dict[str, Any]:
        first, last = date.fromisoformat(query["from"]), date.fromisoformat(query["to"])
        request = Request(UUID(query["payerId"]), UUID(query["serviceId"]), query["state"], first, last)
        with self.begin() as connection:
            store = Availability(connection)
            found = free_slots(store, inquire(store, request, self.clock.now()))
        return {
            "slots": [
                {"start": datetime.fromtimestamp(start, UTC).isoformat(), "providerIds": list(map(str, providers))}
                for start, providers in found.items()
            ]
        }


@pytest.fixture
def stage(begin: Begin, start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq) -> Stage:
    with begin() as connection:
        load(connection, demo_data.clinic())
    clock = MovableClock(AS_OF)
    return Stage(begin, clock, start_intakeq(demo_data.account(), clock), open_intakeq)


def test_payers_are_accepted_as_their_contracts_say(stage: Stage) -> None:
    assert expectations.acceptance_differences(stage.payers(), demo_data.expected()) == []


def test_both_nights_end_as_they_must(stage: Stage) -> None:
    expected = demo_data.expected()

    stage.night()
    assert expectations.night_differences(stage.export(), expected, "first") == []
    assert expectations.slot_differences(stage.availability, expected) == []

    stage.clock.instant = SECOND_NIGHT
    stage.server.forget()
    stage.night()
    assert expectations.night_differences(stage.export(), expected, "second") == []
    assert len(stage.server.requests()) <= expected["requests"]["secondNightAtMost"]


def test_a_night_that_is_repeated_changes_nothing(stage: Stage) -> None:
    stage.night()
    before = stage.export()
    stage.clock.advance(minutes=10)
    stage.night()
    after = stage.export()

    assert after["appointments"] == before["appointments"]
    again = [log["counts"] for log in after["sync_logs"][len(before["sync_logs"]) :]]
    assert again
    assert all(counts["new"] == counts["updated"] == counts["errors"] == 0 for counts in again)
