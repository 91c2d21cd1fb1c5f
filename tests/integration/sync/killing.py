"""Workers of the sync in processes of their own, which die at a commit or at any moment."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from uuid import UUID

import pytest
import sqlalchemy as sa

from moonlit.clock import FixedClock
from moonlit.db.engine import beginner, connect, transaction
from moonlit.sync.organizations import Organizations

DONE, LEFT = 0, 3
BATCH_PATIENTS = 3


def work(url: str, log_id: UUID, now: datetime, dies_at: str | None) -> None:
    """Do what a message asks for; `dies_at` is such as `2 after commit`, counted from 1."""
    begin = beginner(engine := connect(url))
    if dies_at is not None:
        begin = lambda: _deadly(engine, dies_at)  # noqa: E731
    done = Organizations(begin, FixedClock(now), lambda: 900.0, BATCH_PATIENTS).bring_up_to_date(log_id)
    os._exit(DONE if done else LEFT)


_commits = 0


@contextmanager
def _deadly(engine: sa.Engine, dies_at: str) -> Iterator[sa.Connection]:
    """Open a transaction, and die right before or after its commit when its turn has come."""
    global _commits  # noqa: PLW0603  # One process does one message.
    with transaction(engine) as connection:
        yield connection
        _commits += 1
        if dies_at == f"{_commits} before commit":
            os.kill(os.getpid(), signal.SIGKILL)
    if dies_at == f"{_commits} after commit":
        os.kill(os.getpid(), signal.SIGKILL)


def warm() -> ForkServerContext:
    """Return what starts workers within milliseconds: they are forked from a process that has everything imported.

    It is given this process's path by hand: the one that Python 3.13 passes on comes after the imports.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context


def start(
    context: ForkServerContext, url: str, log_id: UUID, now: datetime, dies_at: str | None = None
) -> ForkServerProcess:
    process = context.Process(target=work, args=(url, log_id, now, dies_at))
    process.start()
    return process
