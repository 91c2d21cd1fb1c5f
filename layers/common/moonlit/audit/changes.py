"""What differs between two states of one thing, as the audit log keeps it. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

type Side = dict[str, Any]


def difference(before: BaseModel, after: BaseModel) -> tuple[Side, Side]:
    """Return the members that differ, as they were and as they are, ready for JSON; objects in them likewise."""
    return _differing(*(shown.model_dump(mode="json", by_alias=True) for shown in (before, after)))


def _differing(before: Side, after: Side) -> tuple[Side, Side]:
    was: Side = {}
    now: Side = {}
    for name in after:
        match before[name], after[name]:
            case old, new if old == new:
                continue
            case dict() as old, dict() as new if old.keys() == new.keys():
                was[name], now[name] = _differing(old, new)
            case old, new:
                was[name], now[name] = old, new
    return was, now
