"""Bringing bookings to the EHR: whatever goes wrong on the way, the ledger ends right and one visit stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from local.simulators.intakeq.wire import to_ms
from moonlit.booking.ledger import Ledger
from moonlit.booking.saga import Saga, growing
from moonlit.booking.sweep import BETWEEN_LOOKS, WATCHES
from moonlit.ehr.port import BudgetExhausted, Ehr, Lane
from tests.fixtures_booking import TEN, Office, somebody, wanted
from tests.fixtures_intakeq import PRACTITIONER, SERVICE, make_account, make_client, make_visit

POST_VISIT = {"method": "POST", "path": "/appointments", "times": 1}
POST_CLIENT = {"method": "POST", "path": "/clients", "times": 1}


def book(office: Office, **changes: Any) -> UUID:
    appointment_id = office.accept(wanted(**changes))
    office.saga.write(appointment_id)
    return appointment_id


def test_a_booking_creates_the_client_once_and_writes_the_visit_with_the_ehrs_mails_off(office: Office) -> None:
    first = book(office)
    second = book(office, start=TEN + timedelta(hours=2))
    state = office.intakeq.state()
    assert len(state["clients"]) == 1
    assert [office.visit(each)["status"] for each in (first, second)] == ["confirmed", "confirmed"]
    assert {row["ReminderType"] for row in office.in_ehr()} == {"OptOut"}
    assert {row["ServiceId"] for row in office.in_ehr()} == {SERVICE}
    ids = office.rows("select external_id from appointment_external_ids order by 1")
    assert [row["external_id"] for row in ids] == sorted(row["Id"] for row in office.in_ehr())


@pytest.mark.parametrize(
    ("fault", "state_after", "lands"),
    [
        (POST_VISIT | {"kind": "error_before", "status": 500}, "unknown", False),
        (POST_VISIT | {"kind": "error_after", "status": 500}, "unknown", True),
        (POST_VISIT | {"kind": "drop_before"}, "unknown", False),
        (POST_VISIT | {"kind": "drop_after"}, "unknown", True),
        (POST_VISIT | {"kind": "429"}, "waiting", False),
        (POST_VISIT | {"kind": "html"}, None, None),
        (POST_CLIENT | {"kind": "error_before", "status": 500}, "waiting", False),
        (POST_CLIENT | {"kind": "error_after", "status": 500}, "waiting", False),
        (POST_CLIENT | {"kind": "drop_after"}, "waiting", False),
        (POST_CLIENT | {"kind": "429"}, "waiting", False),
    ],
    ids=lambda value: value["path"] + "-" + value["kind"] if isinstance(value, dict) else None,
)
def test_every_fault_ends_in_one_visit_or_in_a_free_slot(
    office: Office,
    fault: dict[str, Any],
    state_after: str | None,
    lands: bool | None,  # noqa: FBT001
) -> None:
    office.intakeq.fail(fault)
    appointment_id = book(office)
    if state_after:
        assert office.write(appointment_id)["state"] == state_after
        assert bool(office.in_ehr()) is lands
    office.intakeq.fail()
    for _ in range(4):
        office.sweeper.sweep()
        office.clock.advance(seconds=61)
    visit, write = office.visit(appointment_id), office.write(appointment_id)
    assert len(office.in_ehr()) == (1 if visit["status"] == "confirmed" else 0)
    assert len(office.intakeq.state()["clients"]) == 1
    if visit["status"] == "confirmed":
        assert write["state"] == "confirmed"
        assert office.claims(appointment_id) == {"person", "patient"}
    else:
        assert visit["status"] == "failed"
        assert write["state"] in ("failed", "watching")
        assert office.claims(appointment_id) == set()


@pytest.mark.parametrize("account", [make_account(clients=[make_client(1, FirstName="Zoe", Email=None, Phone=None)])])
def test_when_the_ehr_has_somebody_else_in_that_time_ours_is_released(office: Office) -> None:
    office.intakeq.staff("create", appointment=make_visit(7, TEN, ClientId=1))
    office.intakeq.fail(POST_VISIT | {"kind": "refuse_taken"})
    appointment_id = book(office)
    assert office.visit(appointment_id)["status_reason"] == "slot_taken_in_ehr"
    assert office.claims(appointment_id) == set()
    assert len(office.in_ehr()) == 1


def test_an_outcome_that_is_unknown_is_never_sent_again_and_released_after_two_looks_a_minute_apart(
    office: Office,
) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "drop_before"})
    appointment_id = book(office)
    office.intakeq.fail()
    office.intakeq.forget()
    office.sweeper.sweep()
    office.sweeper.sweep()  # At once: it is not due before a minute has passed.
    assert office.write(appointment_id)["looks"] == 1
    office.clock.instant += BETWEEN_LOOKS
    office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "failed"
    assert "POST" not in {request["method"] for request in office.intakeq.requests()}
    office.accept(wanted(patient=somebody(1)))  # The time is free again.


def test_a_visit_that_lands_after_its_release_is_cancelled_in_the_ehr(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "drop_before"})
    appointment_id = book(office)
    office.intakeq.fail()
    for _ in range(2):
        office.sweeper.sweep()
        office.clock.instant += BETWEEN_LOOKS
    client = office.intakeq.state()["clients"][0]["ClientId"]
    # The request had been travelling: it takes effect with the time at which the EHR got hold of it.
    sent = to_ms(office.write(appointment_id)["sent_at"]) + 45_000
    office.intakeq.staff("create", appointment=make_visit(7, TEN, ClientId=client, DateCreated=sent))
    assert len(office.in_ehr()) == 1
    office.clock.instant += WATCHES[0]
    office.sweeper.sweep()
    assert office.in_ehr() == []
    assert (office.write(appointment_id)["state"], office.visit(appointment_id)["status"]) == ("failed", "failed")


def lost_and_released(office: Office) -> UUID:
    """Book, let the request get lost, and let the sweeper give the time back."""
    office.intakeq.fail(POST_VISIT | {"kind": "drop_before"})
    appointment_id = book(office)
    office.intakeq.fail()
    for _ in range(2):
        office.sweeper.sweep()
        office.clock.instant += BETWEEN_LOOKS
    assert office.visit(appointment_id)["status"] == "failed"
    return appointment_id


def test_the_watch_leaves_the_patients_second_booking_of_the_slot_alone(office: Office) -> None:
    lost_and_released(office)
    second = book(office)
    assert office.visit(second)["status"] == "confirmed"
    for pause in WATCHES:
        office.clock.instant += pause
        office.sweeper.sweep()
    assert len(office.in_ehr()) == 1
    assert office.visit(second)["status"] == "confirmed"


def test_the_watch_leaves_what_the_front_desk_booked_later_alone(office: Office) -> None:
    first = lost_and_released(office)
    client = office.intakeq.state()["clients"][0]["ClientId"]
    later = to_ms(office.write(first)["sent_at"]) + 300_000
    office.intakeq.staff("create", appointment=make_visit(7, TEN, ClientId=client, DateCreated=later))
    for pause in WATCHES:
        office.clock.instant += pause
        office.sweeper.sweep()
    assert len(office.in_ehr()) == 1
    assert office.write(first)["state"] == "failed"


def test_a_late_visit_that_cannot_be_cancelled_is_left_to_staff(office: Office) -> None:
    first = lost_and_released(office)
    client = office.intakeq.state()["clients"][0]["ClientId"]
    sent = to_ms(office.write(first)["sent_at"])
    office.intakeq.staff("create", appointment=make_visit(7, TEN, ClientId=client, DateCreated=sent))
    office.intakeq.fail({"path": "/appointments/cancellation", "kind": "error_before", "status": 400, "times": 9})
    office.clock.instant += WATCHES[0]
    office.sweeper.sweep()
    assert (office.write(first)["state"], office.write(first)["last_error"]) == ("failed", "late_visit_needs_staff")


def test_a_write_that_had_to_wait_is_not_sent_over_somebody_else(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "429"})
    appointment_id = book(office)
    office.intakeq.fail()
    office.busy_in_mirror(PRACTITIONER, TEN)
    office.clock.advance(seconds=130)
    office.sweeper.sweep()
    assert office.visit(appointment_id)["status_reason"] == "slot_taken_in_ehr"
    assert (office.in_ehr(), office.claims(appointment_id)) == ([], set())


def test_one_write_that_raises_does_not_stop_the_others(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "429", "times": 2})
    first, second = book(office), book(office, start=TEN + timedelta(hours=2))
    office.intakeq.fail()
    office.clock.advance(seconds=130)
    carry, broken = type(office.saga).carry, office.write(first)["id"]

    def breaks_for_the_first(saga: Saga, write_id: UUID) -> bool:
        if write_id == broken:
            raise RuntimeError
        return carry(saga, write_id)

    monkeypatch.setattr(Saga, "carry", breaks_for_the_first)
    done = office.sweeper.sweep()
    assert (done["failed"], done["sent"], office.visit(second)["status"]) == (1, 1, "confirmed")


def test_a_look_while_the_request_may_still_travel_does_not_count(office: Office) -> None:
    appointment_id = office.accept(wanted())
    office.execute("update ehr_writes set state = 'sending', client_id = '1', sent_at = :now", now=office.clock.now())
    office.sweeper.sweep()
    assert office.write(appointment_id)["looks"] == 0
    for _ in range(2):
        office.clock.instant += BETWEEN_LOOKS
        office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "failed"


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_being_rotated_loses_no_booking(office: Office, status: int) -> None:
    office.intakeq.fail({"kind": "error_before", "status": status, "times": None})
    appointment_id = book(office)
    assert office.visit(appointment_id)["status"] == "pending"
    office.intakeq.fail()
    office.clock.advance(seconds=61)
    office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "confirmed"


def test_a_client_whom_the_ehr_no_longer_knows_is_looked_for_again(office: Office) -> None:
    first = book(office)
    office.execute("update patients set intakeq_client_id = '999999'")
    appointment_id = book(office, start=TEN + timedelta(hours=2))
    for _ in range(20):
        office.clock.advance(seconds=61)
        office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "confirmed"
    assert office.write(appointment_id)["client_id"] == office.write(first)["client_id"]


def test_a_merged_visit_is_looked_at_again_by_sync_and_is_no_conflict_with_itself(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "drop_after"})
    appointment_id = book(office)
    office.intakeq.fail()
    external_id, stranger = office.in_ehr()[0]["Id"], UUID(int=0x99)
    office.execute(
        'insert into appointments (id, patient_id, start, "end", status, system, created_at, updated_at) select'
        " :id, patient_id, start, \"end\", 'confirmed', 'intakeq', start, start from appointments",
        id=stranger,
    )
    office.execute(
        "insert into appointment_external_ids (account_id, external_id, appointment_id, applied_hash)"
        " values (:account, :external, :stranger, 'applied')",
        account=office.account_id, external=external_id, stranger=stranger,
    )  # fmt: skip
    office.execute(
        "insert into schedule_conflicts (id, appointment_id, account_id, external_id, state, created_at)"
        " values (:id, :visit, :account, :external, 'open', :now)",
        id=UUID(int=1), visit=appointment_id, account=office.account_id, external=external_id, now=TEN,
    )  # fmt: skip
    office.sweeper.sweep()
    assert office.rows("select appointment_id, applied_hash from appointment_external_ids") == [
        {"appointment_id": appointment_id, "applied_hash": None}
    ]
    assert office.rows("select 1 from schedule_conflicts") == []


def test_looks_that_fail_become_rare(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "drop_before"})
    appointment_id = book(office, start=TEN + timedelta(days=5))
    office.intakeq.fail({"method": "GET", "kind": "error_before", "times": None})
    office.intakeq.forget()
    for _ in range(180):
        office.clock.advance(seconds=60)
        office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "pending"
    assert len(office.intakeq.requests()) <= 3 * 9  # Three tries a look, ever longer apart.


def test_an_account_that_cannot_be_opened_loses_no_booking(office: Office) -> None:
    def closed(_: UUID) -> Ehr:
        raise RuntimeError("no secret")

    appointment_id = office.accept(wanted())
    replace(office.saga, ehr_of=closed).write(appointment_id)
    assert office.write(appointment_id)["state"] == "waiting"
    office.clock.advance(seconds=61)
    office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "confirmed"


def test_of_two_unanswered_bookings_of_a_patient_neither_takes_the_others_visit(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "drop_before"}, POST_VISIT | {"kind": "drop_after"})
    lost, landed = book(office), book(office, start=TEN + timedelta(hours=3))
    office.intakeq.fail()
    for _ in range(3):
        office.sweeper.sweep()
        office.clock.instant += BETWEEN_LOOKS
    assert (office.visit(lost)["status"], office.visit(landed)["status"]) == ("failed", "confirmed")
    assert office.write(landed)["external_id"] == office.in_ehr()[0]["Id"]


def test_the_watch_leaves_a_second_booking_alone_that_is_not_answered_yet(office: Office) -> None:
    first = lost_and_released(office)
    office.execute("update ehr_writes set sent_at = :now", now=office.clock.now())  # As close together as can be.
    office.intakeq.fail(POST_VISIT | {"kind": "drop_after"})
    second = book(office)
    office.intakeq.fail()
    later = office.clock.now() + timedelta(hours=1)
    office.execute("update ehr_writes set next_look_at = :later where appointment_id = :id", later=later, id=second)
    office.clock.instant += WATCHES[0]
    office.sweeper.sweep()
    assert len(office.in_ehr()) == 1
    assert office.write(first)["state"] == "watching"


def test_a_late_visit_that_staff_have_moved_is_not_cancelled(office: Office) -> None:
    first = lost_and_released(office)
    client = office.intakeq.state()["clients"][0]["ClientId"]
    sent = to_ms(office.write(first)["sent_at"])
    moved = make_visit(7, TEN + timedelta(hours=2), ClientId=client, DateCreated=sent)
    office.intakeq.staff("create", appointment=moved)
    office.clock.instant += WATCHES[0]
    office.sweeper.sweep()
    assert len(office.in_ehr()) == 1
    assert office.write(first)["last_error"] == "late_visit_needs_staff"


def test_a_visit_that_staff_moved_before_the_answer_came_is_still_ours(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "drop_after"})
    appointment_id = book(office)
    office.intakeq.fail()
    external_id = office.in_ehr()[0]["Id"]
    moved = to_ms(TEN + timedelta(hours=3))
    office.intakeq.staff("update", id=external_id, fields={"StartDate": moved})
    office.sweeper.sweep()
    assert (office.visit(appointment_id)["status"], office.write(appointment_id)["external_id"]) == (
        "confirmed",
        external_id,
    )


@pytest.mark.parametrize(
    ("attempts", "until_start", "expected"),
    [(0, 600, 1), (1, 600, 2), (3, 600, 8), (9, 6000, 60), (9, 120, 30), (9, 2, 1), (0, -5, 1), (9, -5, 60)],
)
def test_pauses_grow_and_leave_time_before_the_visit(attempts: int, until_start: int, expected: int) -> None:
    pause = growing(timedelta(minutes=1), attempts, timedelta(minutes=until_start))
    assert pause == timedelta(minutes=expected)


def test_watching_ends(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "drop_before"})
    appointment_id = book(office)
    office.intakeq.fail()
    for pause in (BETWEEN_LOOKS, BETWEEN_LOOKS, *WATCHES):
        office.sweeper.sweep()
        office.clock.instant += pause
    office.sweeper.sweep()
    assert office.write(appointment_id)["state"] == "failed"
    office.intakeq.forget()
    office.clock.advance(days=1)
    office.sweeper.sweep()
    assert office.intakeq.requests() == []


@pytest.mark.parametrize("account", [make_account(clients=[], fresh_client_seconds=10)])
def test_a_fresh_client_that_is_not_bookable_yet_is_booked_by_the_sweeper(office: Office) -> None:
    appointment_id = book(office)
    assert office.write(appointment_id)["last_error"] == "client_not_ready"
    office.clock.advance(seconds=11)
    office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "confirmed"


def test_without_budget_the_booking_waits_and_is_written_when_there_is_room(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = office.saga.ehr_of(office.account_id)

    def empty(*_: object) -> str:
        raise BudgetExhausted(30)

    with monkeypatch.context() as patch:
        patch.setattr(adapter, "client_for", empty)
        appointment_id = book(office)
    assert office.visit(appointment_id)["status"] == "pending"
    assert office.sweeper.sweep()["sent"] == 0
    office.clock.advance(seconds=31)
    assert office.sweeper.sweep()["sent"] == 1
    assert office.visit(appointment_id)["status"] == "confirmed"


@pytest.mark.parametrize("account", [make_account(clients=[], fresh_client_seconds=5)])
def test_who_books_waits_some_seconds_for_a_fresh_client(office: Office) -> None:
    def pause(seconds: float) -> bool:
        office.clock.advance(seconds=seconds)
        return True

    appointment_id = office.accept(wanted())
    replace(office.saga, pause=pause).write(appointment_id)
    assert office.visit(appointment_id)["status"] == "confirmed"


# Mother and child: one first name, one inbox.
@pytest.mark.parametrize("account", [make_account(clients=[make_client(1, DateOfBirth="1960-01-01")])])
def test_a_client_who_would_be_merged_into_another_person_waits_for_staff(office: Office) -> None:
    appointment_id = book(office)
    assert office.write(appointment_id)["last_error"] == "client_merged"
    assert office.visit(appointment_id)["status"] == "pending"
    mother = office.intakeq.state()["clients"][0]
    assert (mother["ClientId"], mother["DateOfBirth"]) == (1, to_ms(datetime(1960, 1, 1, tzinfo=UTC)))
    assert len(office.intakeq.state()["clients"]) == 1


def test_a_visit_that_could_not_be_written_before_its_start_is_released(office: Office) -> None:
    office.intakeq.fail(POST_VISIT | {"kind": "429", "times": 100})
    appointment_id = book(office)
    office.clock.instant = TEN
    office.sweeper.sweep()
    assert office.visit(appointment_id)["status_reason"] == "not_written_in_time"
    assert office.claims(appointment_id) == set()


@pytest.mark.parametrize("state", ["sending", "unknown"])
def test_a_process_that_died_after_the_ehrs_answer_is_made_good_by_one_sweep(office: Office, state: str) -> None:
    appointment_id = book(office)
    # Back to where a killed process leaves it: the EHR has the visit, this side does not know.
    office.execute("delete from appointment_external_ids")
    office.execute("update appointments set status = 'pending'")
    office.execute(f"update ehr_writes set state = '{state}', external_id = null, finished_at = null")
    office.saga.write(appointment_id)  # A repeated request does not send it again.
    assert len(office.in_ehr()) == 1
    office.sweeper.sweep()
    assert office.visit(appointment_id)["status"] == "confirmed"
    assert len(office.in_ehr()) == 1


def test_two_sweepers_beside_a_booking_do_no_harm(office: Office) -> None:
    appointment_id = office.accept(wanted())
    office.saga.write(appointment_id)
    office.saga.write(appointment_id)
    office.sweeper.sweep()
    office.sweeper.sweep()
    assert len(office.in_ehr()) == 1
    assert office.visit(appointment_id)["status"] == "confirmed"


def test_the_visit_coming_back_by_sync_first_is_merged_into_ours(office: Office) -> None:
    appointment_id = book(office)
    external = office.in_ehr()[0]["Id"]
    patient = office.visit(appointment_id)["patient_id"]
    stranger = UUID(int=0x99)
    office.execute("update appointments set status = 'pending'")
    office.execute("update ehr_writes set state = 'sending', external_id = null")
    office.execute(
        'insert into appointments (id, patient_id, start, "end", status, system, created_at, updated_at)'
        " values (:id, :patient, :start, :end, 'confirmed', 'intakeq', :start, :start)",
        id=stranger, patient=patient, start=TEN, end=TEN + timedelta(hours=1),
    )  # fmt: skip
    office.execute("update appointment_external_ids set appointment_id = :id", id=stranger)
    office.sweeper.sweep()
    assert [row["id"] for row in office.rows("select id from appointments")] == [appointment_id]
    assert [
        row["appointment_id"]
        for row in office.rows("select * from appointment_external_ids where external_id = :e", e=external)
    ] == [appointment_id]


def test_a_confirmation_that_comes_after_the_release_changes_nothing(office: Office) -> None:
    appointment_id = office.accept(wanted())
    found = office.saga.ehr_of(office.account_id).window(date(2027, 3, 11), date(2027, 3, 11), 1, Lane.BOOKING)
    assert found.visits == []
    with office.begin() as connection:
        write = Ledger(connection).of_appointment(appointment_id)
    assert write
    office.saga.release(write, "test", watch=WATCHES[0])
    other = office.accept(wanted(patient=somebody(1)))
    office.saga.write(other)
    late = office.saga.ehr_of(office.account_id).window(date(2027, 3, 11), date(2027, 3, 11), 1, Lane.BOOKING).visits[0]
    office.saga.confirm(write, replace(late, external_id="late"))
    assert office.visit(appointment_id)["status"] == "failed"
