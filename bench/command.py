"""Measure, print a table, keep it as JSON: `python -m bench [--quick] [name ...]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from bench import (
    availability,
    booking,
    cold_start,
    contention,
    footprint,
    freshness,
    nights,
    provisioning,
    requests,
    webhook,
)
from bench.findings import Finding, table, write
from bench.rig import Rig
from bench.sizes import QUICK, Sizes

RESULTS = Path(__file__).parent / "results"
MEASUREMENTS: dict[str, Callable[[Rig, Sizes], Iterable[Finding]]] = {
    "availability": availability.measure,
    "booking": booking.measure,
    "contention": contention.measure,
    "requests": requests.measure,
    "nights": nights.measure,
    "provisioning": provisioning.measure,
    "webhook": webhook.measure,
    "freshness": freshness.measure,
    "cold-start": cold_start.measure,
    "memory": footprint.measure,
}


def main() -> None:
    """Measure what was asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(MEASUREMENTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything still runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder for the JSON file")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - MEASUREMENTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    findings: list[Finding] = []
    start = perf_counter()
    with Rig() as rig:
        for name in chosen.names or MEASUREMENTS:
            begun = perf_counter()
            findings += MEASUREMENTS[name](rig, QUICK if chosen.quick else Sizes())
            print(f"{name}: measured in {perf_counter() - begun:.0f} s", flush=True)
    file = write(findings, chosen.results, datetime.now(UTC), perf_counter() - start)
    print(f"\n{table(findings)}\n\n{file}")
