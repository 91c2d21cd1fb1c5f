"""Clocks and medians. What is compared runs in turns, so that whatever disturbs the machine disturbs both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

type Timed = Callable[[], float]
"""Does something once and returns the milliseconds that count."""


@dataclass(frozen=True, slots=True)
class Series:
    """The milliseconds of one side, in the order in which they were measured."""

    values: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    @property
    def p95(self) -> float:
        """What nineteen of twenty stay below."""
        return quantiles(self.values, n=20, method="inclusive")[-1] if len(self.values) > 1 else self.values[0]


def stopwatch(work: Callable[[], object]) -> float:
    """Return the milliseconds that `work` takes."""
    start = perf_counter()
    work()
    return (perf_counter() - start) * 1000


def in_turns(sides: Mapping[str, Timed], rounds: int, warm_up: int = 3) -> dict[str, Series]:
    """Measure every side once in each round, after some rounds that do not count."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm_up + rounds):
        for name, side in sides.items():
            milliseconds = side()
            if turn >= warm_up:
                measured[name].append(milliseconds)
    return {name: Series(values) for name, values in measured.items()}
