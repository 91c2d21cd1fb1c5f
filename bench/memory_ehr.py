"""An EHR that answers from memory, in pages as IntakeQ's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from moonlit.ehr.port import EhrVisit, Lane, Page

_PAGE_ROWS = 100


@dataclass(frozen=True, slots=True)
class MemoryEhr:
    """What a pull reads of an account: `all_visits` on the first night, `changed` ones on the next."""

    all_visits: Sequence[EhrVisit]
    changed: Sequence[EhrVisit]

    def changed_since(self, _day: date, page: int, _lane: Lane) -> Page:
        """Return page `page` of the changed visits."""
        return _page(self.changed, page)

    def window(self, _first: date, _last: date, page: int, _lane: Lane) -> Page:
        """Return page `page` of all visits."""
        return _page(self.all_visits, page)

    def deleted(self, _page_number: int, _lane: Lane) -> Page:
        """Return that nothing was deleted."""
        return Page((), is_last=True)


class NoBudget:
    """A budget that lets everything pass."""

    def take(self, lane: Lane) -> None:
        """Let it pass."""

    def back_off(self, seconds: float) -> None:
        """Stay open."""


def _page(visits: Sequence[EhrVisit], page: int) -> Page:
    rows = visits[(page - 1) * _PAGE_ROWS : page * _PAGE_ROWS]
    return Page(rows, is_last=len(rows) < _PAGE_ROWS)
