"""The calendar file of a visit, as a calendar reads it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from icalendar import Calendar

from moonlit.booking import errors
from tests.fixtures_booking import TEN
from tests.fixtures_ehrs import HOUR
from tests.fixtures_house import House


def event(house: House, appointment_id: UUID) -> Any:
    """Return the one event of the file."""
    content = house.desk.calendar(appointment_id)
    calendar = Calendar.from_ical(content)
    assert (str(calendar["version"]), str(calendar["method"])) == ("2.0", "PUBLISH")
    assert calendar["prodid"]
    assert b"\r\n" in content
    (found,) = calendar.walk("VEVENT")
    return found


def test_a_visit_in_a_calendar_says_when_and_with_whom_and_not_what_for(house: House) -> None:
    booked = house.book()
    shown = event(house, booked.appointment_id)
    assert (shown.decoded("dtstart"), shown.decoded("dtend")) == (TEN, TEN + HOUR)
    assert shown["dtstart"].to_ical().endswith(b"Z")
    assert (str(shown["uid"]), str(shown["status"]), shown["sequence"]) == (
        f"{booked.appointment_id}@moonlit",
        "CONFIRMED",
        0,
    )
    assert booked.provider
    assert str(shown["summary"]) == f"Appointment with {booked.provider.name}"
    content = house.desk.calendar(booked.appointment_id).decode()
    assert not [word for word in ("Intake", "Whitlock", "Dana", "Cedar") if word in content]
    assert shown.decoded("dtstamp") == house.clock.now()


def test_a_moved_visit_replaces_itself_in_the_calendar(house: House) -> None:
    booked = house.book()
    before = event(house, booked.appointment_id)
    house.clock.advance(minutes=1)
    house.move(booked.appointment_id, TEN + 3 * HOUR)
    after = event(house, booked.appointment_id)
    assert after["uid"] == before["uid"]
    assert (after["sequence"], after.decoded("dtstart")) == (before["sequence"] + 1, TEN + 3 * HOUR)
    assert after.decoded("last-modified") > before.decoded("last-modified")
    house.move(booked.appointment_id, TEN, house.other_side.provider)
    assert event(house, booked.appointment_id)["sequence"] == 2


def test_a_move_that_came_to_nothing_is_taken_back_in_the_calendar_too(house: House) -> None:
    booked = house.book()
    house.side.fail("reschedule", "429")
    house.move(booked.appointment_id, TEN + 3 * HOUR)
    under_way = event(house, booked.appointment_id)
    assert (str(under_way["status"]), under_way.decoded("dtstart")) == ("TENTATIVE", TEN + 3 * HOUR)
    house.side.fail("reschedule", "error_before", status=409)
    house.clock.advance(minutes=2)
    house.sweeper.sweep()
    shown = event(house, booked.appointment_id)
    assert (str(shown["status"]), shown.decoded("dtstart")) == ("CONFIRMED", TEN)
    assert shown["sequence"] > under_way["sequence"]


def test_a_cancelled_visit_leaves_the_calendar(house: House) -> None:
    booked = house.book()
    house.cancel(booked.appointment_id)
    shown = event(house, booked.appointment_id)
    assert (str(shown["status"]), shown["sequence"]) == ("CANCELLED", 1)


def test_a_booking_that_is_not_answered_is_tentative_and_one_that_failed_is_off(house: House) -> None:
    house.side.fail("book", "drop_before")
    booked = house.book()
    assert str(event(house, booked.appointment_id)["status"]) == "TENTATIVE"
    house.settle()
    assert str(event(house, booked.appointment_id)["status"]) == "CANCELLED"


def test_names_with_odd_signs_stay_one_line(house: House) -> None:
    odd = "Dr. O'Hara; Ida, née Lind\\quist" + " long" * 20
    house.execute("update providers set name = :name", name=odd)
    assert str(event(house, house.book().appointment_id)["summary"]) == f"Appointment with {odd}"


def test_a_visit_far_ahead_is_in_utc_on_both_sides_of_the_change_of_the_clock(house: House) -> None:
    before, after = TEN, TEN + timedelta(days=4) - HOUR  # The clock goes forward on 14 March 2027.
    for start in (before, after):
        booked = house.book(start)
        assert event(house, booked.appointment_id)["dtstart"].to_ical() == f"{start:%Y%m%dT%H%M%SZ}".encode()
        assert booked.start.hour == 10
    with pytest.raises(errors.SlotTaken):
        house.book(after)
