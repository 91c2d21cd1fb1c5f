"""What the audit log keeps of a change of people: ids and the practice's own catalog, and of all else its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

UNTOLD = frozenset({"name", "npi", "email", "identitySub", "personKey"})
"""Members that say who somebody is: that they changed is told, and not what they were."""


def changed_members(before: BaseModel, after: BaseModel, members: Collection[str]) -> list[str]:
    """Return which of the `members`, by their names outside, differ."""
    one, other = _json(before), _json(after)
    return sorted(member for member in members if one[member] != other[member])


def told(shown: BaseModel, members: Collection[str]) -> dict[str, Any]:
    """Return the `members` as the audit log shows them, and the names of those that it does not show."""
    values = _json(shown)
    kept = {member: values[member] for member in members if member not in UNTOLD}
    untold = sorted(UNTOLD.intersection(members))
    return kept | ({"untold": untold} if untold else {})


def members_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the names that the members of a request body have outside."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def _json(shown: BaseModel) -> Mapping[str, Any]:
    return shown.model_dump(mode="json", by_alias=True)
