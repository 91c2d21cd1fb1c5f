"""A service that needs a room is offered when one is free, buffers included."""

from __future__ import annotations

from uuid import UUID, uuid4

from moonlit.availability.store import Own
from moonlit.db import tables as t
from tests.integration.availability.practice import EAST, HOUR, INES, MINUTE, NOON, TEN, WEST, Practice


def room(practice: Practice, location_id: UUID = EAST, *, is_active: bool = True) -> UUID:
    room_id = uuid4()
    practice.insert(
        t.rooms, id=room_id, location_id=location_id, room_number="1", room_name="Blue", capacity=2, is_active=is_active
    )
    return room_id


def needed(practice: Practice) -> None:
    practice.execute("update services set room_required = true")
    practice.execute("update provider_hours set location_id = :east", east=EAST)


def test_without_a_free_room_there_is_no_slot_and_one_of_two_is_enough(practice: Practice) -> None:
    needed(practice)
    room(practice, is_active=False)
    assert practice.free() == {}
    first = room(practice)
    whole = practice.starts(INES)
    practice.claim(first, kind="room")
    # Ten minutes after the visit the room is still needed.
    assert whole - practice.starts(INES) == {
        "09:00", "09:15", "09:30", "09:45", "10:00", "10:15", "10:30", "10:45",
    }  # fmt: skip
    second = room(practice)
    assert practice.starts(INES) == whole
    practice.claim(second, TEN + 30 * MINUTE, kind="room", length=30 * MINUTE)
    assert "09:15" in practice.starts(INES)
    assert "10:00" not in practice.starts(INES)


def test_a_visit_does_not_change_rooms_half_way(practice: Practice) -> None:
    needed(practice)
    practice.claim(room(practice), TEN - HOUR, kind="room", length=90 * MINUTE)
    practice.claim(room(practice), TEN + 30 * MINUTE, kind="room", length=7 * HOUR)
    free = practice.starts(INES)
    assert {"09:30", "09:45", "10:00", "10:15"}.isdisjoint(free)
    assert {"09:15", "10:30"} <= free


def test_the_room_is_at_the_location_that_is_asked_for(practice: Practice) -> None:
    needed(practice)
    room(practice, WEST)
    assert "10:00" in practice.starts(INES)
    assert practice.starts(INES, location_id=EAST) == set()
    room(practice, EAST)
    assert "10:00" in practice.starts(INES, location_id=EAST)


def test_ones_own_hold_of_the_room_is_no_obstacle_nor_is_one_that_ran_out(practice: Practice) -> None:
    needed(practice)
    hold_id, visit_id, blue = practice.hold(), practice.visit(), room(practice)
    practice.claim(blue, kind="room", hold_id=hold_id)
    practice.claim(blue, TEN + 3 * HOUR, kind="room", appointment_id=visit_id)
    assert {"10:00", "13:00"}.isdisjoint(practice.starts(INES))
    assert "10:00" in practice.starts(INES, own=Own(hold_id=hold_id))
    assert "13:00" in practice.starts(INES, own=Own(appointment_id=visit_id))
    practice.now = NOON + 10 * MINUTE
    assert "10:00" in practice.starts(INES)


def test_who_takes_the_room_anyway_may_ask_without_it(practice: Practice) -> None:
    needed(practice)
    assert "10:00" in practice.starts(INES, with_room=False)
    assert "10:00" in practice.starts(INES, ignore_busy=True)


def test_rooms_and_open_slots_are_read_only_where_they_matter(practice: Practice) -> None:
    def sent(**changes: object) -> int:
        with practice.statements() as heard:
            practice.free(**changes)
        return sum(statement.lstrip().startswith(("select", "with")) for statement in heard)

    alone = sent(provider_ids=(INES,))
    assert sent() == alone + 1  # The open slots.
    needed(practice)
    assert sent(provider_ids=(INES,)) == alone + 1
