"""athenahealth's feed of changes. Reading it takes away what it shows, so nothing of an answer may be dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moonlit.ehr.athena_calls import WITH_PATIENT, Calls, id_of, says_yes
from moonlit.ehr.athena_practice import Catalog
from moonlit.ehr.athena_rows import Practice, is_slot, visit_of
from moonlit.ehr.port import ChangedRow, Changes, EhrError, EhrRefused, Lane
from moonlit.ehr.rows import storable_id
from moonlit.observability import logger

_CHANGED = "appointments/changed"
_TAKE_ROWS = "500"


class Feed:
    """The changes of one practice, as `moonlit.ehr.port.ChangesFeed`."""

    def __init__(self, calls: Calls, catalog: Catalog) -> None:
        self._calls = calls
        self._catalog = catalog

    def ensure_subscribed(self, lane: Lane) -> None:
        """Subscribe to every change of every department, unless that is so; it takes effect minutes later."""
        if self._calls.object(f"{_CHANGED}/subscription", lane).get("status") == "ACTIVE":
            return
        if not says_yes(self._calls.send("POST", f"{_CHANGED}/subscription", lane, {}, forbidden="not_granted")):
            raise EhrRefused("not_done")

    def take(self, lane: Lane) -> Changes:
        """Take the first page, which is the last when it is empty: rows leave the list, so no pages are counted."""
        rows = self._calls.taken(_CHANGED, "appointments", lane, {"limit": _TAKE_ROWS, **WITH_PATIENT})
        practice = self._practice(rows, lane)
        return Changes([changed_row(row, practice) for row in rows], not rows)

    def _practice(self, rows: Sequence[Any], lane: Lane) -> Practice | None:
        """Return what it takes to read the rows; None when that fails, since the rows are taken and must be kept."""
        booked = [row for row in rows if not is_slot(row)]
        if not booked:
            return None
        try:
            return self._catalog.practice(booked, lane)
        except EhrError as error:
            logger.warning("feed_rows_unread", rows=len(booked), error=type(error).__name__)
            return None


def changed_row(row: Any, practice: Practice | None) -> ChangedRow:
    """Read a row; without a practice there is nothing to read it with."""
    external_id = storable_id(id_of(row))
    if is_slot(row):
        return ChangedRow(row, external_id, "slot")
    if practice is None:
        return ChangedRow(row, external_id, "unread")
    try:
        return ChangedRow(row, external_id, "visit", visit_of(row, practice))
    except EhrRefused:
        return ChangedRow(row, external_id, "unreadable")
