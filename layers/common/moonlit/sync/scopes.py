"""Which account and which instants a piece of work is about."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from moonlit.sync.run import Account, Practice, Run
from moonlit.sync.runs import Runs
from moonlit.sync.schedule import Scope
from moonlit.sync.window import Window


def scope_of(runs: Runs, run: Run) -> Scope:
    """Return the account of `run` and the days that it is about."""
    return _scope(runs.practice(), runs.account(account_id=run.account_id), run.window)


def scope_today(connection: sa.Connection, system: str, now: datetime) -> Scope:
    """Return the account of `system` and the days that a sync looks at now.

    Raises:
        NotFound: There is no such account.
    """
    runs = Runs(connection)
    practice = runs.practice()
    return _scope(practice, runs.account(system=system), practice.window(now))


def scope_days(connection: sa.Connection, system: str, days: Window) -> Scope:
    """Return the account of `system` and the days asked for.

    Raises:
        NotFound: There is no such account.
    """
    runs = Runs(connection)
    return _scope(runs.practice(), runs.account(system=system), days)


def _scope(practice: Practice, account: Account, window: Window) -> Scope:
    first, last = window.instants(practice.zone)
    return Scope(account.id, account.system, first, last)
