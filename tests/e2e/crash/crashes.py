"""Let many requests die, sweep, ask again, and look what stands where: the same for named points and random moments."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from urllib.parse import urlencode

from tests.e2e.crash.flows import CLAIMS, Flow
from tests.e2e.crash.office import UNDECIDED, Office
from tests.e2e.crash.practice import SYSTEMS, Provider, Slot, days, providers, starts
from tests.e2e.crash.snapshot import STANDING, Snapshot
from tests.e2e.site import call
from tests.fixtures_booking import PAYER, SERVICE_ID
from tests.fixtures_intakeq import DENVER

LANES = 4
SOON = timedelta(seconds=3)


@dataclass
class Crash:
    """A request that is to die at a point, or after so many seconds.

    Attributes:
        parcel: Where a call is left that is to arrive late.
    """

    flow: Flow
    at: str
    parcel: Path = Path(os.devnull)
    status: int = 0
    outcomes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.flow.system} {self.flow.name}/{self.at}"

    def send(self) -> None:
        self.status = self.flow.send({"x-crash-at": self.at, "x-crash-record": str(self.parcel)}).status

    def arrive_late(self) -> int:
        """Send the call that was left behind, and return what the EHR answers."""
        left = json.loads(self.parcel.read_text())
        return call(left["method"], left["url"], raw=left["body"].encode(), headers=left["headers"]).status


@dataclass(frozen=True)
class Recording:
    """An undisturbed request: the points that it passed, and how long it took in a fresh process."""

    points: Sequence[str]
    seconds: float

    @property
    def calls(self) -> list[str]:
        """What was asked of the EHR, in order."""
        after = (point.partition(" after ")[2] for point in self.points)
        return [what for what in after if what not in ("", "commit")]


def record(office: Office, kind: type[Flow], system: str, folder: Path) -> Recording:
    """Let a flow run undisturbed, and return what its points are."""
    flow = kind(office, system)
    flow.prepare()
    office.retire_workers()
    file, began = folder / f"{system}-{flow.number}.txt", monotonic()
    answer = flow.send({"x-crash-at": "record", "x-crash-record": str(file)})
    assert answer.status in (200, 201, 204), answer
    return Recording(file.read_text().splitlines(), monotonic() - began)


def crash(
    office: Office, crashes: Sequence[Crash], *, lanes: int = LANES, when_decided: Callable[[], object] | None = None
) -> None:
    """Let them all die, sweep, compare, ask again, sweep and compare once more.

    Args:
        office: Where.
        crashes: Which.
        lanes: How many requests are under way at once.
        when_decided: What happens as soon as the sweeper has decided about all, and only watches some.
    """
    office.fresh_token()
    in_lanes(lambda each: each.flow.prepare(), crashes)
    office.retire_workers()
    in_lanes(Crash.send, crashes, lanes)
    death = office.snapshot()
    if when_decided:
        office.settle(UNDECIDED, SOON)
        when_decided()
    office.settle()
    compare(crashes, office.snapshot(), [each.flow.expected(death) for each in crashes])
    promised = in_lanes(lambda each: each.flow.repeat(each.outcomes[-1]), crashes)
    office.settle()
    compare(crashes, office.snapshot(), promised)
    assert_whole(office)


def compare(crashes: Sequence[Crash], seen: Snapshot, expected: Sequence[str]) -> None:
    """Note what became of each, and see whether that is what had to."""
    for each in crashes:
        each.outcomes.append(each.flow.outcome(seen))
    wrong = {
        each.name: (each.outcomes[-1], wanted)
        for each, wanted in zip(crashes, expected, strict=True)
        if each.outcomes[-1] != wanted
    }
    assert wrong == {}, wrong


def assert_whole(office: Office) -> None:
    """See that nothing is open, that both sides have the same visits, and that exactly the rest is free."""
    seen = office.snapshot()
    left = {
        "writes": office.rows("select * from ehr_writes where state not in ('confirmed', 'failed')"),
        "holds": office.rows("select * from appointment_holds"),
        "freezes": office.rows("select * from ehr_freezes"),
        "frozen": seen.frozen,
    }
    assert not any(left.values()), left
    here = {(name, visit.slot, visit.external_id) for name, visit in every(seen.here) if visit.status in STANDING}
    there = {(name, visit.slot, visit.external_id) for name, visit in every(seen.there)}
    assert here == there, here ^ there
    taken = {slot for _, slot, _ in here}
    claims = office.rows("select count(*) n from time_claims")[0]["n"]
    assert claims == CLAIMS * len(taken) == CLAIMS * len(here), (claims, len(taken), len(here))
    wanted = all_slots() - taken
    assert free(office) == wanted, free(office) ^ wanted
    open_there = {slot for slot in wanted if slot.provider.system == "athena"}
    assert seen.open == open_there, seen.open ^ open_there


def free(office: Office) -> set[Slot]:
    """Return every slot that the widget is offered."""
    query = {"payerId": PAYER, "serviceId": SERVICE_ID, "state": "UT", "tz": "UTC", "from": days()[0], "to": days()[-1]}
    answer = office.ask("GET", f"/availability?{urlencode(query)}")
    assert answer.status == 200, answer
    known = {str(each.id): each for each in everyone()}
    return {
        Slot(known[provider], datetime.fromisoformat(slot["start"]).astimezone(DENVER))
        for slot in answer.body["slots"]
        for provider in slot["providerIds"]
    }


def all_slots() -> set[Slot]:
    return {Slot(provider, start) for provider in everyone() for start in starts()}


def everyone() -> list[Provider]:
    return [each for system in SYSTEMS for each in providers(system)]


def every[Value](by_name: Mapping[str, Iterable[Value]]) -> Iterator[tuple[str, Value]]:
    return ((name, each) for name, some in by_name.items() for each in some)


def in_lanes[Item, Result](work: Callable[[Item], Result], items: Iterable[Item], lanes: int = LANES) -> list[Result]:
    """Do the work on all items, several at a time; return the results in their order."""
    with ThreadPoolExecutor(lanes) as pool:
        return list(pool.map(work, items))
