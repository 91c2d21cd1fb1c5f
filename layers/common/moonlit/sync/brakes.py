"""Which of an account's runs the brake has stopped, and whether that still stands.

One rule for all who ask. A stopped run stands until a later one of its kind has passed the brake, because it was
confirmed or because the EHR is as it was: one that is under way, or that failed for another reason, decides nothing.
Runs that read changes and those that share such a reading are of one kind; days that were read again are a matter of
their own, settled by a run that reads at least these.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.sync.runs import Runs
from moonlit.sync.window import Window

# A run that would cancel this much of what is held is more likely a mistake in the EHR than a bad day.
BRAKE_VISITS = 20
BRAKE_SHARE = 0.2


def brakes(cancelled: int, held: int) -> bool:
    """Return whether cancelling `cancelled` of the `held` visits of the window needs a person's word first."""
    return cancelled >= BRAKE_VISITS and cancelled > BRAKE_SHARE * held


def holds_cancellations(connection: sa.Connection, account_id: UUID, first: datetime) -> bool:
    """Return whether cancellations of visits from `first` on wait, for a person's word or for the brake's look.

    Whoever applies a patient's rows also finds what a pull under way has read, or one that failed, and no brake has
    seen yet.
    """
    account = {"account_id": account_id}
    if connection.execute(_IS_CONFIRMED, account).scalar_one():
        return False
    if stands_braked(connection, account_id):
        return True
    is_unseen = connection.execute(_IS_UNSEEN, account).scalar_one()
    return bool(is_unseen) and brakes(*Runs(connection).would_cancel(account_id, first))


def stands_braked(connection: sa.Connection, account_id: UUID, days: Window | None = None) -> bool:
    """Return whether the brake has stopped the account, and no run of that kind has passed since.

    Args:
        connection: The transaction.
        account_id: The account.
        days: Ask about readings of these days, or some of them; None for those of changes.
    """
    if days is None:
        return bool(connection.execute(_STANDS_BRAKED, {"account_id": account_id}).scalar_one())
    values = {"account_id": account_id, "first": days.first, "last": days.last}
    return bool(connection.execute(_DAYS_STAND_BRAKED, values).scalar_one())


def may_be_confirmed(connection: sa.Connection, run_id: UUID) -> bool:
    """Return whether the brake has stopped the run, and none of its kind has passed since."""
    return bool(connection.execute(_MAY_BE_CONFIRMED, {"run_id": run_id}).scalar_one())


def reading_again(connection: sa.Connection, run_id: UUID) -> UUID | None:
    """Return the run under way that reads the days of this one again and may cancel however much, None for none."""
    found: UUID | None = connection.execute(_READING_AGAIN, {"run_id": run_id}).scalar_one_or_none()
    return found


_STANDING = """
    select exists (
        select from sync_runs r where {whose} and r.state = 'failed' and r.error = 'brake'
            and not exists (
                select from sync_runs later
                where later.account_id = r.account_id and later.state in ('applying', 'completed', 'partial')
                    and later.started_at > r.started_at
                    and case when r.reads = 'days'
                        then later.reads = 'days' and later.window_first <= r.window_first
                            and later.window_last >= r.window_last
                        else later.reads <> 'days' end))
"""

_STANDS_BRAKED = sa.text(_STANDING.format(whose="r.account_id = :account_id and r.reads <> 'days'"))

_DAYS_STAND_BRAKED = sa.text(
    _STANDING.format(
        whose="r.account_id = :account_id and r.reads = 'days' and r.window_first >= :first and r.window_last <= :last"
    )
)

# While what somebody has confirmed is applied, it is not held up by a pull that begins meanwhile.
_IS_CONFIRMED = sa.text("""
    select exists (
        select from sync_runs where account_id = :account_id and state = 'applying' and brake_confirmed)
""")

_IS_UNSEEN = sa.text("""
    select exists (
        select from sync_runs r where r.account_id = :account_id and (r.state = 'pulling' or (r.state = 'failed'
            and r.started_at > coalesce((
                select max(started_at) from sync_runs
                where account_id = :account_id and reads <> 'days' and state in ('applying', 'completed', 'partial')
            ), '-infinity'))))
""")

_MAY_BE_CONFIRMED = sa.text(_STANDING.format(whose="r.id = :run_id"))

_READING_AGAIN = sa.text("""
    select again.id from sync_runs r join sync_runs again on again.account_id = r.account_id
        and again.state = 'pulling' and again.reads = 'days' and again.brake_confirmed
        and again.window_first = r.window_first and again.window_last = r.window_last
    where r.id = :run_id and r.reads = 'days'
    order by again.started_at limit 1
""")
