"""The changed feed: what was subscribed to and nobody has read yet. Reading it takes it away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.simulators.athena.account import Account
from local.simulators.athena.answers import Refusal, invalid
from local.simulators.athena.file import EVENTS
from local.simulators.athena.slot import Slot
from local.simulators.common.answers import Row
from moonlit.clock import Clock

type Show = Callable[[Slot], Row]


@dataclass(slots=True)
class Entry:
    """One row of the feed as it was when it happened; `event` is never told."""

    event: str
    row: Row
    at: datetime
    processed_at: datetime | None = None

    def fits(self, departments: Sequence[str], providers: Sequence[str], patient_id: str | None) -> bool:
        """Say whether a read that asks for these wants it; empty ones ask for all."""
        row = self.row
        return (
            (not departments or row["departmentid"] in departments)
            and (not providers or row["providerid"] in providers)
            and patient_id in (None, row.get("patientid"))
        )


class Feed:
    """One API key's subscription and what it is owed."""

    def __init__(self, account: Account, clock: Clock, show: Show) -> None:
        self.entries: list[Entry] = []
        self.departments: tuple[str, ...] = ()
        self._active_from: dict[str, datetime] = {}
        self._account = account
        self._clock = clock
        self._show = show
        if account.subscription is not None:
            self.departments = account.subscription.departmentids
            self._active_from = dict.fromkeys(account.subscription.events, clock.now())

    @property
    def events(self) -> list[str]:
        """The events subscribed to, whether their subscription works already or not."""
        return [event for event in EVENTS if event in self._active_from]

    def subscribe(self, event: str | None, departments: Sequence[str]) -> None:
        """Subscribe to one event or all; `departments` replaces what was said before. It takes effect with a delay.

        Raises:
            Refusal: There is no such event.
        """
        if event not in (None, *EVENTS):
            raise invalid("eventname")
        works_from = self._clock.now() + timedelta(seconds=self._account.settings.subscription_delay_seconds)
        for name in EVENTS if event is None else (event,):
            self._active_from.setdefault(name, works_from)
        self.departments = tuple(departments)

    def unsubscribe(self, event: str | None) -> None:
        """End the subscription to one event or all."""
        for name in self.events if event is None else (event,):
            self._active_from.pop(name, None)

    def record(self, event: str, slot: Slot) -> None:
        """Owe the reader a row about `slot`, if this is subscribed to."""
        now = self._clock.now()
        active_from = self._active_from.get(event)
        if active_from is None or active_from > now:
            return
        if not self.departments or slot.department_id in self.departments:
            self.entries.append(Entry(event, self._show(slot), now))

    def check(self) -> None:
        """Make sure that the feed may be read.

        Raises:
            Refusal: The app may not, or nothing is subscribed to.
        """
        if not self._account.grants.changed or not self._active_from:
            raise Refusal("You are not subscribed to the appointment events of this practice.", 403)

    def waiting(self) -> list[Entry]:
        """Return what nobody has read."""
        return [entry for entry in self.entries if entry.processed_at is None]

    def processed(self, first: datetime, last: datetime) -> list[Entry]:
        """Return what was read between two instants, both included to the second."""
        after = last + timedelta(seconds=1)
        return [entry for entry in self.entries if entry.processed_at and first <= entry.processed_at < after]

    def take(self, entries: Sequence[Entry]) -> None:
        """Mark rows as read."""
        for entry in entries:
            entry.processed_at = self._clock.now()
