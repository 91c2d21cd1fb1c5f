"""Puts the parts together for a process: the database, the clock, the EHR accounts. Each is made on first use."""

from __future__ import annotations

from collections.abc import Callable
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
    AthenaSettings,
    EventSettings,
    IntakeqSettings,
    TokenSettings,
    athena_secret,
    database_tls,
    database_url,
    intakeq_secret,
    load,
    secret,
)

if TYPE_CHECKING:
    from moonlit.ehr.port import Budget, Ehr
    from moonlit.events import Publisher

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
    """Return the EHR account, with the budget that everybody shares.

    Raises:
        LookupError: There is no adapter for the account's system.
    """
    from moonlit.ehr.budget import DatabaseBudget

    return ehr_with(account_id, DatabaseBudget(begin(), account_id, clock()))


def ehr_with(account_id: UUID, budget: Budget, time_left: Callable[[], float] = deadline.seconds_left) -> Ehr:
    """Return the EHR account, spending `budget`, and no more time than `time_left` says.

    Raises:
        LookupError: There is no adapter for the account's system.
    """
    with begin()() as connection:
        query = sa.select(ehr_accounts.c.system).where(ehr_accounts.c.id == account_id)
        system = connection.execute(query).scalar_one()
    match system:
        case "intakeq":
            return _intakeq(budget, time_left)
        case "athena":
            return _athena(account_id, budget, time_left)
    raise LookupError(f"no adapter for {system}")


def _intakeq(budget: Budget, time_left: Callable[[], float]) -> Ehr:
    from moonlit.ehr.intakeq import open_account  # httpx is slow to import: only who talks to an EHR pays.

    return open_account(
        load(IntakeqSettings).base_url,
        intakeq_secret().api_key,
        budget=budget,
        zone=practice_zone(),
        time_left=time_left,
    )


def _athena(account_id: UUID, budget: Budget, time_left: Callable[[], float]) -> Ehr:
    from moonlit.ehr.athena import open_account
    from moonlit.ehr.athena_token import SharedToken

    kept = athena_secret()
    return open_account(
        load(AthenaSettings).base_url,
        (kept.client_id, kept.client_secret),
        kept.practice_id,
        budget=budget,
        token=lambda endpoint: SharedToken(begin(), account_id, clock(), endpoint.ask, time_left=time_left),
        clock=clock(),
        zone=practice_zone(),
        time_left=time_left,
    )


@cache
def publisher() -> Publisher:
    """Return where events are published."""
    from moonlit.events import EventBus

    return EventBus(load(EventSettings).bus_name)


def token_key() -> str:
    """Return the key that signs manage tokens."""
    return str(secret(load(TokenSettings).secret_id)["key"])
