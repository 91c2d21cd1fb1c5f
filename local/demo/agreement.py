"""Whether what is here is what the EHR has: every visit held one by one against the simulator's own row.

Any clinic will do: what must be here follows from the two files and the days that a night reads, not from a script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from local.demo.ehr import Calendar, Row, Visit, instant, milliseconds
from moonlit.sync.window import Window

_DELETED_ARE_SHOWN = timedelta(days=10)  # The vendor forgets older ones, so nobody can know of them.

type Export = Mapping[str, Any]


@dataclass(slots=True)
class Agreement:
    """The result of a comparison.

    Attributes:
        compared: Visits that are the same here and there.
        differences: What is not, a line each, by external id.
        unread: Visits held here that lie outside the days a night reads, or that the EHR does not know.
        strangers: The EHR's visits in those days whose client is no patient here.
    """

    compared: int = 0
    differences: list[str] = field(default_factory=list)
    unread: int = 0
    strangers: int = 0


def agreement(export: Export, calendar: Calendar, now: datetime) -> Agreement:
    """Hold the visits of an export against the EHR's, both ways."""
    first, last = _window(export, now)
    found = Agreement()
    here = visits_here(export)
    for external_id, visit in here.items():
        there = calendar.visit(external_id, now)
        if there is None or _is_forgotten(calendar, external_id, now) or not first <= there.start < last:
            found.unread += 1
        elif visit == there:
            found.compared += 1
        else:
            found.differences.append(f"visit {external_id} is {visit} here, {there} in the EHR")
    numbers = client_numbers(export)
    for external_id, row in calendar.standing.items():
        if not first <= instant(row["StartDate"]) < last or external_id in here:
            continue
        if str(row["ClientId"]) in numbers:
            found.differences.append(f"visit {external_id} of a known patient is missing here")
        else:
            found.strangers += 1
    return found


def visits_here(export: Export) -> dict[str, Visit]:
    """Return an export's visits that IntakeQ knows, by its ids."""
    return {
        row["external_id"]: Visit(_instant(row["start"]), _instant(row["end"]), row["status"])
        for row in export["appointments"]
        if row["system"] == "intakeq" and row["external_id"]
    }


def client_numbers(export: Export) -> set[str]:
    """Return the EHR's numbers of the patients, those included that a night has learned."""
    return {row["intakeq_client_id"] for row in export["patients"] if row["intakeq_client_id"]}


def changes(before: Calendar, after: Calendar) -> dict[str, str]:
    """Return what happened to visits between two moments, by id, in a word."""
    found = {external_id: "deleted" for external_id in after.deleted if external_id not in before.deleted}
    for external_id, row in after.standing.items():
        old = before.standing.get(external_id)
        if old is None:
            found[external_id] = "new"
        elif word := _change(old, row):
            found[external_id] = word
    return found


def _change(old: Row, row: Row) -> str | None:
    if old["Status"] != row["Status"]:
        return str(row["Status"]).lower()
    return "moved" if old["StartDate"] != row["StartDate"] else None


def _window(export: Export, now: datetime) -> tuple[datetime, datetime]:
    zone = ZoneInfo(export["practice"]["timezone"])
    return Window.around(now.astimezone(zone).date(), export["practice"]["settings"]).instants(zone)


def _is_forgotten(calendar: Calendar, external_id: str, now: datetime) -> bool:
    row = calendar.deleted.get(external_id)
    return row is not None and row["LastModified"] <= milliseconds(now - _DELETED_ARE_SHOWN)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
