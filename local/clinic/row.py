"""What every row of a clinic file has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Row(BaseModel):
    """One row of a clinic file; unknown keys are refused."""

    model_config = STRICT

    def ordered(self, earlier: str, later: str, *, may_be_equal: bool = True) -> None:
        """Refuse a row whose field `later` lies before `earlier`; an empty one is no bound."""
        first, last = getattr(self, earlier), getattr(self, later)
        if first is None or last is None or first < last or (may_be_equal and first == last):
            return
        raise PydanticCustomError("order", "{later} is not after {earlier}", {"earlier": earlier, "later": later})
