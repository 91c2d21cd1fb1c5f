"""The request budget of one EHR account, counted in the database so that every process shares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.tables import ehr_accounts, ehr_budget
from moonlit.ehr.port import BudgetExhausted, Lane

# The vendor counts arrivals in any 60 seconds. A request is counted here before it leaves, so one that travelled
# slowly would fall into the vendor's next window; a second more keeps it out.
_WINDOW_MS = 61_000

# What a lane may see used before it has to wait, in per cent of the account's limit. The rest is kept for the lanes
# above: 4 of 10 a minute and 100 of 500 a day for bookings, and a little for webhooks.
_MINUTE_SHARE: Mapping[Lane, int] = {Lane.BOOKING: 100, Lane.WEBHOOK: 60, Lane.ON_DEMAND: 50, Lane.NIGHTLY: 50}
_DAY_SHARE: Mapping[Lane, int] = {Lane.BOOKING: 100, Lane.WEBHOOK: 80, Lane.ON_DEMAND: 75, Lane.NIGHTLY: 75}


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account may send and what it has sent.

    Attributes:
        per_day: None without a daily cap.
        minute_hits: Epoch milliseconds of the latest requests, rising.
        day: The UTC day that `day_used` counts, None before the first request.
        blocked_until: No lane passes before it.
    """

    per_minute: int
    per_day: int | None
    minute_hits: Sequence[int]
    day: date | None
    day_used: int
    blocked_until: datetime | None

    def at(self, now: datetime) -> Usage:
        """Return what of this still counts at `now`."""
        oldest = _milliseconds(now) - _WINDOW_MS
        today = max(self.day or now.date(), now.date())  # Another process's clock may be past midnight already.
        return Usage(
            self.per_minute,
            self.per_day,
            [hit for hit in self.minute_hits if hit > oldest],
            today,
            self.day_used if self.day == today else 0,
            self.blocked_until,
        )

    def wait_seconds(self, lane: Lane, now: datetime) -> float:
        """Return how long `lane` has to wait at `now` for one more request, 0 when it may pass."""
        current = self.at(now)
        waits = [0.0]
        if self.blocked_until:
            waits.append((self.blocked_until - now).total_seconds())
        ceiling = _share(self.per_minute, _MINUTE_SHARE[lane])
        if len(current.minute_hits) >= ceiling:
            leaving = current.minute_hits[len(current.minute_hits) - ceiling]
            waits.append((leaving + _WINDOW_MS - _milliseconds(now)) / 1000)
        if self.per_day is not None and current.day_used >= _share(self.per_day, _DAY_SHARE[lane]):
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
            waits.append((midnight - now).total_seconds())
        return max(waits)

    def left(self, lane: Lane) -> tuple[int, int | None]:
        """Return how many requests `lane` has left of the minute and of the day, None without a daily cap.

        It counts everything that is here; see `at`.
        """
        minute = _share(self.per_minute, _MINUTE_SHARE[lane]) - len(self.minute_hits)
        day = None if self.per_day is None else max(0, _share(self.per_day, _DAY_SHARE[lane]) - self.day_used)
        return max(0, minute), day


def _share(limit: int, percent: int) -> int:
    return max(1, limit * percent // 100)


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


class DatabaseBudget:
    """Counts requests in `ehr_budget`, each in a short transaction of its own that locks the account's row."""

    def __init__(self, begin: Begin, account_id: UUID, clock: Clock) -> None:
        self._begin = begin
        self._account_id = account_id
        self._clock = clock

    def take(self, lane: Lane) -> None:
        """Count one request.

        Raises:
            BudgetExhausted: There is no room in this lane; nothing was counted.
        """
        with self._begin() as connection:
            usage = self._locked(connection)
            now = self._clock.now()  # Read under the lock, so that the hits stay in order.
            wait_seconds = usage.wait_seconds(lane, now)
            if wait_seconds > 0:
                raise BudgetExhausted(wait_seconds)
            current = usage.at(now)
            hits = [*current.minute_hits, max([_milliseconds(now), *current.minute_hits[-1:]])]
            self._set(connection, minute_hits=hits, day=current.day, day_used=current.day_used + 1)

    def back_off(self, seconds: float) -> None:
        """Let no lane through for `seconds`: the EHR said 429 although the count saw room."""
        with self._begin() as connection:
            usage = self._locked(connection)
            until = self._clock.now() + timedelta(seconds=seconds)
            self._set(connection, blocked_until=max(until, usage.blocked_until or until))

    def usage(self) -> Usage:
        """Return what has been used, as of now."""
        with self._begin() as connection:
            return self._locked(connection).at(self._clock.now())

    def _locked(self, connection: sa.Connection) -> Usage:
        row = connection.execute(_USAGE, {"account": self._account_id}).one_or_none()
        if row is None:
            connection.execute(insert(ehr_budget).values(account_id=self._account_id).on_conflict_do_nothing())
            row = connection.execute(_USAGE, {"account": self._account_id}).one()
        return Usage(*row)

    def _set(self, connection: sa.Connection, **values: Any) -> None:
        connection.execute(sa.update(ehr_budget).where(ehr_budget.c.account_id == self._account_id).values(**values))


_USAGE = (
    sa.select(
        ehr_accounts.c.per_minute,
        ehr_accounts.c.per_day,
        ehr_budget.c.minute_hits,
        ehr_budget.c.day,
        ehr_budget.c.day_used,
        ehr_budget.c.blocked_until,
    )
    .join(ehr_budget, ehr_budget.c.account_id == ehr_accounts.c.id)
    .where(ehr_accounts.c.id == sa.bindparam("account"))
    .with_for_update(of=ehr_budget)
)
