"""Puts the parts together for a process: the database, the clock, the EHR accounts. Each is made on first use."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.clock import Clock, system_clock
from moonlit.db.engine import Begin, beginner, connect
from moonlit.db.tables import ehr_accounts, practice_settings
from moonlit.deadline import Deadline
from moonlit.settings import (
    IntakeqSettings,
    TokenSettings,
    database_tls,
    database_url,
    intakeq_secret,
    load,
    secret,
)

if TYPE_CHECKING:
    from moonlit.ehr.port import Ehr

deadline = Deadline()


@cache
def clock() -> Clock:
    """Return this process's clock."""
    return system_clock()


@cache
def begin() -> Begin:
    """Return what opens a transaction on this process's one connection."""
    return beginner(connect(database_url(), tls=database_tls()))


@cache
def practice_zone() -> ZoneInfo:
    """Return the practice's zone; it does not change while a process lives."""
    with begin()() as connection:
        return ZoneInfo(connection.execute(sa.select(practice_settings.c.timezone)).scalar_one())


@cache
def ehr_of(account_id: UUID) -> Ehr:
    """Return the EHR account.

    Raises:
        LookupError: There is no adapter for the account's system.
    """
    with begin()() as connection:
        query = sa.select(ehr_accounts.c.system).where(ehr_accounts.c.id == account_id)
        system = connection.execute(query).scalar_one()
    if system != "intakeq":
        raise LookupError(f"no adapter for {system}")
    from moonlit.ehr.budget import DatabaseBudget
    from moonlit.ehr.intakeq import open_account  # httpx is slow to import: only who talks to an EHR pays.

    settings = load(IntakeqSettings)
    return open_account(
        settings.base_url,
        intakeq_secret().api_key,
        budget=DatabaseBudget(begin(), account_id, clock()),
        zone=practice_zone(),
        time_left=deadline.seconds_left,
    )


def token_key() -> str:
    """Return the key that signs manage tokens."""
    return str(secret(load(TokenSettings).secret_id)["key"])
