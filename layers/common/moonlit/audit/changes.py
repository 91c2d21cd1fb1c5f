"""What differs between two states of one thing, as the audit log keeps it. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

type Side = dict[str, Any]


def difference(before: BaseModel, after: BaseModel) -> tuple[Side, Side]:
    """Return the members that differ, as they were and as they are, ready for JSON."""
    old, new = (shown.model_dump(mode="json", by_alias=True) for shown in (before, after))
    changed = [name for name in new if old[name] != new[name]]
    return {name: old[name] for name in changed}, {name: new[name] for name in changed}
