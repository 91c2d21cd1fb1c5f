"""Visits that get another id in the EHR: one visit here, in whatever order its rows come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.ehr.port import EhrVisit
from tests.fixtures_athena import OTHER_PATIENT, PATIENT
from tests.fixtures_athena_sync import HALF_HOUR, HOUR, NINE, AthenaPractice, make_ehr_visit, scripted_night

BEGUN = make_ehr_visit("1")


@pytest.fixture
def held(athena: AthenaPractice) -> UUID:
    """Hold the visit under its first id, and stand an hour later."""
    athena.patient(PATIENT)
    assert scripted_night(athena, BEGUN) == {"new": 1}
    athena.clock.advance(hours=1)
    return UUID(str(athena.visits()["1"]["id"]))


def gone(practice: AthenaPractice, old: str = "1", new: str = "2") -> EhrVisit:
    """Return the old row, as it is from now on."""
    return make_ehr_visit(old, status="cancelled", moved_to=new, modified_at=practice.clock.now())


def come(practice: AthenaPractice, new: str = "2", hours: int = 1, **fields: Any) -> EhrVisit:
    """Return the new row, so many hours after the first start."""
    start = NINE + hours * HOUR
    times = {"starts_at": start, "ends_at": start + HALF_HOUR, "modified_at": practice.clock.now()}
    return make_ehr_visit(new, **times, **fields)


def ids(practice: AthenaPractice) -> set[tuple[str, UUID, bool]]:
    found = practice.rows("select external_id, appointment_id, is_current from appointment_external_ids")
    return {(row["external_id"], row["appointment_id"], row["is_current"]) for row in found}


def the_visit(practice: AthenaPractice) -> tuple[UUID, Any, str, int]:
    """Return the only visit there is."""
    (row,) = practice.rows("select id, start, status, sequence from appointments")
    return row["id"], row["start"], row["status"], row["sequence"]


def write(practice: AthenaPractice, appointment_id: UUID, **fields: Any) -> UUID:
    """Add a write of ours that is open, unless told otherwise."""
    now = practice.clock.now()
    values = {"state": "unknown", "starts_at": NINE + HOUR, "created_at": now, "next_look_at": now} | fields
    return practice.add(t.ehr_writes, account_id=practice.account_id, appointment_id=appointment_id, **values)


def test_both_rows_at_once(athena: AthenaPractice, held: UUID) -> None:
    assert scripted_night(athena, come(athena), gone(athena)) == {"updated": 1}
    assert the_visit(athena) == (held, NINE + HOUR, "confirmed", 1)
    assert ids(athena) == {("1", held, False), ("2", held, True)}


def test_new_row_first(athena: AthenaPractice, held: UUID) -> None:
    assert scripted_night(athena, come(athena)) == {"new": 1, "unchanged": 1}
    assert len(athena.rows("select id from appointments")) == 2
    athena.clock.advance(hours=1)
    assert scripted_night(athena, gone(athena)) == {"updated": 1}
    assert the_visit(athena) == (held, NINE + HOUR, "confirmed", 1)
    assert ids(athena) == {("1", held, False), ("2", held, True)}
    assert {row["appointment_id"] for row in athena.rows("select appointment_id from time_claims")} == {held}


def test_old_row_first(athena: AthenaPractice, held: UUID) -> None:
    assert scripted_night(athena, gone(athena)) == {"unchanged": 1}
    assert the_visit(athena) == (held, NINE, "confirmed", 0)
    athena.clock.advance(hours=1)
    assert scripted_night(athena, come(athena)) == {"updated": 1}
    assert the_visit(athena) == (held, NINE + HOUR, "confirmed", 1)


def test_moves_of_which_half_is_known_do_not_pull_the_brake(athena: AthenaPractice) -> None:
    athena.patient(PATIENT)
    days = [timedelta(days=number) for number in range(30)]
    times = {str(n): {"starts_at": NINE + day, "ends_at": NINE + day + HALF_HOUR} for n, day in enumerate(days)}
    scripted_night(athena, *(make_ehr_visit(each, **when) for each, when in times.items()))
    athena.clock.advance(hours=1)
    moved: dict[str, Any] = {"status": "cancelled", "modified_at": athena.clock.now()}
    halves = (make_ehr_visit(each, moved_to=f"new {each}", **moved, **when) for each, when in times.items())
    assert scripted_night(athena, *halves) == {"unchanged": 30}


def test_new_row_that_no_pull_shows_leaves_the_visit_cancelled_until_one_does(
    athena: AthenaPractice, held: UUID
) -> None:
    away = gone(athena)
    athena.clock.advance(hours=1)
    assert scripted_night(athena, away) == {"updated": 1}
    assert the_visit(athena) == (held, NINE, "cancelled", 1)
    athena.clock.advance(hours=1)
    assert scripted_night(athena, come(athena, hours=24)) == {"updated": 1}
    assert the_visit(athena) == (held, NINE + 24 * HOUR, "confirmed", 2)


def test_visit_moved_twice_whose_rows_were_all_taken_for_visits_of_their_own(
    athena: AthenaPractice, held: UUID
) -> None:
    scripted_night(athena, come(athena), come(athena, "3", 2))
    athena.clock.advance(hours=1)
    assert scripted_night(athena, gone(athena), gone(athena, "2", "3")) == {"updated": 1}
    assert the_visit(athena) == (held, NINE + 2 * HOUR, "confirmed", 1)
    assert ids(athena) == {("1", held, False), ("2", held, False), ("3", held, True)}


def test_rows_of_an_old_id_change_nothing_any_more(athena: AthenaPractice, held: UUID) -> None:
    scripted_night(athena, come(athena), gone(athena))
    athena.clock.advance(hours=1)
    touched = make_ehr_visit(
        "1", status="no_show", moved_to="2", starts_at=NINE + timedelta(days=1), ends_at=NINE + timedelta(days=1, hours=1),
        modified_at=athena.clock.now(),
    )  # fmt: skip
    assert scripted_night(athena, touched) == {"unchanged": 1}
    assert the_visit(athena) == (held, NINE + HOUR, "confirmed", 1)
    assert athena.rows("select x.external_id from appointment_external_ids x join ehr_appointments m using (external_id)"
                       " where x.applied_hash is distinct from m.content_hash") == []  # fmt: skip


def test_conflict_with_its_own_new_row_is_settled(athena: AthenaPractice, held: UUID) -> None:
    write(athena, held, kind="book", state="confirmed", starts_at=NINE)
    scripted_night(athena, come(athena, hours=0))
    assert [row["external_id"] for row in athena.rows("select external_id from schedule_conflicts")] == ["2"]
    athena.clock.advance(hours=1)
    scripted_night(athena, gone(athena))
    assert athena.rows("select external_id from schedule_conflicts") == []


def test_new_id_of_another_booking_of_ours_stays_with_it(athena: AthenaPractice, held: UUID) -> None:
    scripted_night(athena, come(athena))
    other = athena.visits()["2"]["id"]
    write(athena, other, kind="book", state="confirmed")
    athena.clock.advance(hours=1)
    scripted_night(athena, gone(athena))
    assert {(external_id, one) for external_id, one, _ in ids(athena)} == {("1", held), ("2", other)}
    assert athena.visits()["1"]["status"] == "cancelled"


@pytest.mark.parametrize("client_id", [OTHER_PATIENT, None], ids=["another", "nobody"])
def test_new_id_of_another_client_is_another_visit(athena: AthenaPractice, held: UUID, client_id: str | None) -> None:
    athena.patient(OTHER_PATIENT)
    scripted_night(athena, come(athena, client_id=client_id), gone(athena))
    assert athena.visits()["1"]["status"] == "cancelled"
    assert ("2", held, True) not in ids(athena)


# ── Beside our own writes ─────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_a_reschedule_of_ours_wait_for_its_answer(athena: AthenaPractice, held: UUID) -> None:
    ours = write(athena, held, kind="reschedule", slot_id="2")
    assert scripted_night(athena, come(athena), gone(athena)) == {"unchanged": 1}
    assert the_visit(athena) == (held, NINE, "confirmed", 0)
    assert ids(athena) == {("1", held, True)}

    # It had no effect, as far as we know: then it was somebody in the EHR.
    with athena.begin() as connection:
        connection.execute(sa.update(t.ehr_writes).where(t.ehr_writes.c.id == ours).values(state="failed"))
    athena.clock.advance(hours=1)
    assert scripted_night(athena) == {"updated": 1}
    assert the_visit(athena) == (held, NINE + HOUR, "confirmed", 1)


def test_visit_on_its_way_to_another_ehr_waits_as_well(athena: AthenaPractice, held: UUID, practice: Any) -> None:
    now = athena.clock.now()
    athena.add(
        t.ehr_writes, account_id=practice.account_id, appointment_id=held, kind="book", state="unknown", move={"before": {}},
        starts_at=NINE, created_at=now, next_look_at=now + HOUR,
    )  # fmt: skip
    cancelled = make_ehr_visit("1", status="cancelled", modified_at=now)
    assert scripted_night(athena, cancelled) == {"unchanged": 1}
    assert the_visit(athena)[2] == "confirmed"


def test_visit_that_went_to_another_ehr_is_counted_there(athena: AthenaPractice, held: UUID, practice: Any) -> None:
    with athena.begin() as connection:
        connection.execute(sa.update(t.appointment_external_ids).values(is_current=False))
        connection.execute(
            sa.insert(t.appointment_external_ids).values(
                account_id=practice.account_id, external_id=uuid4().hex[:24], appointment_id=held
            )
        )
    assert scripted_night(athena, make_ehr_visit("1", status="cancelled", modified_at=athena.clock.now())) == {}
    assert the_visit(athena)[2] == "confirmed"


def test_co_visit_ends_when_staff_give_the_visit_to_somebody_else(athena: AthenaPractice, held: UUID) -> None:
    attending, other = athena.provider("12"), athena.provider("72")
    with athena.begin() as connection:
        connection.execute(sa.update(t.appointments).values(rendering_provider_id=attending, co_visit=True))
    scripted_night(athena, make_ehr_visit("1", starts_at=NINE - HALF_HOUR, modified_at=athena.clock.now()))
    columns = "provider_id, rendering_provider_id, co_visit"
    assert athena.rows(f"select {columns} from appointments") == [
        {"provider_id": athena.provider_id, "rendering_provider_id": attending, "co_visit": True}
    ]
    athena.clock.advance(hours=1)
    scripted_night(athena, make_ehr_visit("1", practitioner_id="72", modified_at=athena.clock.now()))
    assert athena.rows(f"select {columns} from appointments") == [
        {"provider_id": other, "rendering_provider_id": None, "co_visit": False}
    ]
