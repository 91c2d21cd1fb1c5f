"""Read the open slots of the EHRs that have such: every few minutes by the sweeper, and in the night after the pull."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from moonlit.availability.open_slots import OpenSlots
from moonlit.availability.settings import PracticeRules, SlotRules
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.tables import ehr_accounts
from moonlit.ehr.port import TRAITS, BudgetExhausted, Ehr, EhrError, Lane, OpenSlot
from moonlit.observability import logger
from moonlit.sync.pull import failure_code
from moonlit.sync.run import Practice
from moonlit.sync.runs import Runs
from moonlit.sync.systems import SEATS, SYSTEM

SECONDS_KEPT = 30.0  # A reading takes a few requests; with less time left the next sweep does it.

_WANTED = sa.text(f"""
    select json_build_object(
        'seats', (
            select coalesce(json_agg(distinct jsonb_build_array(s.practitioner_id, s.location_id)), '[]')
            from {SEATS} s join providers p on p.id = s.provider_id
            where s.system = {SYSTEM} and s.location_id is not null and p.active),
        'services', (
            select coalesce(json_agg(distinct n.external_id), '[]')
            from service_instance_integrations n join service_instances i on i.id = n.service_instance_id
            where n.system = {SYSTEM} and i.retired_at is null)
    )::text
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose open slots are read, for which of the vendor's services, on which of the practice's days."""

    seats: Sequence[tuple[str, str]]
    service_ids: Sequence[str]
    first: date
    last: date


def refresh(
    begin: Begin,
    clock: Clock,
    ehr: Ehr,
    account_id: UUID,
    time_left: Callable[[], float],
    *,
    lane: Lane = Lane.NIGHTLY,
) -> bool:
    """Read all open slots of an account anew; those known stay when the EHR fails or time or budget are short.

    Args:
        begin: Opens a transaction; none is open while the EHR is asked.
        clock: Tells the time.
        ehr: The account.
        account_id: Its id here.
        time_left: The seconds until this process is stopped.
        lane: Whose requests these are.

    Returns:
        Whether they were read.
    """
    if time_left() < SECONDS_KEPT:
        return False
    read_at = clock.now()  # Before anything is looked up: what happens from now on may be missing from the reading.
    with begin() as connection:
        wanted, last_read = _wanted(connection, account_id, read_at), OpenSlots(connection).last_read(account_id)
    try:
        slots = _read(ehr, wanted, lane)
    except EhrError as error:
        code = "budget_exhausted" if isinstance(error, BudgetExhausted) else failure_code(error)
        logger.warning("open_slots_not_read", account_id=str(account_id), code=code)
        return False
    with begin() as connection:
        return OpenSlots(connection).replace(account_id, slots, read_at, last_read=last_read)


def refresh_due(
    begin: Begin, clock: Clock, ehr_of: Callable[[UUID], Ehr], time_left: Callable[[], float]
) -> dict[str, int]:
    """Refresh every account whose slots are older than the practice allows, and return how many were read, if any.

    One account's trouble does not stop the next one.
    """
    read = 0
    with begin() as connection:
        due = _due(connection, clock.now())
    for account_id in due:
        try:
            read += refresh(begin, clock, ehr_of(account_id), account_id, time_left)
        except Exception as error:  # noqa: BLE001  # The sweeper has done its other work, and comes again in a minute.
            logger.error("open_slots_failed", account_id=str(account_id), error=type(error).__name__)
    return {"slots_read": read} if read else {}


def _read(ehr: Ehr, wanted: Wanted, lane: Lane) -> Sequence[OpenSlot]:
    if not (wanted.seats and wanted.service_ids):
        return ()  # Nobody could be booked into any slot.
    return ehr.open_slots(wanted.seats, wanted.service_ids, wanted.first, wanted.last, lane)


def _wanted(connection: sa.Connection, account_id: UUID, now: datetime) -> Wanted:
    found = json.loads(connection.execute(_WANTED, {"account_id": account_id}).scalar_one())
    practice = Runs(connection).practice()
    today = now.astimezone(practice.zone).date()
    ahead = timedelta(days=PracticeRules.model_validate(practice.settings).horizon_days)
    seats = [(practitioner, location) for practitioner, location in found["seats"]]
    return Wanted(seats, found["services"], today, today + ahead)


def _due(connection: sa.Connection, now: datetime) -> Sequence[UUID]:
    systems = [system for system, traits in TRAITS.items() if traits.has_open_slots]
    before = now - _longest_age(Runs(connection).practice())
    read_at = ehr_accounts.c.slots_read_at
    query = sa.select(ehr_accounts.c.id).where(
        ehr_accounts.c.system.in_(systems), sa.or_(read_at.is_(None), read_at <= before)
    )
    return list(connection.execute(query.order_by(ehr_accounts.c.system)).scalars())


def _longest_age(practice: Practice) -> timedelta:
    return timedelta(minutes=SlotRules.model_validate(practice.settings).slots_minutes)
