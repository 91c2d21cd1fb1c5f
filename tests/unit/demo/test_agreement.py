"""The demo's comparison sees what differs, and does not ask for what a night never reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from local.demo.agreement import agreement, changes
from local.demo.ehr import Calendar, milliseconds

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(days=5)
KNOWN = "41"


def row(**changed: Any) -> dict[str, Any]:
    start = changed.pop("start", SOON)
    times = {"StartDate": milliseconds(start), "EndDate": milliseconds(start + timedelta(hours=1))}
    return {"Id": "a", "ClientId": 41, "Status": "Confirmed", "LastModified": milliseconds(NOW), **times, **changed}


def calendar(*standing: dict[str, Any], deleted: tuple[dict[str, Any], ...] = ()) -> Calendar:
    return Calendar({each["Id"]: each for each in standing}, {each["Id"]: each for each in deleted})


def export(**visit: Any) -> dict[str, Any]:
    """Return an export with one visit, none when nothing is said of it."""
    start = visit.pop("start", SOON)
    times = {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}
    held = {"external_id": "a", "system": "intakeq", "status": "confirmed", **times, **visit}
    return {
        "practice": {"timezone": "America/Denver", "settings": {}},
        "patients": [{"intakeq_client_id": KNOWN}, {"intakeq_client_id": None}],
        "appointments": [held] if visit else [],
    }


def differences(held: dict[str, Any], there: Calendar) -> list[str]:
    return agreement(held, there, NOW).differences


def test_equal_visits_are_counted_and_not_listed() -> None:
    found = agreement(export(status="confirmed"), calendar(row()), NOW)
    assert (found.compared, found.differences) == (1, [])


def test_another_time_or_status_is_a_difference() -> None:
    assert differences(export(status="scheduled"), calendar(row()))
    assert differences(export(start=SOON + timedelta(minutes=15)), calendar(row()))
    assert differences(export(status="confirmed"), calendar(row(Status="Canceled")))


def test_a_visit_that_is_over_is_completed() -> None:
    over = NOW - timedelta(days=1)
    assert differences(export(start=over, status="completed"), calendar(row(start=over))) == []
    assert differences(export(start=over, status="confirmed"), calendar(row(start=over)))


def test_a_deleted_visit_is_cancelled_here_unless_the_ehr_has_forgotten_it() -> None:
    assert differences(export(status="cancelled"), calendar(deleted=(row(),))) == []
    assert differences(export(status="confirmed"), calendar(deleted=(row(),)))
    forgotten = row(LastModified=milliseconds(NOW - timedelta(days=11)))
    assert differences(export(status="confirmed"), calendar(deleted=(forgotten,))) == []


def test_a_known_patients_visit_that_is_missing_is_a_difference() -> None:
    assert differences(export(), calendar(row())) == ["visit a of a known patient is missing here"]
    assert differences(export(), calendar(row(start=NOW + timedelta(days=200)))) == []  # No night reads that far.


def test_the_visits_of_strangers_are_counted() -> None:
    found = agreement(export(), calendar(row(ClientId=42)), NOW)
    assert (found.strangers, found.differences) == (1, [])


def test_changes_between_two_calendars_are_named() -> None:
    rows = [row(Id=name) for name in "abcd"]
    moved = row(Id="b", start=SOON + timedelta(days=1))
    after = calendar(rows[0], moved, row(Id="c", Status="Canceled"), row(Id="e"), deleted=(rows[3],))
    assert changes(calendar(*rows), after) == {"b": "moved", "c": "canceled", "d": "deleted", "e": "new"}
