"""What an athenahealth practice has set up, read once in a process's life, and how much of its daily quota is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from moonlit.clock import Clock
from moonlit.ehr.athena_calls import Calls
from moonlit.ehr.athena_rows import Department, Practice, department_of, names_unknown_reason, no_show_reason_of
from moonlit.ehr.port import EhrRefused, Lane
from moonlit.observability import logger

_LOW_PERCENT = 10
_BETWEEN_WARNINGS = timedelta(hours=1)


class Catalog:
    """The departments, whose clocks the calendar goes by, and the reasons for cancelling."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._departments: Mapping[str, Department] = {}
        self._nowhere: set[str] = set()
        self._no_show_reasons: frozenset[str] | None = None

    def department_ids(self, lane: Lane) -> list[str]:
        """Return every department's id, the lowest number first."""
        return sorted(self._known(lane), key=lambda each: (len(each), each))

    def practice(self, rows: Iterable[Any], lane: Lane) -> Practice:
        """Return what it takes to read `rows`.

        A department that was opened since is read now; whether patients came, only when a row leaves it open.
        """
        rows = [row for row in rows if isinstance(row, Mapping)]
        named = {str(row["departmentid"]) for row in rows if row.get("departmentid")}
        unknown = named - set(self._known(lane)) - self._nowhere
        if unknown:
            self._read_departments(lane)
            self._nowhere |= unknown - set(self._departments)  # Not asked for again: each time would cost a request.
        if self._no_show_reasons is None and any(map(names_unknown_reason, rows)):
            reasons = self._calls.rows("appointmentcancelreasons", "appointmentcancelreasons", lane, {})
            self._no_show_reasons = frozenset(filter(None, map(no_show_reason_of, reasons)))
        return Practice(self._departments, self._no_show_reasons or frozenset())

    def _known(self, lane: Lane) -> Mapping[str, Department]:
        if not self._departments:
            self._read_departments(lane)
        return self._departments

    def _read_departments(self, lane: Lane) -> None:
        rows = self._calls.rows("departments", "departments", lane, {"showalldepartments": "true"})
        self._departments = dict(filter(None, map(_readable, rows)))


def _readable(row: Any) -> tuple[str, Department] | None:
    """Read a department; visits in one whose clock is unknown will be named as unreadable."""
    try:
        return department_of(row)
    except EhrRefused:
        return None


class QuotaWatch:
    """Warns while there is little left of the requests that the vendor allows in a day; once an hour will do."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._warned_at: datetime | None = None

    def __call__(self, headers: Mapping[str, str]) -> None:
        """Look at the headers of an answer."""
        limit, remaining = headers.get("x-ratelimit-limit", ""), headers.get("x-ratelimit-remaining", "")
        if not (limit.isdecimal() and remaining.isdecimal()) or int(remaining) * 100 >= int(limit) * _LOW_PERCENT:
            return
        now = self._clock.now()
        if self._warned_at is None or now - self._warned_at >= _BETWEEN_WARNINGS:
            self._warned_at = now
            logger.warning("ehr_quota_low", limit=int(limit), remaining=int(remaining))
