"""SIGKILL to the process that books: before and after each commit and each call of an EHR, and at random moments.

Each time the sweeper has to bring both sides to the same end, and the client who asks again has to hear the truth.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from local.options import Options
from local.stack import Stack
from local.state import State
from moonlit.booking.recognition import LANDING
from tests.e2e.crash import practice
from tests.e2e.crash.crashes import Crash, Recording, crash, record
from tests.e2e.crash.flows import (
    Booking,
    Cancelling,
    Drop,
    FirstBooking,
    Flow,
    HeldBooking,
    Hold,
    Moving,
    Rescheduling,
    Transferring,
)
from tests.e2e.crash.forking import forking
from tests.e2e.crash.office import Office
from tests.e2e.site import Site
from tests.fixtures_intakeq import NOON

pytestmark = [
    pytest.mark.stack,
    pytest.mark.xdist_group("crash"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),
]

MOMENTS = 200
LONGER = 3.0  # Than a request takes alone: several are under way, and some have to be answered before the end.

_NEW_CLIENT, _BOOK = ("GET /clients", "POST /clients"), ("GET /appointments/settings", "POST /appointments")
_DEPARTMENTS = "GET /departments"
_NEW_PATIENT = ("GET /patients/enhancedbestmatch", _DEPARTMENTS, "POST /patients")
_SLOT, _FREEZE = "PUT /appointments/{id}", "PUT /appointments/{id}/freeze"

# How many points each flow has at least, and what it asks of the EHR: nobody shortens the list without noticing.
LEAST: Mapping[tuple[str, type[Flow]], tuple[int, Sequence[str]]] = {
    ("intakeq", Hold): (4, ()),
    ("intakeq", Drop): (2, ()),
    ("intakeq", Booking): (32, (*_NEW_CLIENT, *_BOOK)),
    ("intakeq", HeldBooking): (32, (*_NEW_CLIENT, *_BOOK)),
    ("intakeq", Cancelling): (16, ("POST /appointments/cancellation",)),
    ("intakeq", Rescheduling): (18, ("PUT /appointments",)),
    ("intakeq", Moving): (22, _BOOK),
    ("intakeq", Transferring): (36, (*_NEW_PATIENT, _SLOT)),
    ("athena", Hold): (12, (_FREEZE,)),
    ("athena", Drop): (14, (_FREEZE,)),
    ("athena", Booking): (36, (*_NEW_PATIENT, _SLOT)),
    ("athena", HeldBooking): (42, (*_NEW_PATIENT, _FREEZE, _SLOT)),
    ("athena", Cancelling): (18, (f"{_SLOT}/cancel",)),
    ("athena", Rescheduling): (30, (_DEPARTMENTS, f"{_SLOT}/reschedule", "GET /appointments/{id}")),
    ("athena", Moving): (26, (_DEPARTMENTS, _SLOT)),
}

type Recordings = Mapping[tuple[str, type[Flow]], Recording]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """Yield the practice, one night behind it."""
    options = Options(
        state=State(tmp_path_factory.mktemp("crashes")),
        clinic=practice.clinic(),
        intakeq_account=practice.intakeq_account(),
        athena_account=practice.athena_account(),
        now=NOON,
        port=0,
    )
    async with forking("book"), Stack(options) as stack:
        site = Site(stack.description)
        await asyncio.to_thread(site.night)
        office = Office(site)
        yield office
        office.engine.dispose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recordings(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Return what the points of each flow are."""

    def run() -> Recordings:
        folder: Path = tmp_path_factory.mktemp("recordings")
        office.fresh_token()
        return {(system, kind): record(office, kind, system, folder) for system, kind in LEAST}

    return await asyncio.to_thread(run)


async def test_a_process_killed_at_any_point_leaves_one_truth(office: Office, recordings: Recordings) -> None:
    for (system, kind), (least, calls) in LEAST.items():
        found = recordings[system, kind]
        assert (len(found.points) >= least, found.calls) == (True, list(calls)), (system, kind.name, found.points)
    crashes = [Crash(kind(office, system), at) for (system, kind), found in recordings.items() for at in found.points]
    await asyncio.to_thread(crash, office, crashes)
    tell(crashes)
    assert {each.status for each in crashes} == {500}  # All of them died.


async def test_a_process_killed_while_it_fetches_the_token_leaves_one_truth(office: Office, tmp_path: Path) -> None:
    recording = await asyncio.to_thread(record, office, FirstBooking, "athena", tmp_path)
    fetched = recording.points.index("1 after POST /oauth2/v1/token")
    crashes = [Crash(FirstBooking(office, "athena"), at) for at in recording.points[: fetched + 3]]
    await asyncio.to_thread(crash, office, crashes, lanes=1)
    tell(crashes)
    assert {each.status for each in crashes} == {500}


async def test_a_call_that_outlives_its_process_and_arrives_when_nobody_expects_it_leaves_one_truth(
    office: Office, recordings: Recordings, tmp_path: Path
) -> None:
    late = [
        (system, kind, f"{number} late {what}")
        for (system, kind), recording in recordings.items()
        for number, what in enumerate(recording.calls, 1)
        if not what.startswith("GET ")
    ]
    crashes = [Crash(kind(office, system), at, tmp_path / f"{n}.json") for n, (system, kind, at) in enumerate(late)]

    def arrive() -> None:
        sent = [row["sent_at"] for row in office.rows("select sent_at from ehr_writes where state = 'watching'")]
        assert office.now() - min(sent, default=office.now()) < LANDING, "too late to be known again"
        answers = [each.arrive_late() for each in crashes]
        assert max(answers) < 500, answers

    await asyncio.to_thread(crash, office, crashes, when_decided=arrive)
    tell(crashes)
    assert {each.status for each in crashes} == {500}


async def test_a_process_killed_at_any_moment_leaves_one_truth(office: Office, recordings: Recordings) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1_000_000))
    sys.stdout.write(f"CRASH_SEED={seed}\n")
    draw, flows = random.Random(seed), list(recordings.items())  # noqa: S311  # To be repeatable is its use.
    crashes = []
    for _ in range(MOMENTS):
        (system, kind), recording = draw.choice(flows)
        crashes.append(Crash(kind(office, system), f"{draw.uniform(0, LONGER * recording.seconds):.4f}"))
    await asyncio.to_thread(crash, office, crashes)
    tell(crashes)
    killed = sum(each.status == 500 for each in crashes)
    assert MOMENTS // 2 < killed < MOMENTS  # Some were answered before: so the last moments were tried too.


def tell(crashes: Sequence[Crash]) -> None:
    """Print what became of each: after the sweeps, and after the client had asked again."""
    for each in crashes:
        sys.stdout.write(f"{each.name}: {' -> '.join(each.outcomes)}\n")
