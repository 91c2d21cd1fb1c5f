"""The merged list of free slots: a month of fifty providers through the handler, beside the SQL that it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import sqlalchemy as sa

from bench.findings import Finding
from bench.history import FIRST_DAY, LAST_DAY
from bench.instance import Instance, handle, http_event
from bench.practice import PAYER, SERVICE
from bench.sizes import Sizes
from bench.timing import Series, in_turns, stopwatch
from moonlit import wiring
from moonlit.availability import use_cases
from moonlit.availability.slots import merged_slots

if TYPE_CHECKING:  # The functions' processes import this module too, and have no use for the rig.
    from bench.rig import Rig

QUERY = {
    "payerId": str(PAYER),
    "serviceId": str(SERVICE),
    "state": "UT",
    "from": FIRST_DAY.isoformat(),
    "to": LAST_DAY.isoformat(),
}
EVENT = http_event("GET", "/availability", query=QUERY)
ZIPPED_EVENT = http_event("GET", "/availability", query=QUERY, headers={"accept-encoding": "gzip"})

type Statements = list[tuple[str, Any]]
"""SQL as the driver gets it, with its parameters."""


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Measure at the middle size, and whether the smallest and the largest take as long."""
    few, many, most = sizes.stored
    with ExitStack() as running:
        instances = {
            stored: running.enter_context(rig.function("availability", rig.practice(stored))) for stored in sizes.stored
        }
        yield from _beside_its_sql(instances[many], many, sizes.requests)
        sides = {str(stored): partial(instance.call, answered) for stored, instance in instances.items()}
        took = in_turns(sides, sizes.requests)
        for stored in (many, most):
            yield Finding(
                what=f"the same at {stored:,} stored, beside {few:,}",
                n=sizes.requests,
                ours=took[str(stored)].median,
                reference=took[str(few)].median,
                bar=1.3,
            )


def _beside_its_sql(instance: Instance, stored: int, rounds: int) -> Iterator[Finding]:
    plain, zipped, starts = instance.call(sizes_of_answers)
    took = instance.call(compared, rounds)
    ours = took["ours"]
    what = f"merged availability, 50 providers x 30 days, {stored:,} stored"
    note = f"{starts} starts, {plain // 1000} kB"
    yield Finding(what=f"{what}: p95", n=rounds, ours=ours.p95, bar=500.0, note=note)
    yield Finding(
        what="the same, beside its own SQL as integers", n=rounds, ours=ours.median, reference=took["sql"].median,
        bar=2.0, note=f"p95 {ours.p95:.1f} / {took['sql'].p95:.1f}",
    )  # fmt: skip
    yield Finding(
        what="pure slot computation, share of it", n=rounds, ours=took["slots"].median, reference=ours.median, bar=0.25
    )
    yield Finding(
        what="the same answer gzipped, beside plain", n=rounds, ours=took["zipped"].median, reference=ours.median,
        note=f"{zipped // 1000} kB instead of {plain // 1000} kB",
    )  # fmt: skip


def answered() -> float:
    """Return the milliseconds of one answer."""
    return stopwatch(partial(handle, EVENT))


def sizes_of_answers() -> tuple[int, int, int]:
    """Return the bytes of the plain and of the compressed answer, and how many starts they hold."""
    plain, zipped = handle(EVENT), handle(ZIPPED_EVENT)
    if plain["statusCode"] != 200:  # noqa: PLR2004
        raise RuntimeError(f"availability answered {plain['statusCode']}")
    return len(plain["body"]), len(zipped["body"]) * 3 // 4, len(json.loads(plain["body"])["slots"])


def compared(rounds: int) -> dict[str, Series]:
    """Measure the handler, its bare SQL, its slot computation and its compressed answer in turns."""
    with _overheard() as statements:
        handle(EVENT)
    slots = _Accumulated(merged_slots)
    with patch.object(use_cases, "merged_slots", slots):
        return in_turns(
            {
                "ours": answered,
                "slots": slots.read,
                "sql": partial(_bare, statements),
                "zipped": partial(stopwatch, partial(handle, ZIPPED_EVENT)),
                "slots of zipped": slots.read,
            },
            rounds,
        )


class _Accumulated:
    """A function that also adds up the milliseconds that it takes."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self._milliseconds = 0.0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        start = perf_counter()
        result = self._work(*arguments, **named)
        self._milliseconds += (perf_counter() - start) * 1000
        return result

    def read(self) -> float:
        """Return what it took since the last reading."""
        milliseconds, self._milliseconds = self._milliseconds, 0.0
        return milliseconds


@contextmanager
def _overheard() -> Iterator[Statements]:
    """Yield a list that collects every statement that is sent meanwhile."""
    heard: Statements = []

    def hear(*sent: Any) -> None:
        _, _, statement, parameters, _, _ = sent
        heard.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)


def _bare(statements: Statements) -> float:
    """Return the milliseconds of the statements alone, their texts read into objects and integers."""
    with wiring.begin()() as connection:
        cursor = connection.connection.cursor()
        return stopwatch(lambda: [_read(cursor.execute(*sent).fetchall()) for sent in statements])


def _read(rows: Any) -> list[Any]:
    return [_parsed(value) for row in rows for value in row if isinstance(value, str)]


def _parsed(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else list(map(int, text.split()))
