"""What is wrong with a clinic file, row by row, without a word about people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason to refuse a file.

    Attributes:
        table: The key of the file, such as `appointments`, or `practice`, or `file` for the file as a whole.
        index: The row's position in its list, from 0; None when the reason is not about one row.
        row_id: The row's id, or its provider's or payer's where rows have none; None when it has no readable one.
        reason: Field names, ids and codes; never another value of the row.
    """

    table: str
    index: int | None
    row_id: str | None
    reason: str

    def __str__(self) -> str:
        """Return it as one line."""
        place = self.table if self.index is None else f"{self.table}[{self.index}]"
        return f"{place} (id {self.row_id}): {self.reason}" if self.row_id else f"{place}: {self.reason}"


class ClinicRefused(Exception):
    """The file was not loaded, and the database is as it was.

    Attributes:
        problems: The first 20, in the file's order.
        total: How many there are.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems[:SHOWN])
        self.total = len(problems)
        more = [f"(and {self.total - SHOWN} more)"] if self.total > SHOWN else []
        super().__init__("\n".join([*map(str, self.problems), *more]))


def identity(row: Any) -> str | None:
    """Return the id of a raw row, if it has one that can be repeated safely."""
    if not isinstance(row, Mapping):
        return None
    try:
        return str(UUID(row.get("id") or row.get("provider_id") or row.get("payer_id")))
    except (AttributeError, TypeError, ValueError):
        return None
