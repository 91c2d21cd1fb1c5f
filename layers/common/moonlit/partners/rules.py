"""What of a visit may be shown to a partner, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

type JoinLink = Literal["none", "later", "ready", "expired"]

OPENS_BEFORE = timedelta(hours=24)
_STANDING = frozenset({"pending", "scheduled", "confirmed"})


def join_link(meeting_url: str | None, status: str, start: datetime, end: datetime, now: datetime) -> JoinLink:
    """Return whether the visit's link may be used now: from a day before its start to its end, while it stands."""
    if not meeting_url or status not in _STANDING:
        return "none"
    if now >= end:
        return "expired"
    return "ready" if start - now <= OPENS_BEFORE else "later"


def initials(first_name: str, last_name: str) -> str:
    """Return what a calendar that others may see calls a patient."""
    return "".join(f"{name.strip()[:1].upper()}." for name in (first_name, last_name) if name.strip())
