"""The benchmarks still run: every measurement at tiny sizes. How long anything takes is never looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# What is counted and not timed holds at every size.
COUNTED = ("overlaps", "errors", "EHR requests", "beside 40 patients", "slow imports")


def test_every_measurement_runs_and_is_written_down(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--results", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = tmp_path.glob("*.json")
    findings = json.loads(results.read_text())["findings"]
    assert all(finding["what"] in done.stdout for finding in findings)
    counted = [finding for finding in findings if any(part in finding["what"] for part in COUNTED)]
    assert {part for part in COUNTED if any(part in finding["what"] for finding in counted)} == set(COUNTED)
    assert [finding["what"] for finding in counted if not finding["held"]] == []
