"""Which of the forms that a route has its caller would rather have (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RANGE = re.compile(r"([a-z0-9!#$&^_.+-]+|\*)/([a-z0-9!#$&^_.+-]+|\*)")
_WEIGHT = re.compile(r"(0(\.\d{0,3})?|1(\.0{0,3})?)")
_LIKED_FULLY = 1.0


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type that `accept` likes best; of equals, and if it likes none, the first one.

    A caller who accepts nothing of what there is gets the first one as well: RFC 9110 allows to pass over the header,
    the other routes do, and who cannot read JSON could not read the problem document of a 406 either. Parts of the
    header that make no sense are left out.
    """
    weights = _weights(accept or "")
    return max(offered, key=lambda media_type: _weight(media_type, weights))  # The first of the largest.


def _weight(media_type: str, weights: dict[str, float]) -> float:
    """Return how much a type is liked: what is said of it by name counts before what is said of many."""
    several = f"{media_type.partition('/')[0]}/*"
    return next((weights[name] for name in (media_type, several, "*/*") if name in weights), 0.0)


def _weights(accept: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (each.strip() for each in part.split(";"))
        weight = _read_weight(parameters)
        if _RANGE.fullmatch(media_range) and weight is not None:
            weights[media_range] = max(weight, weights.get(media_range, 0.0))
    return weights


def _read_weight(parameters: Sequence[str]) -> float | None:
    """Return the `q` among a range's parameters, 1 without one, None for one that is no weight."""
    said = next((each.partition("=")[2].strip() for each in parameters if each.partition("=")[0].strip() == "q"), None)
    if said is None:
        return _LIKED_FULLY
    return float(said) if _WEIGHT.fullmatch(said) else None
