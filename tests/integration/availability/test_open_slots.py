"""Providers of an EHR that keeps open slots are offered with those, beside all others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from moonlit.availability.store import Availability
from moonlit.db import tables as t
from tests.integration.availability.practice import (
    ASTRID,
    DAY,
    EAST,
    EMIL,
    HOUR,
    INES,
    MINUTE,
    NOON,
    REASON,
    TEN,
    WEST,
    Practice,
)


def test_slots_of_both_ehrs_make_one_list_and_begin_when_the_ehr_says(practice: Practice) -> None:
    practice.open_slot("1")
    practice.open_slot("2", TEN + 127 * MINUTE, minutes=90)  # 12:07.
    free = practice.free()
    assert free["10:00"] == {INES, EMIL, ASTRID}
    assert free["12:07"] == {ASTRID}
    assert practice.starts(ASTRID) == {"10:00", "12:07"}


@pytest.mark.parametrize(
    ("slot", "is_offered"),
    [
        ({}, True),
        ({"reason_ids": ["-1"]}, True),
        ({"reason_ids": ["7", REASON]}, True),
        ({"reason_ids": ["7"]}, False),
        ({"reason_ids": []}, False),
        ({"minutes": 59}, False),
        ({"practitioner_id": "72"}, False),
        ({"department_id": "2"}, False),
        ({"read_at": NOON - timedelta(hours=24)}, False),
        ({"read_at": NOON - timedelta(hours=23)}, True),
        ({"start": NOON + HOUR}, False),  # Within the notice.
        ({"start": NOON + 2 * HOUR}, True),
        ({"start": NOON + timedelta(days=61)}, False),  # Beyond the horizon.
    ],
)
def test_a_slot_is_offered_if_it_takes_the_service_has_room_for_it_and_is_fresh(
    practice: Practice, slot: dict[str, Any], *, is_offered: bool
) -> None:
    practice.open_slot("1", **slot)
    day = slot.get("start", TEN).date()
    assert bool(practice.starts(ASTRID, first=day, last=day)) is is_offered


def test_hours_do_not_make_slots_where_the_ehr_does(practice: Practice) -> None:
    practice.execute(
        'insert into provider_hours (id, provider_id, weekday, "start", "end", timezone, modality)'
        ' select gen_random_uuid(), :astrid, weekday, "start", "end", timezone, modality from provider_hours'
        " where provider_id = :ines",
        astrid=ASTRID,
        ines=INES,
    )
    assert practice.starts(ASTRID) == set()


def test_everything_else_takes_time_from_them_too(practice: Practice) -> None:
    for number in range(6):
        practice.open_slot(str(number), TEN + number * HOUR)
    practice.claim(ASTRID, TEN)
    practice.mirrored("71", TEN + 2 * HOUR, system="athena")
    practice.insert(t.provider_time_off, id=UUID(int=7), provider_id=ASTRID, start=TEN + 5 * HOUR, end=TEN + 6 * HOUR)
    # At 11:00 the buffer after the visit would reach onto the next one, at 14:00 onto the time off.
    assert practice.starts(ASTRID) == {"13:00"}
    practice.execute("update providers set max_daily_appointments = 2")
    assert practice.starts(ASTRID) == set()


def test_only_the_location_that_is_asked_for_counts(practice: Practice) -> None:
    practice.open_slot("1")
    assert practice.starts(ASTRID, location_id=EAST) == {"10:00"}
    assert practice.starts(ASTRID, location_id=WEST) == set()


def test_the_modality_of_an_open_slot_is_open(practice: Practice) -> None:
    practice.open_slot("1")
    assert practice.free(modality="in_person") == {"10:00": {ASTRID}}


def reread(practice: Practice, read_at: Any) -> None:
    practice.execute("update ehr_accounts set slots_read_at = :at where system = 'athena'", at=read_at)


def test_the_answer_is_as_old_as_the_slots_that_have_part_in_it(practice: Practice) -> None:
    practice.open_slot("1")
    reread(practice, NOON - timedelta(hours=23))
    assert practice.inquiry().as_of == NOON - timedelta(hours=23)
    assert practice.answer()["asOf"] == "2027-03-09T13:00:00-07:00"
    assert practice.inquiry(provider_ids=(INES,)).as_of == NOON


def test_slots_that_were_read_a_day_ago_are_a_calendar_that_is_not_known(practice: Practice) -> None:
    practice.open_slot("1")
    reread(practice, NOON - timedelta(hours=24))
    answer = practice.answer()
    assert str(ASTRID) not in {provider["id"] for provider in answer["providers"]}
    assert (
        answer["excluded"] == practice.eligibility()["excluded"] == [{"reason": "calendar_not_synced", "providers": 1}]
    )
    assert answer["asOf"] == "2027-03-10T12:00:00-07:00"


def test_slots_that_are_to_be_read_again_are_offered_meanwhile_and_as_old_as_they_are(practice: Practice) -> None:
    reread(practice, None)
    assert practice.answer()["excluded"] == [{"reason": "calendar_not_synced", "providers": 1}]  # Never read.
    practice.open_slot("1", read_at=NOON - HOUR)
    assert practice.starts(ASTRID) == {"10:00"}
    assert practice.inquiry().as_of == NOON - HOUR


def test_when_the_last_slot_was_taken_its_provider_is_booked_out_and_not_unknown(practice: Practice) -> None:
    reread(practice, None)
    practice.insert(
        t.ehr_writes, id=UUID(int=7), account_id=practice.account("athena"), appointment_id=practice.visit(),
        kind="book", state="confirmed", slot_id="1", starts_at=TEN, created_at=NOON - HOUR, next_look_at=NOON,
    )  # fmt: skip
    assert practice.answer()["excluded"] == []


def test_nothing_is_offered_that_reaches_past_the_days_that_a_pull_has_read(practice: Practice) -> None:
    practice.open_slot("1")
    practice.open_slot("2", TEN + 13 * HOUR)  # 23:00 to midnight; the buffer reaches into the next day.
    assert practice.starts(ASTRID) == {"10:00", "23:00"}
    practice.execute("update ehr_accounts set window_last = :day", day=DAY)
    assert practice.starts(ASTRID) == {"10:00"}
    practice.execute("update ehr_accounts set window_last = :day", day=DAY - timedelta(days=1))
    assert practice.free() == {}


# ── Co-visits ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def supervised(practice: Practice, resident: UUID, attending: UUID, level: str = "co_visit_required") -> None:
    practice.execute("delete from provider_payer_networks where provider_id = :id", id=resident)
    practice.execute(
        "insert into supervision_relationships (id, resident_id, attending_id, level, effective_date)"
        " values (gen_random_uuid(), :resident, :attending, :level, '2026-01-01')",
        resident=resident,
        attending=attending,
        level=level,
    )


def test_an_attendings_open_slots_stand_for_their_hours_whatever_they_are_for(practice: Practice) -> None:
    supervised(practice, INES, ASTRID)
    assert practice.starts(INES) == set()
    practice.open_slot("1", minutes=30, reason_ids=["7"])
    practice.open_slot("2", TEN + 30 * MINUTE, minutes=60, reason_ids=["7"])
    assert practice.starts(INES) == {"10:00", "10:15", "10:30"}
    practice.claim(ASTRID, TEN + 90 * MINUTE)  # The buffer after the visit counts for both.
    assert practice.starts(INES) == {"10:00", "10:15"}


def test_an_attending_who_only_signs_need_not_be_free(practice: Practice) -> None:
    supervised(practice, INES, ASTRID, "sign_off_only")
    assert "10:00" in practice.starts(INES)


def test_a_resident_is_offered_with_their_own_open_slots_when_the_attending_works(practice: Practice) -> None:
    supervised(practice, ASTRID, EMIL)
    practice.open_slot("1")
    practice.open_slot("2", TEN - 2 * HOUR)  # Emil begins at nine.
    assert practice.starts(ASTRID) == {"10:00"}


# ── Which slot it is ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_shortest_slot_that_is_long_enough_is_taken_and_without_a_length_the_longest(practice: Practice) -> None:
    practice.open_slot("short", minutes=30)
    practice.open_slot("long", minutes=90)
    practice.open_slot("fitting", minutes=60)
    practice.open_slot("other service", minutes=60, reason_ids=["7"])
    practice.open_slot("later", TEN + HOUR)
    with practice.begin() as connection:
        store = Availability(connection)
        taken = [store.open_slot_at(ASTRID, TEN, REASON, length) for length in (HOUR, 80 * MINUTE, 2 * HOUR)]
        assert taken == ["fitting", "long", None]
        assert store.open_slot_at(ASTRID, TEN, REASON) == "long"
        assert store.open_slot_at(ASTRID, TEN, "7") == "other service"
        assert store.open_slot_at(ASTRID, TEN + MINUTE, REASON) is None
        assert store.open_slot_at(INES, TEN, REASON) is None
