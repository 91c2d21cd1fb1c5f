"""A backfill in a process of its own, which dies at a commit."""

from __future__ import annotations

import os
from datetime import datetime

from moonlit.audit.store import Actor
from moonlit.clock import FixedClock
from moonlit.provisioning import use_cases
from moonlit.provisioning.request import RunRequest
from moonlit.provisioning.use_cases import Provisioner
from tests import dying
from tests.integration.provisioning.clinics import ZONE

DONE, SIGKILLED = 0, -9
BATCH_PAYERS = 8


def apply(url: str, now: datetime, dies_at: str | None) -> None:
    """Make payers bookable, a few at a time; `dies_at` is such as `2 after commit`, counted from 1."""
    use_cases.BATCH_PAYERS = BATCH_PAYERS
    provisioner = Provisioner(dying.begin_until(url, dies_at), FixedClock(now), ZONE, lambda: 900.0)
    provisioner.run(RunRequest(mode="apply"), Actor("system"))
    os._exit(DONE)
