"""Workers of the sync in processes of their own, which die at a commit or at any moment."""

from __future__ import annotations

import os
from datetime import datetime
from multiprocessing.context import ForkServerContext, ForkServerProcess
from uuid import UUID

from moonlit.clock import FixedClock
from moonlit.sync.organizations import Organizations
from tests import dying

DONE, LEFT = 0, 3
BATCH_PATIENTS = 3


def work(url: str, log_id: UUID, now: datetime, dies_at: str | None) -> None:
    """Do what a message asks for; `dies_at` is such as `2 after commit`, counted from 1."""
    begin = dying.begin_until(url, dies_at)
    done = Organizations(begin, FixedClock(now), lambda: 900.0, BATCH_PATIENTS).bring_up_to_date(log_id)
    os._exit(DONE if done else LEFT)


def warm() -> ForkServerContext:
    """Return what starts workers within milliseconds."""
    return dying.warm(__name__)


def start(
    context: ForkServerContext, url: str, log_id: UUID, now: datetime, dies_at: str | None = None
) -> ForkServerProcess:
    process = context.Process(target=work, args=(url, log_id, now, dies_at))
    process.start()
    return process
