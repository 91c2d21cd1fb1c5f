"""The forms in which IntakeQ writes times: epoch milliseconds, ISO with seven digits, and the account's local time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from local.simulators.common.answers import Refused, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(instant: datetime) -> int:
    """Return the instant in epoch milliseconds."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def to_instant(milliseconds: float) -> datetime:
    """Return the instant of epoch milliseconds, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def iso(milliseconds: int) -> str:
    """Return the instant with seven fraction digits and a Z."""
    return f"{to_instant(milliseconds):%Y-%m-%dT%H:%M:%S.%f}0Z"


def midnight_ms(day: date, zone: ZoneInfo) -> int:
    """Return the instant at which the account's local day begins."""
    return to_ms(datetime.combine(day, time(), zone))


def times(start: int, minutes: int, zone: ZoneInfo) -> Row:
    """Return every field of an appointment that follows from its start and length."""
    end = start + minutes * 60_000
    local_start, local_end = (to_instant(ms).astimezone(zone) for ms in (start, end))
    return {
        "StartDate": start,
        "EndDate": end,
        "Duration": minutes,
        "StartDateIso": iso(start),
        "EndDateIso": iso(end),
        "StartDateLocal": f"{local_start:%Y-%m-%dT%H:%M:%S.%f}0",
        "EndDateLocal": f"{local_end:%Y-%m-%dT%H:%M:%S.%f}0",
        "StartDateLocalFormatted": f"{local_start.month}/{local_start.day}/{local_start:%Y at %I:%M:%S %p}",
    }


def birth_ms(text: str | None) -> int | None:
    """Return a birth date as a client profile shows it: midnight UTC of the calendar day."""
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC)) if text else None


def birth_text(milliseconds: float | None) -> str | None:
    """Return a birth date as an appointment shows it."""
    return None if milliseconds is None else to_instant(milliseconds).date().isoformat()


def day_parameter(text: str | None) -> date | None:
    """Read a `yyyy-MM-dd` parameter, None when it was not given.

    Raises:
        Refused: It is no such date.
    """
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Refused("Invalid date.") from None
