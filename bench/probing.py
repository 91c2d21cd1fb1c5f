"""Starts probe.py the way Lambda starts a function: without this environment's own packages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from local.processes import ROOT

_PROBE = Path(__file__).with_name("probe.py")


@dataclass(frozen=True, slots=True)
class Probe:
    """What a fresh process found.

    Attributes:
        milliseconds: Processor time of the imports alone, without Python's own start: others do not disturb it.
        loaded: The modules that they brought, in order, with their files; None for those without one.
        megabytes: The peak of resident memory.
        answer: The handler's, for a call.
    """

    milliseconds: float
    loaded: Mapping[str, str | None]
    megabytes: float
    answer: Any


def probe(
    mode: Literal["app", "modules", "call"], folder: str, environment: Mapping[str, str], given: Any = None
) -> Probe:
    """Run the probe for functions/`folder`, with an event to call it with or the modules to import."""
    done = subprocess.run(
        [sys.executable, "-S", "-P", _PROBE, mode],
        input=json.dumps(given),
        env=dict(environment),
        cwd=ROOT / "functions" / folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{folder}: {done.stderr[-2000:]}")
    return Probe(**json.loads(done.stdout.splitlines()[-1]))  # What comes before is the function's log.
