"""At the desk: who serves when somebody is taken, what a key means, who may come back, and what nobody is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from moonlit.booking import errors, tokens
from moonlit.booking.tokens import VALID_AFTER_VISIT, TokenRefused
from moonlit.booking.wanted import Overrule
from moonlit.errors import NotFound
from tests.fixtures_booking import NEW_PAYER, TEN, somebody, wanted
from tests.fixtures_ehrs import HOUR
from tests.fixtures_house import CALLER, TOKEN_KEY, House, offered

ANYBODY: dict[str, Any] = {"provider_id": None}
EVERYONE = 4


def only_this_side(house: House) -> None:
    """Leave the two providers of this EHR."""
    house.execute(
        "update providers set active = false where id in (:one, :two)",
        one=house.other_side.provider,
        two=house.other_side.colleague,
    )


# ── Somebody else at the same time ────────────────────────────────────────────────────────────────────────────────────


def test_the_next_provider_serves_when_the_first_is_taken_here(house: House) -> None:
    seen = [house.book(patient=somebody(number), **ANYBODY).provider for number in range(EVERYONE)]
    assert len({one.id for one in seen if one}) == EVERYONE
    with pytest.raises(errors.SlotTaken) as refused:
        house.book(patient=somebody(9), **ANYBODY)
    assert TEN.isoformat() not in [one["start"] for one in offered(refused.value)]


def test_the_next_provider_serves_when_only_the_ehr_knows_that_the_first_is_taken(house: House) -> None:
    only_this_side(house)
    house.side.fail("book", "error_before", status=409)
    booked = house.book(key="one", body="body", **ANYBODY)
    assert booked.provider
    assert (booked.status, booked.provider.id) == ("confirmed", house.side.colleague)
    assert house.owners() == {booked.appointment_id}
    assert sorted(row["status"] for row in house.rows("select status from appointments")) == ["confirmed", "failed"]
    house.settle()
    assert len(house.side.standing()) == 1
    again = house.book(key="one", body="body", **ANYBODY)
    assert again.appointment_id == booked.appointment_id
    assert len(house.side.standing()) == 1


def test_the_next_provider_may_be_in_the_other_ehr(house: House) -> None:
    for side in house.sides.values():
        house.execute("update providers set active = false where id = :id", id=side.colleague)
    first, second = sorted(house.sides.values(), key=lambda side: str(side.provider))
    first.fail("book", "error_before", status=409)
    booked = house.book(**ANYBODY)
    assert booked.provider
    assert (booked.status, booked.ehr.system, booked.provider.id) == ("confirmed", second.system, second.provider)


def test_one_booking_that_needed_two_tries_counts_once(house: House) -> None:
    only_this_side(house)
    house.side.fail("book", "error_before", status=409)
    house.book(caller=CALLER, **ANYBODY)
    assert house.rows("select kind, uses from public_uses") == [{"kind": "booking", "uses": 1}]


def test_when_everybody_is_taken_in_the_ehr_it_is_told_and_nothing_is_left(house: House) -> None:
    only_this_side(house)
    house.side.fail("book", "error_before", times=2, status=409)
    with pytest.raises(errors.SlotTaken) as refused:
        house.book(**ANYBODY)
    assert offered(refused.value)
    assert house.rows("select 1 from time_claims") == []
    assert {row["state"] for row in house.rows("select state from ehr_writes")} == {"failed"}


def test_who_was_asked_for_by_name_is_not_replaced(house: House) -> None:
    house.side.fail("book", "error_before", status=409)
    with pytest.raises(errors.SlotTaken):
        house.book()
    assert house.side.asked("book") == 1


def test_an_ehr_that_refuses_for_a_reason_of_its_own_is_not_asked_again(house: House) -> None:
    only_this_side(house)
    house.side.fail("book", "error_before", status=400)
    with pytest.raises(errors.EhrRefusedBooking) as refused:
        house.book(**ANYBODY)
    assert offered(refused.value)
    assert house.side.asked("book") == 1


def test_every_refusal_offers_what_is_free(house: House) -> None:
    house.book()
    for changes, refusal in (
        ({"patient": somebody(1)}, errors.SlotTaken),
        ({"provider_id": house.side.colleague}, errors.PatientOverlap),
        ({"start": TEN + 12 * HOUR}, errors.SlotNotOffered),
        ({"start": TEN + timedelta(microseconds=1)}, errors.SlotNotOffered),
        ({"payer_id": NEW_PAYER}, errors.PayerNotAccepted),
        ({"state": "NV"}, errors.ProviderNotEligible),
    ):
        with pytest.raises(refusal) as refused:
            house.book(**changes)
        instead = offered(refused.value)
        assert bool(instead) is (refusal not in {errors.PayerNotAccepted, errors.ProviderNotEligible})
        for one in instead:
            assert set(one) == {"start", "end", "providerIds"}


def test_what_is_offered_instead_can_be_booked(house: House) -> None:
    house.book()
    with pytest.raises(errors.SlotTaken) as refused:
        house.book(patient=somebody(1))
    for number, one in enumerate(offered(refused.value)):
        start = house.clock.now().fromisoformat(one["start"])
        house.accept(wanted(start, provider_id=UUID(one["providerIds"][-1]), patient=somebody(10 + number)))
        house.execute(
            "delete from time_claims where appointment_id in (select id from appointments where status = 'pending')"
        )


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_key_and_body_is_the_same_visit_and_asks_nobody(house: House) -> None:
    first = house.book(key="one", body="body")
    house.side.server.forget()
    assert house.book(key="one", body="body") == first
    assert house.side.server.requests() == []
    with pytest.raises(errors.IdempotencyKeyReused):
        house.book(TEN + 2 * HOUR, key="one", body="other body")


def test_a_repetition_of_what_is_under_way_is_pending_too_and_sends_nothing(house: House) -> None:
    house.side.fail("book", "drop_after")
    first = house.book(key="one", body="body")
    again = house.book(key="one", body="body")
    assert (first.status, again.status, again.appointment_id) == ("pending", "pending", first.appointment_id)
    assert house.side.asked("book") == 1
    house.settle()
    assert house.book(key="one", body="body").status == "confirmed"
    assert len(house.side.standing()) == 1


def test_a_repetition_of_what_was_refused_is_refused_again(house: House) -> None:
    house.side.fail("book", "error_before", status=409)
    for _ in range(2):
        with pytest.raises(errors.SlotTaken):
            house.book(key="one", body="body")
    assert house.side.asked("book") == 1


def test_a_repetition_after_a_move_or_a_cancellation_shows_what_became_of_it(house: House) -> None:
    first = house.book(key="one", body="body")
    house.move(first.appointment_id, TEN + 3 * HOUR)
    assert house.book(key="one", body="body").start == TEN + 3 * HOUR
    house.cancel(first.appointment_id)
    assert house.book(key="one", body="body").status == "cancelled"
    house.settle()
    assert house.side.standing() == []


# ── Tokens ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_visits_token_opens_that_visit_and_no_other(house: House) -> None:
    mine, other = house.book(), house.book(TEN + 3 * HOUR, patient=somebody(1))
    house.desk.check(mine.appointment_id, mine.manage_token)
    for token in (other.manage_token, None, "", "x", f"{mine.manage_token}x", str(mine.manage_token)[:-2]):
        with pytest.raises(TokenRefused):
            house.desk.check(mine.appointment_id, token)
    with pytest.raises(TokenRefused):  # Whether there is such a visit is nobody's business.
        house.desk.check(uuid4(), mine.manage_token)


def test_a_token_signed_by_somebody_else_or_for_something_else_opens_nothing(house: House) -> None:
    booked = house.book()
    forged = tokens.issue("f" * 32, booked.appointment_id, booked.end)
    with pytest.raises(TokenRefused):
        house.desk.check(booked.appointment_id, forged)
    unsigned = "eyJhbGciOiJub25lIn0." + str(booked.manage_token).split(".")[1] + "."
    with pytest.raises(TokenRefused):
        house.desk.check(booked.appointment_id, unsigned)


def test_a_token_ends_with_the_visit_and_some_weeks(house: House) -> None:
    booked = house.book()
    end = booked.end.astimezone(UTC)
    token = tokens.issue(TOKEN_KEY, booked.appointment_id, end)
    assert token == booked.manage_token
    house.clock.instant = end + VALID_AFTER_VISIT - timedelta(seconds=1)
    house.desk.check(booked.appointment_id, token)
    house.clock.advance(seconds=1)
    with pytest.raises(TokenRefused):
        house.desk.check(booked.appointment_id, token)


def test_a_token_opens_a_visit_that_was_moved_by_weeks_until_that_is_over(house: House) -> None:
    booked = house.book()
    house.move(booked.appointment_id, TEN + timedelta(days=49) - HOUR)  # On summer time.
    house.clock.instant = TEN + timedelta(days=48)
    house.desk.check(booked.appointment_id, booked.manage_token)
    house.clock.instant += timedelta(days=1) + VALID_AFTER_VISIT
    with pytest.raises(TokenRefused):
        house.desk.check(booked.appointment_id, booked.manage_token)


# ── What nobody is told ───────────────────────────────────────────────────────────────────────────────────────────────


def test_showing_a_visit_changes_nothing(house: House) -> None:
    house.side.fail("book", "drop_before")
    booked = house.book()
    before = {
        table: house.rows(f"select * from {table} order by 1")
        for table in ("appointments", "ehr_writes", "time_claims")
    }
    house.side.server.forget()
    house.clock.advance(minutes=5)
    assert house.desk.show(booked.appointment_id).manage_token is None
    house.desk.calendar(booked.appointment_id)
    assert {table: house.rows(f"select * from {table} order by 1") for table in before} == before
    assert house.side.server.requests() == []
    with pytest.raises(NotFound):
        house.desk.show(uuid4())


def test_the_answer_does_not_tell_whether_the_patient_was_known(house: House) -> None:
    """A stored patient's own zone, names and addresses stay where they are."""
    known = house.book()
    house.execute("update patients set timezone = 'America/New_York', first_name = 'DANA', email = 'old@example.org'")
    again = house.book(TEN + 3 * HOUR)
    new = house.book(
        TEN + 5 * HOUR,
        patient=replace(house.wanted().patient, first_name="Dara", phone="8015550177", email="dara.w@example.org"),
    )
    people = house.rows(
        "select patient_id from appointments where id in (:a, :b)", a=known.appointment_id, b=again.appointment_id
    )
    assert len({row["patient_id"] for row in people}) == 1
    told = [
        one.model_dump(exclude={"appointment_id", "start", "end", "ehr", "manage_token", "meeting_url"})
        for one in (again, new)
    ]
    assert told[0] == told[1]
    assert again.timezone == "America/Denver"


def test_staff_let_a_patient_have_two_visits_at_once_and_it_stands_in_the_timeline(house: House) -> None:
    house.book()
    staff_id = uuid4()
    with pytest.raises(errors.PatientOverlap):
        house.book(provider_id=house.side.colleague, by_staff=True)
    second = house.book(
        provider_id=house.side.colleague, by_staff=True, overrule=Overrule(staff_id, "group, then single")
    )
    assert second.status == "confirmed"
    (row,) = house.rows("select * from patient_activity_log")
    assert (row["kind"], row["actor"], row["at"]) == ("overlap_overruled", f"staff:{staff_id}", house.clock.now())
    assert row["details"] == {"appointmentId": str(second.appointment_id), "reason": "group, then single"}
    with pytest.raises(errors.SlotTaken):  # It is the patient's time that may be given twice, not the provider's.
        house.book(by_staff=True, overrule=Overrule(staff_id, "again"), patient=somebody(1))


def test_staff_need_not_give_notice(house: House) -> None:
    house.clock.instant = TEN - timedelta(minutes=30)
    house.read_slots()
    with pytest.raises(errors.SlotNotOffered):
        house.book()
    assert house.book(by_staff=True).status == "confirmed"
