"""What a measurement found, as a line of the table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

_HEAD = ("what", "n", "ours", "reference", "ratio", "bar", "held?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table.

    Attributes:
        what: What was done, and beside what.
        n: How often.
        reference: The figure that `ours` is divided by, in the same unit; None where there is nothing to compare.
        bar: What the ratio, or without a reference `ours`, must not exceed; None for what is only told.
    """

    what: str
    n: int
    ours: float
    unit: str = "ms"
    reference: float | None = None
    bar: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How much of the reference ours is."""
        return self.ours / self.reference if self.reference else None

    @property
    def held(self) -> bool | None:
        """Whether the bar is held; None without one."""
        measured = self.ours if self.reference is None else self.ratio
        return None if self.bar is None or measured is None else measured <= self.bar

    def cells(self) -> tuple[str, ...]:
        """Return the line's texts, as wide as they are."""
        held = {None: "", True: "yes", False: "NO"}[self.held]
        return (
            self.what,
            f"{self.n}",
            f"{_number(self.ours)} {self.unit}",
            "" if self.reference is None else f"{_number(self.reference)} {self.unit}",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.bar is None else f"{self.bar:g}",
            f"{held}  {self.note}".rstrip(),
        )


def table(findings: Sequence[Finding]) -> str:
    """Return the findings as text with aligned columns."""
    lines = [_HEAD, *(finding.cells() for finding in findings)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def write(findings: Sequence[Finding], folder: Path, now: datetime, seconds: float) -> Path:
    """Write the findings with what they were measured on, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    rows = [{**asdict(finding), "ratio": finding.ratio, "held": finding.held} for finding in findings]
    file = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {"at": now.isoformat(), "seconds": round(seconds, 1), "on": machine, "findings": rows}
    file.write_text(json.dumps(document, indent=2) + "\n")
    return file


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"  # noqa: PLR2004
