"""Small rules of booking. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

ALTERNATIVES = 8


def nearest(slots: Mapping[int, Sequence[UUID]], start: datetime, minutes: int, zone: tzinfo) -> list[dict[str, Any]]:
    """Return the free slots nearest to `start`, earliest first, ready for JSON with times in `zone`."""
    near = sorted(slots, key=lambda instant: (abs(instant - start.timestamp()), instant))[:ALTERNATIVES]
    return [
        {
            "start": (begin := datetime.fromtimestamp(instant, UTC).astimezone(zone)).isoformat(),
            "end": (begin.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(zone).isoformat(),
            "providerIds": [str(provider_id) for provider_id in slots[instant]],
        }
        for instant in sorted(near)
    ]


def billing_lines(codes: Sequence[str], rate: str | None) -> list[dict[str, Any]]:
    """Return the lines of a visit: the service's rate is for all of it, so it stands on the first code."""
    if rate is None:
        return []
    amounts = [rate, *("0.00" for _ in codes[1:])]
    return [
        {"code": code, "units": 1, "rate": amount, "total": amount} for code, amount in zip(codes, amounts, strict=True)
    ]
