"""The forms in which athenahealth writes things: US dates, times without a zone, and several kinds of booleans."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("US/Eastern")
_DAY, _TIME = "%m/%d/%Y", "%H:%M"
_STAMP = "%m/%d/%Y %H:%M:%S"


def day_text(day: date) -> str:
    """Return a day as mm/dd/yyyy."""
    return f"{day:{_DAY}}"


def time_text(start: datetime) -> str:
    """Return the time of day as HH:MM."""
    return f"{start:{_TIME}}"


def stamp(instant: datetime) -> str:
    """Return an instant as mm/dd/yyyy hh24:mi:ss, US Eastern: to the second, and ambiguous for an hour in autumn."""
    return f"{instant.astimezone(EASTERN):{_STAMP}}"


def read_day(text: str) -> date:
    """Read mm/dd/yyyy.

    Raises:
        ValueError: It is no such day.
    """
    return read_local(text, "00:00").date()


@lru_cache(maxsize=65_536)  # A search reads every slot of the account.
def read_local(day: str, at: str) -> datetime:
    """Read a slot's day and time: without a zone, local to its department.

    Raises:
        ValueError: It is no such time.
    """
    return datetime.strptime(f"{day} {at}", f"{_DAY} {_TIME}")  # noqa: DTZ007  # The department knows the zone.


def read_stamp(text: str) -> datetime:
    """Read mm/dd/yyyy hh24:mi:ss, US Eastern, as an instant.

    Raises:
        ValueError: It is no such time.
    """
    return datetime.strptime(text, _STAMP).replace(tzinfo=EASTERN).astimezone(UTC)


def department_zone(name: str, *, observes_dst: bool) -> tzinfo:
    """Return a department's zone, which stays on standard time all year when it does not observe daylight saving."""
    zone = ZoneInfo(name)
    if observes_dst:
        return zone
    winter = datetime(2026, 1, 15, tzinfo=zone)
    return timezone((winter.utcoffset() or timedelta(0)) - (winter.dst() or timedelta(0)))


def exists(local: datetime, zone: tzinfo) -> bool:
    """Say whether a wall clock in that zone ever shows this time; in the night to summer time some are skipped."""
    return local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local


def words(value: object) -> str:
    """Return a boolean as the word that some answers have in its place."""
    return "true" if value else "false"
