"""The calendar feed of a partner (RFC 5545): whose visit it is by initials, since calendars are shared and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from moonlit.partners.rules import initials

_STATUS = {"pending": "TENTATIVE", "scheduled": "TENTATIVE", "confirmed": "CONFIRMED"}
_MODALITY = {"telehealth": "telehealth", "in_person": "in person"}
REFRESH_AFTER = timedelta(minutes=15)


def feed_of(rows: Sequence[Mapping[str, Any]], now: datetime) -> bytes:
    """Return visits (see `Roster.calendar`) as a calendar; times are in UTC, so that no zone has to be described."""
    from icalendar import Calendar, Event  # Slow to import: only who fetches a feed pays.

    calendar = Calendar()
    calendar.add("prodid", "-//Moonlit Scheduler//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "Appointments")
    calendar.add("refresh-interval", REFRESH_AFTER, parameters={"value": "DURATION"})
    for row in rows:
        event = Event()
        event.add("uid", f"{row['appointment_id']}@moonlit")
        event.add("dtstamp", now.astimezone(UTC))
        event.add("dtstart", row["start"].astimezone(UTC))
        event.add("dtend", row["end"].astimezone(UTC))
        event.add("last-modified", row["updated_at"].astimezone(UTC))
        event.add("sequence", row["sequence"])
        event.add("status", _STATUS.get(row["status"], "CANCELLED"))
        event.add("summary", _summary(row))
        calendar.add_component(event)
    return bytes(calendar.to_ical())


def _summary(row: Mapping[str, Any]) -> str:
    who = initials(row["first_name"], row["last_name"])
    return f"{who} ({how})" if (how := _MODALITY.get(row["modality"] or "")) else who
