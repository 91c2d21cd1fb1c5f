"""`make demo` as a person meets it: the whole story holds, and a broken part is told, not thrown."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHOICES = ("NOW", "CLINIC", "INTAKEQ_ACCOUNT", "INTAKEQ_BASE_URL")
pytestmark = pytest.mark.stack


def demo(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | dict.fromkeys(CHOICES, "") | settings
    return subprocess.run(
        ["make", "--silent", "demo"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def verdicts(report: str) -> dict[str, str]:
    """Return the first word of each step's verdict by the step's title."""
    steps = re.split(r"^ [ \d]\d   ", report, flags=re.MULTILINE)[1:]
    return {
        step.splitlines()[0]: verdict.group(1)
        for step in steps
        if (verdict := re.search(r"^ {6}(ok|FAILED|NOT TRIED)", step, flags=re.MULTILINE))
    }


def test_every_step_of_the_built_in_clinic_holds() -> None:
    told = demo()
    assert told.returncode == 0, told.stdout + told.stderr
    assert set(verdicts(told.stdout).values()) == {"ok"}
    for line in (
        "2 of 31 payers are service-ready",
        "same start, end and status",
        "1 x 201, 11 x 409 slot-taken",
        "202 pending",
        "GET /appointments?updatedSince=",
        "with both at hand",
        "payers are service-ready now, 2 were",
        "POST /admin/payers, and nothing else",
        "15 of 15 steps held",
    ):
        assert line in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 100
    assert "Guest" not in told.stdout  # The invented patients' names; ids and times are enough.
    assert "\033" not in told.stdout


def test_a_dead_ehr_is_told_step_by_step_and_the_rest_goes_on() -> None:
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # Bound and not listening: connections are refused, and nobody else gets the port.
        told = demo(INTAKEQ_BASE_URL=f"http://127.0.0.1:{dead.getsockname()[1]}/api/v1")
    assert told.returncode != 0
    assert verdicts(told.stdout) == {
        "Start everything": "ok",
        "Load the clinic as it was found": "ok",
        "Which payers are taken": "ok",
        "The first night": "FAILED",
        "Make payers bookable": "ok",
        "Find slots": "FAILED",
        "A new payer": "NOT TRIED",
        "Book, and look into the EHR": "NOT TRIED",
        "Lose a race on purpose": "NOT TRIED",
        "The EHR fails on purpose": "NOT TRIED",
        "Changes in the EHR, the second night": "FAILED",
        "A webhook": "NOT TRIED",
        "What a partner organization sees": "ok",
        "A refresh on demand": "FAILED",
        "What is left open": "ok",
    }
    assert "seen      ConnectionRefusedError" in told.stdout
    assert "Traceback" not in told.stdout + told.stderr
    kept = Path(told.stdout.rsplit(" is in ", 1)[1].strip())
    assert list((kept / "logs").iterdir())
    shutil.rmtree(kept)
