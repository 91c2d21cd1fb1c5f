"""The kinds of value that the catalog is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError


def _nothing_twice(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("duplicate", "Input should hold nothing twice")
    return values


def _written(value: Any) -> Any:
    return f"{value:.2f}" if isinstance(value, Decimal) else value


Once = AfterValidator(_nothing_twice)
"""Of a list: it holds nothing twice."""
Money = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,7})\.[0-9]{2}$"), BeforeValidator(_written)]
"""An amount in dollars with both decimals, such as `180.00`."""
# CPT: five digits, or four and a letter (F: category II, T: category III, U: laboratory, M: multianalyte, A:
# administrative). HCPCS level II: a letter from A to V and four digits.
BillingCode = Annotated[str, StringConstraints(pattern=r"^([0-9]{4}[0-9AFMTU]|[A-V][0-9]{4})$")]
# Lists in queries are parted by commas, so there is none in it.
Equipment = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f,]+$")]
"""A word for something that stands in a room."""
Capacity = Annotated[int, Field(gt=0, le=1000)]
"""How many people a room holds."""
Buffer = Annotated[int, Field(ge=0, le=1440, strict=True)]
"""Minutes before or after a visit that are nobody else's."""
