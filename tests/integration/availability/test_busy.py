"""What takes a provider's time: claims, holds, the EHR's calendar, time off and full days, over all ids of a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from moonlit.availability.store import Own
from moonlit.db import tables as t
from tests.fixtures_intakeq import OTHER_PRACTITIONER, PRACTITIONER
from tests.integration.availability.practice import EMIL, HOUR, INES, MINUTE, NOON, TEN, Practice

# The visit takes an hour and ten minutes more; what it would touch at 10:00 are these starts.
AROUND_TEN = {"09:00", "09:15", "09:30", "09:45", "10:00", "10:15", "10:30", "10:45"}


def test_a_day_without_visits_is_free_from_the_first_to_the_last_start_that_fits(practice: Practice) -> None:
    free = practice.starts(INES)
    assert {"09:00", "09:15", "16:00"} <= free
    assert len(free) == 29  # Every quarter of an hour; the buffer reaches past 17:00.


def test_claims_and_strangers_in_the_ehr_take_their_time_with_the_visits_own_buffer(practice: Practice) -> None:
    whole = practice.starts(INES)
    practice.claim(INES)
    practice.mirrored(OTHER_PRACTITIONER)
    assert whole - practice.starts(INES) == whole - practice.starts(EMIL) == AROUND_TEN


@pytest.mark.parametrize("gone", [{"status": "cancelled"}, {"status": "no_show"}, {"deleted_in_ehr": True}])
def test_what_is_no_longer_in_the_ehr_takes_no_time(practice: Practice, gone: dict[str, Any]) -> None:
    practice.mirrored(PRACTITIONER, **gone)
    assert "10:00" in practice.starts(INES)


def test_a_hold_takes_time_until_it_runs_out_but_never_from_its_owner(practice: Practice) -> None:
    hold_id = practice.hold()
    practice.claim(INES, hold_id=hold_id)
    assert "10:00" not in practice.starts(INES)
    assert "10:00" not in practice.starts(INES, own=Own(hold_id=UUID(int=1)))
    assert "10:00" in practice.starts(INES, own=Own(hold_id=hold_id))
    practice.now = NOON + 10 * MINUTE
    assert "10:00" in practice.starts(INES)


def test_ones_own_visit_is_no_obstacle_neither_its_claim_nor_its_row_in_the_ehr(practice: Practice) -> None:
    visit_id = practice.visit()
    practice.claim(INES, appointment_id=visit_id)
    practice.mirrored(PRACTITIONER, visit_id=visit_id)
    assert "10:00" not in practice.starts(INES)
    assert "10:00" in practice.starts(INES, own=Own(appointment_id=visit_id))


def test_the_time_of_one_person_is_one_under_all_their_ids(practice: Practice) -> None:
    practice.execute("update providers set person_key = 'one' where ehr_system = 'intakeq'")
    assert practice.free()["10:00"] == {INES, EMIL}
    practice.mirrored(OTHER_PRACTITIONER)
    practice.insert(t.provider_time_off, id=UUID(int=7), provider_id=EMIL, start=TEN + 3 * HOUR, end=TEN + 4 * HOUR)
    free = practice.starts(INES)
    assert free == practice.starts(EMIL)
    assert {"10:00", "13:00"}.isdisjoint(free)
    assert "11:00" in free


# ── What we change in the EHR ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["waiting", "sending", "unknown"])
@pytest.mark.parametrize("kind", ["cancel", "reschedule"])
def test_the_ehrs_row_of_a_visit_that_is_being_cancelled_or_moved_takes_no_time(
    practice: Practice, kind: str, state: str
) -> None:
    visit_id = practice.visit(status="cancelled" if kind == "cancel" else "confirmed")
    external_id = practice.mirrored(PRACTITIONER, visit_id=visit_id)
    assert "10:00" not in practice.starts(INES)
    practice.write(visit_id, kind, state, external_id)
    assert "10:00" in practice.starts(INES)


@pytest.mark.parametrize(("state", "kind"), [("failed", "cancel"), ("failed", "reschedule"), ("waiting", "details")])
def test_the_row_counts_again_when_the_ehr_said_no_and_all_the_time_for_other_writes(
    practice: Practice, state: str, kind: str
) -> None:
    visit_id = practice.visit()
    practice.write(visit_id, kind, state, practice.mirrored(PRACTITIONER, visit_id=visit_id))
    assert "10:00" not in practice.starts(INES)


@pytest.mark.parametrize(("seen_later", "is_free"), [(-MINUTE, True), (MINUTE, False)])
def test_after_a_change_of_ours_the_row_counts_again_once_it_has_been_seen_anew(
    practice: Practice, seen_later: timedelta, *, is_free: bool
) -> None:
    visit_id = practice.visit(status="cancelled")
    external_id = practice.mirrored(PRACTITIONER, visit_id=visit_id, seen_at=NOON + seen_later)
    practice.write(visit_id, "cancel", "confirmed", external_id, finished_at=NOON)
    assert ("10:00" in practice.starts(INES)) is is_free


def test_a_visit_takes_its_time_under_its_current_id_alone(practice: Practice) -> None:
    visit_id = practice.visit()
    practice.mirrored(PRACTITIONER, visit_id=visit_id, is_current=False)
    practice.mirrored(PRACTITIONER, TEN + 3 * HOUR, visit_id=visit_id)
    free = practice.starts(INES)
    assert "10:00" in free
    assert "13:00" not in free


# ── Full days ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def capped(practice: Practice, visits: int) -> None:
    practice.execute("update providers set max_daily_appointments = :n where id = :id", n=visits, id=INES)


def test_a_day_is_full_with_visits_holds_and_strangers_each_counted_once(practice: Practice) -> None:
    visit_id, hold_id = practice.visit(), practice.hold(TEN + 2 * HOUR)
    practice.claim(INES, appointment_id=visit_id)
    practice.mirrored(PRACTITIONER, visit_id=visit_id)  # The very visit.
    practice.claim(INES, TEN + 5 * HOUR, appointment_id=visit_id)  # Where it is being moved to.
    practice.claim(INES, TEN + 2 * HOUR, hold_id=hold_id)
    practice.mirrored(PRACTITIONER, TEN - HOUR)
    capped(practice, 4)
    assert practice.starts(INES) != set()
    capped(practice, 3)
    assert practice.starts(INES) == set()
    assert practice.starts(INES, ignore_busy=True) != set()
    assert practice.starts(INES, own=Own(appointment_id=visit_id)) != set()
    assert practice.starts(INES, own=Own(hold_id=hold_id)) != set()
    practice.now = NOON + 10 * MINUTE  # The hold has run out.
    assert practice.starts(INES) != set()


def test_a_full_day_is_the_persons_over_all_their_ids_and_only_that_day(practice: Practice) -> None:
    practice.execute("update providers set person_key = 'one' where ehr_system = 'intakeq'")
    capped(practice, 1)
    practice.mirrored(OTHER_PRACTITIONER)
    assert practice.starts(INES) == set()
    assert practice.starts(EMIL) != set()  # The cap is of that id alone.
    assert practice.starts(INES, first=TEN.date() + timedelta(days=1), last=TEN.date() + timedelta(days=1)) != set()


def test_a_cap_of_none_at_all_leaves_no_day(practice: Practice) -> None:
    capped(practice, 0)
    assert practice.starts(INES) == set()
    assert practice.starts(EMIL) != set()


# ── Notice ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_staff_need_not_give_notice_but_nobody_books_the_past(practice: Practice) -> None:
    practice.now = TEN + 1 * MINUTE
    practice.execute("update services set min_notice_minutes = 90")
    assert min(practice.starts(INES)) == "11:45"
    assert min(practice.starts(INES, notice_free=True)) == "10:15"
