"""The EHR from behind: the simulator's own account of itself, and what the practice's staff do in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from local.demo.http import call
from local.demo.report import hold

type Row = Mapping[str, Any]
"""A visit in the vendor's field names."""

ACTIVE = ("Confirmed", "WaitingConfirmation")
_STATUSES = {
    "WaitingConfirmation": "scheduled",
    "Confirmed": "confirmed",
    "Canceled": "cancelled",
    "Cancelled": "cancelled",
    "Declined": "declined",
    "Missed": "no_show",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Visit:
    """When a visit is and how it stands, in our words."""

    start: datetime
    end: datetime
    status: str

    def __str__(self) -> str:
        """Return it for people to read."""
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%H:%M} UTC, {self.status}"


def instant(milliseconds: int) -> datetime:
    """Return the instant that the vendor means."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(moment: datetime) -> int:
    """Return the instant as the vendor writes it."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Every visit of the account at one moment, by id; deleted ones apart."""

    standing: Mapping[str, Row]
    deleted: Mapping[str, Row]

    def visit(self, external_id: str, now: datetime) -> Visit | None:
        """Return how we have to show a visit at `now`; None when the EHR does not know it."""
        gone = external_id in self.deleted
        row = self.deleted.get(external_id) or self.standing.get(external_id)
        if row is None:
            return None
        start, end = instant(row["StartDate"]), instant(row["EndDate"])
        status = "cancelled" if gone else _STATUSES[row["Status"]]
        return Visit(start, end, "completed" if status == "confirmed" and end <= now else status)

    def at(self, practitioner_id: str, start: datetime) -> list[Row]:
        """Return the active visits of a practitioner that begin at `start`."""
        return [
            row
            for row in self.standing.values()
            if row["PractitionerId"] == practitioner_id
            and row["Status"] in ACTIVE
            and instant(row["StartDate"]) == start
        ]


@dataclass(frozen=True, slots=True)
class Ehr:
    """The simulator's control calls; `url` is the simulator's root."""

    url: str

    def calendar(self) -> Calendar:
        """Return the account as it is now."""
        state = self._control("GET", "state")
        standing, deleted = ({str(row["Id"]): row for row in state[name]} for name in ("appointments", "deleted"))
        return Calendar(standing, deleted)

    def pending_changes(self) -> int:
        """Return how many of the account file's changes are still to come."""
        return int(self._control("GET", "state")["pendingChanges"])

    def requests(self) -> list[dict[str, Any]]:
        """Return every request that the API received since the list was emptied."""
        return list(self._control("GET", "requests"))

    def forget_requests(self) -> None:
        """Empty that list."""
        self._control("DELETE", "requests")

    def fail(self, *faults: Mapping[str, Any]) -> None:
        """Order failures; none clears them."""
        self._control("POST", "faults", {"faults": list(faults)})

    def staff(self, action: str, **what: Any) -> dict[str, Any]:
        """Change the calendar as the practice's staff would and return the visit."""
        return dict(self._control("POST", "visits", {"action": action, **what}))

    def send_webhooks_to(self, url: str | None) -> None:
        """Say where changes are announced; None for nowhere."""
        self._control("POST", "webhook", {"url": url})

    def deliveries(self) -> list[dict[str, Any]]:
        """Return the webhooks that were sent."""
        return list(self._control("GET", "state")["webhooks"])

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        answer = call(method, f"{self.url}/_control/{path}", body)
        hold(f"the EHR's simulator takes {method} {path}", expected=200, seen=answer.status)
        return answer.body
