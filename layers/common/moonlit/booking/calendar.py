"""A visit as a calendar file (RFC 5545). A later file of the same visit replaces an earlier one by its sequence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_STATUS = {"pending": "TENTATIVE", "scheduled": "TENTATIVE", "confirmed": "CONFIRMED"}


def calendar_of(details: Mapping[str, Any], now: datetime) -> bytes:
    """Return the visit (see `Visits.details`) as a file; times are in UTC, so that no zone has to be described.

    It says no more than the patient's calendar should show to who looks over their shoulder: not for what they come.
    """
    from icalendar import Calendar, Event  # Slow to import: only who wants a calendar file pays.

    event = Event()
    event.add("uid", f"{details['id']}@moonlit")
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", details["start"].astimezone(UTC))
    event.add("dtend", details["end"].astimezone(UTC))
    event.add("last-modified", details["updated_at"].astimezone(UTC))
    event.add("sequence", details["sequence"])
    event.add("status", _STATUS.get(details["status"], "CANCELLED"))
    provider = details["provider_name"]
    event.add("summary", f"Appointment with {provider.strip()}" if provider else "Appointment")
    if details["meeting_url"]:
        event.add("url", details["meeting_url"])
    if place := details["location_name"]:
        event.add("location", place)
    calendar = Calendar()
    calendar.add("prodid", "-//Moonlit Scheduler//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    return bytes(calendar.to_ical())
