"""Workers in processes of their own, which die at a commit or at any moment."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

import pytest
import sqlalchemy as sa

from moonlit.db.engine import Begin, beginner, connect, transaction

_commits = 0


def begin_until(url: str, dies_at: str | None) -> Begin:
    """Return what opens transactions, until the process dies; `dies_at` is such as `2 after commit`, counted from 1."""
    engine = connect(url)
    return beginner(engine) if dies_at is None else lambda: _deadly(engine, dies_at)


@contextmanager
def _deadly(engine: sa.Engine, dies_at: str) -> Iterator[sa.Connection]:
    """Open a transaction, and die right before or after its commit when its turn has come."""
    global _commits  # noqa: PLW0603  # One process does one thing.
    with transaction(engine) as connection:
        yield connection
        _commits += 1
        if dies_at == f"{_commits} before commit":
            os.kill(os.getpid(), signal.SIGKILL)
    if dies_at == f"{_commits} after commit":
        os.kill(os.getpid(), signal.SIGKILL)


def warm(module: str) -> ForkServerContext:
    """Return what starts workers within milliseconds: they are forked from a process that has `module` imported.

    It is given this process's path by hand: the one that Python 3.13 passes on comes after the imports.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([module])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context
