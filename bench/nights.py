"""Applying a night: ten thousand rows through the real use cases, beside a bare upsert of the same mirror rows.

The EHR answers from memory here, so that no request counts; what is asked of it is counted in requests.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from itertools import batched
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import sqlalchemy as sa

from bench.bare_upsert import bare_upsert
from bench.findings import Finding
from bench.history import tidy
from bench.instance import Instance
from bench.memory_ehr import MemoryEhr, NoBudget
from bench.practice import NOW, visit
from bench.sizes import Sizes
from bench.timing import Series, stopwatch
from moonlit.clock import FixedClock
from moonlit.db.engine import beginner, connect
from moonlit.ehr.intakeq_rows import visit_of
from moonlit.ehr.port import Ehr, EhrVisit
from moonlit.sync.fan_out import FanOut
from moonlit.sync.organizations import Organizations
from moonlit.sync.pull import Meter, Puller, open_run

if TYPE_CHECKING:  # The functions' processes import this module too, and have no use for the rig.
    from bench.rig import Rig
    from local.database import Database

_DAY = timedelta(days=1)
_MESSAGES = 10  # So many the queue hands over at once, see `BatchSize` in template.yaml.
ORGANIZATIONS = 200
_ADD_ORGANIZATIONS = f"""
insert into organizations (id, name)
select md5('organization' || n)::uuid, 'Harbor ' || n from generate_series(0, {ORGANIZATIONS - 1}) n
"""
# Each has four of a thousand patients; the last fifth belongs to none.
_ADD_AFFILIATIONS = f"""
insert into patient_organization_affiliations (id, patient_id, organization_id, status, roi_consent)
select gen_random_uuid(), id, md5('organization' || mod(n, 250))::uuid, 'active', 'active'
from (select id, row_number() over (order by id) as n from patients) p where mod(n, 250) < {ORGANIZATIONS}
"""

type Steps = Mapping[str, float]
"""Milliseconds of a night's parts."""


@dataclass(frozen=True, slots=True)
class Night:
    """What the EHR shows in a night: visits 1 to `rows`, every `stride`-th of which has moved since the last night."""

    number: int
    rows: int
    stride: int = 0

    def is_moved(self, number: int) -> bool:
        """Return whether the visit has moved."""
        return self.stride > 0 and number % self.stride == 0

    def row(self, number: int) -> dict[str, Any]:
        """Return the EHR's row of a visit."""
        start = NOW + timedelta(days=number % 85, hours=2 + number % 8)
        if self.is_moved(number):
            return visit(number, start + timedelta(hours=1), client=number, modified_at=NOW + _DAY / 2)
        return visit(number, start, client=number)


@dataclass(slots=True)
class _Queue:
    """Keeps what was sent."""

    messages: list[Mapping[str, Any]] = field(default_factory=list)

    def send(self, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:  # noqa: ARG002
        self.messages += messages


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Measure a night in which everything is new, one in which all has changed, and an ordinary one."""
    rows = sizes.patients[1]
    first, all_changed, ordinary = Night(0, rows), Night(1, rows, stride=1), Night(1, rows, stride=100)
    before = rig.copy(rig.practice(0, rows))
    add_organizations(rig, before)
    with rig.function("sync_org", before) as instance:
        after = rig.copy(before)
        instance.call(run_night, after.owner_url, first)  # It warms up, too.
        tidy(after.owner_url)
        scenarios = {
            "all new": (before, first), "all changed": (after, all_changed), "1 % changed": (after, ordinary)
        }  # fmt: skip
        for name, (like, night) in scenarios.items():
            took = _repeated(rig, instance, like, night, sizes.nights)
            yield from _told(rows, name, took, sizes.nights)


def _repeated(rig: Rig, instance: Instance, like: Database, night: Night, rounds: int) -> dict[str, Series]:
    """Run the bare upsert and the night in turns, each on a fresh copy."""
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        took["bare"].append(instance.call(run_bare, rig.copy(like).owner_url, night))
        for step, milliseconds in instance.call(run_night, rig.copy(like).owner_url, night).items():
            took[step].append(milliseconds)
    return {step: Series(values) for step, values in took.items()}


def _told(rows: int, name: str, took: Mapping[str, Series], rounds: int) -> Iterator[Finding]:
    applied, bare = took["applied"].median, took["bare"].median
    yield Finding(
        what=f"applying a night of {rows:,} rows, {name}, beside the upsert", n=rounds, ours=applied, reference=bare,
        bar=3.0,
        note=f"{ORGANIZATIONS} organizations in {applied / 1000:.1f} s, {rows / applied * 1000:,.0f} rows a second;"
        f" matching and fan-out take {took['matched'].median:.0f} ms before it",
    )  # fmt: skip
    yield Finding(
        what="mirroring it page by page, beside the upsert", n=rounds, ours=took["pulled"].median, reference=bare
    )


def run_bare(url: str, night: Night) -> float:
    """Return the milliseconds of one upsert of every row of the night."""
    engine = connect(url)
    try:
        with engine.begin() as connection:
            return stopwatch(partial(bare_upsert, connection, visits_of(night)))
    finally:
        engine.dispose()


def run_night(url: str, night: Night) -> Steps:
    """Run a whole night and return how long each part takes."""
    engine = connect(url)
    begin, clock, queue = beginner(engine), FixedClock(NOW + night.number * _DAY), _Queue()
    visits = visits_of(night)
    moved = [each for number, each in enumerate(visits, 1) if night.is_moved(number)]
    ehr = cast(Ehr, MemoryEhr(() if night.number else visits, moved))
    puller = Puller(begin, clock, ehr, Meter(NoBudget()), _plenty)
    fan_out, organizations = FanOut(begin, clock, queue), Organizations(begin, clock, _plenty)
    run, _ = open_run(begin, clock, "intakeq", "automated_daily")

    def apply() -> None:
        for messages in batched(queue.messages, _MESSAGES, strict=False):
            organizations.bring_all_up_to_date([UUID(message["syncLogId"]) for message in messages])

    try:
        pulled = stopwatch(partial(puller.pull, run.id))
        tidy(url)  # At ten requests a minute a pull takes so long that autovacuum has looked at its rows.
        matched = stopwatch(partial(fan_out.complete, run.id))
        return {"pulled": pulled, "matched": matched, "applied": stopwatch(apply)}
    finally:
        engine.dispose()


@cache
def visits_of(night: Night) -> Sequence[EhrVisit]:
    """Return every visit as it is in that night."""
    return [visit_of(night.row(number)) for number in range(1, night.rows + 1)]


def _plenty() -> float:
    return 900.0


def add_organizations(rig: Rig, database: Database) -> None:
    """Give four fifths of the patients to partner organizations."""
    with rig.owner(database) as engine, engine.begin() as connection:
        connection.execute(sa.text(_ADD_ORGANIZATIONS))
        connection.execute(sa.text(_ADD_AFFILIATIONS))
