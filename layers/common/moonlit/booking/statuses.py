"""What a visit's status is called outside: the database stores what happened, the clock adds what is over."""

from __future__ import annotations

from datetime import datetime


def shown_status(status: str, end: datetime, now: datetime) -> str:
    """Return the status to show: a confirmed visit is `completed` once its end has come.

    Nothing tells us of completion (IntakeQ leaves past visits `Confirmed`), so it is never stored and never counts
    as a change. A visit that was only requested, `scheduled`, is not completed by time passing.
    """
    return "completed" if status == "confirmed" and end <= now else status
