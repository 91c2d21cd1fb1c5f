"""What an EHR's free fields say of insurances, from the row to the decision, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db.engine import connect
from moonlit.sync.at_once import AtOnce
from tests.fixtures_access import add_staff, as_user
from tests.fixtures_booking import INSTANCE, NEW_PAYER, PAYER, TEN
from tests.fixtures_functions import Functions, functions
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, add_patient, as_admin, audited, pulled, seen, visits

__all__ = ["functions", "open_intakeq", "start_intakeq"]

LIST, RESOLVE = "admin/insurance_proposals", "admin/resolve_insurance_proposal"


def fields(payer: str = "cedar health", member: str = "W-142", group: str | None = "77") -> list[dict[str, Any]]:
    told = {"Insurance Company": payer, "Member ID": member, "Group #": group}
    return [{"FieldId": f"x-{name}", "Text": name, "Value": value} for name, value in told.items() if value]


@pytest.fixture
def ana(functions: Functions) -> UUID:
    """Ana has three visits of IntakeQ's, one of them over; each tells the same insurance."""
    add_staff(functions, "admin", ADMIN)
    patient_id = add_patient(functions, intakeq_client_id="7001")
    days = (-3, 1, 8)
    pulled(functions, *(seen(n, NOON + timedelta(days=day), CustomFields=fields()) for n, day in enumerate(days, 1)))
    AtOnce(functions.begin, functions.clock).apply("intakeq", [str(patient_id)], "webhook", {})
    assert len(visits(functions)) == 3
    return patient_id


def listed(functions: Functions) -> list[Any]:
    answer = functions.call("admin", as_admin(LIST))
    assert answer["statusCode"] == 200, answer["body"]
    return list(json.loads(answer["body"])["items"])


def the_proposal(functions: Functions) -> UUID:
    (item,) = listed(functions)
    return UUID(item["proposalId"])


def decide(functions: Functions, proposal_id: UUID, **decision: Any) -> tuple[int, Any]:
    event = as_admin(RESOLVE, json.dumps(decision, default=str), proposalId=proposal_id)
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def known(functions: Functions) -> dict[str, tuple[Any, Any]]:
    return {number: (each["payer_id"], each["insurance"]) for number, each in visits(functions).items()}


def test_rows_that_tell_the_same_make_one_proposal(functions: Functions, ana: UUID) -> None:
    (item,) = listed(functions)
    assert UUID(item.pop("proposalId"))
    assert item == {
        "system": "intakeq",
        "externalId": f"{3:024x}",
        "patientId": str(ana),
        "patientName": "Ana Lund",
        "payerName": "cedar health",
        "memberId": "W-142",
        "groupNumber": "77",
        "payerId": str(PAYER),
        "createdAt": "2027-03-10T12:00:00-07:00",
    }
    (read,) = audited(functions, "read")
    assert (read["entity"], read["patient_ids"]) == ("insurance_proposal", [ana])
    assert set(known(functions).values()) == {(None, None)}  # Nothing is taken over by itself.
    pulled(functions, seen(4, TEN, CustomFields=fields("CEDAR HEALTH")))
    assert len(listed(functions)) == 1
    functions.clock.advance(minutes=1)
    pulled(functions, seen(5, TEN, CustomFields=fields("Dune Mutual", "D-9", None)))
    assert [item["payerId"] for item in listed(functions)] == [str(PAYER), str(NEW_PAYER)]


def test_rows_of_nobody_tell_nothing_until_they_are_somebodys(functions: Functions) -> None:
    add_staff(functions, "admin", ADMIN)
    pulled(functions, seen(1, CustomFields=fields("An Unknown Payer")))
    assert listed(functions) == []
    add_patient(functions, intakeq_client_id="7001")
    pulled(functions)
    (item,) = listed(functions)
    assert (item["payerName"], item["payerId"]) == ("An Unknown Payer", None)


@pytest.mark.parametrize("patients", [2, 40])
def test_proposals_take_as_many_statements_for_few_as_for_many(functions: Functions, patients: int) -> None:
    for number in range(patients):
        add_patient(functions, intakeq_client_id=str(number))
    rows = [seen(number, ClientId=number, CustomFields=fields(member=f"W-{number}")) for number in range(patients)]
    statements: list[str] = []
    with functions.begin() as connection:
        engine = connection.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    pulled(functions, *rows)
    assert functions.rows("select count(*) as found from insurance_proposals") == [{"found": patients}]
    assert len([each for each in statements if "insurance_proposals" in each]) == 3  # One of them counts.


@pytest.mark.parametrize("role", ["biller", "provider"])
def test_nobody_but_an_admin_may(functions: Functions, role: str) -> None:
    add_staff(functions, role, "s-1")
    for name in (LIST, RESOLVE):
        assert functions.call("admin", as_user(name, sub="s-1"))["statusCode"] == 403


def test_accepting_fills_what_coming_visits_do_not_know(functions: Functions, ana: UUID) -> None:
    proposal_id = the_proposal(functions)
    status, said = decide(functions, proposal_id, accept=True)
    assert (status, said["state"], said["payerId"]) == (200, "accepted", str(PAYER))
    assert said["decidedAt"] == "2027-03-10T12:00:00-07:00"
    insurance = {"member_id": "W-142", "group_number": "77"}
    assert known(functions) == {"1": (None, None), "2": (PAYER, insurance), "3": (PAYER, insurance)}
    # With the payer known, the EHR's service tells which instance of ours it is.
    assert [visits(functions)[number]["service_instance_id"] for number in "123"] == [None, INSTANCE, INSTANCE]
    assert listed(functions) == []
    (change,) = audited(functions, "decide")
    assert (change["entity"], change["patient_ids"]) == ("insurance_proposal", [ana])
    assert change["before"] == {"state": "open", "payerId": str(PAYER)}
    held = visits(functions)
    assert sorted(change["after"].pop("appointmentIds")) == sorted(str(held[number]["id"]) for number in "23")
    assert change["after"] == {"state": "accepted", "payerId": str(PAYER)}
    assert decide(functions, proposal_id, accept=True) == (200, said)
    assert decide(functions, proposal_id, dismiss=True)[0] == 409
    assert decide(functions, proposal_id, accept=True, payerId=NEW_PAYER)[0] == 409
    pulled(functions, seen(9, TEN, CustomFields=fields()))
    assert listed(functions) == []


def test_what_a_booking_gave_stays(functions: Functions, ana: UUID) -> None:
    functions.execute("""
        update appointments set payer_id = :payer from appointment_external_ids x
        where x.appointment_id = id and x.external_id like '%2'""", payer=NEW_PAYER)  # fmt: skip
    functions.execute("""
        update appointments set payer_id = :payer, insurance = '{"member_id": "given"}'
        from appointment_external_ids x where x.appointment_id = id and x.external_id like '%3'""", payer=PAYER)  # fmt: skip
    before = known(functions)
    assert decide(functions, the_proposal(functions), accept=True)[0] == 200
    assert known(functions) == before
    assert audited(functions, "decide")[0]["after"]["appointmentIds"] == []


def test_a_payer_that_nobody_recognized_is_named_by_who_accepts(functions: Functions, ana: UUID) -> None:
    functions.execute("update insurance_proposals set payer_id = null")
    proposal_id = the_proposal(functions)
    status, said = decide(functions, proposal_id, accept=True)
    assert (status, said["errors"]) == (422, [{"pointer": "/payerId", "code": "missing"}])
    assert decide(functions, proposal_id, accept=True, payerId=uuid4())[0] == 404
    assert (audited(functions, "decide"), the_proposal(functions)) == ([], proposal_id)
    assert decide(functions, proposal_id, accept=True, payerId=PAYER)[0] == 200
    assert known(functions)["2"][0] == PAYER


def test_a_payer_alone_is_a_payer_alone(functions: Functions, ana: UUID) -> None:
    functions.execute("update insurance_proposals set member_id = null")
    assert decide(functions, the_proposal(functions), accept=True)[0] == 200
    assert known(functions)["2"] == (PAYER, None)


# ── Visits that come later ────────────────────────────────────────────────────────────────────────────────────────────


def come(functions: Functions, patient_id: UUID, *numbers: int, start: datetime = TEN + timedelta(days=2)) -> None:
    """Have visits pulled and applied, and then the next pull."""
    pulled(functions, *(seen(number, start + timedelta(hours=number), CustomFields=fields()) for number in numbers))
    for _ in range(2):
        AtOnce(functions.begin, functions.clock).apply("intakeq", [str(patient_id)], "webhook", {})
        pulled(functions)
    AtOnce(functions.begin, functions.clock).apply("intakeq", [str(patient_id)], "webhook", {})


def test_what_was_accepted_goes_to_visits_that_come_later(functions: Functions, ana: UUID) -> None:
    decide(functions, the_proposal(functions), accept=True)
    before = known(functions)
    come(functions, ana, 4)
    come(functions, ana, 5, start=NOON - timedelta(days=2))  # It is over.
    other = add_patient(functions, "Bo", intakeq_client_id="7002")
    pulled(functions, seen(6, TEN + timedelta(days=3), ClientId=7002, ClientEmail="bo@example.org"))
    come(functions, other)
    insurance = {"member_id": "W-142", "group_number": "77"}
    assert known(functions) == before | {"4": (PAYER, insurance), "5": (None, None), "6": (None, None)}
    assert visits(functions)["4"]["service_instance_id"] == INSTANCE
    assert listed(functions) == []


def test_what_a_later_visit_knows_already_stays(functions: Functions, ana: UUID) -> None:
    decide(functions, the_proposal(functions), accept=True)
    with functions.begin() as connection:
        held = (
            connection.execute(sa.text("select id from appointments where start > :now"), {"now": NOON}).scalars().all()
        )
    one, other = held
    given = '{"member_id": "given"}'
    functions.execute(
        "update appointments set payer_id = :payer, insurance = null where id = :id", payer=NEW_PAYER, id=one
    )
    functions.execute("update appointments set payer_id = null, insurance = cast(:v as jsonb) where id = :id", v=given, id=other)  # fmt: skip
    before = known(functions)
    come(functions, ana)
    assert known(functions) == before


def test_the_latest_word_counts_and_a_dismissal_is_none(functions: Functions, ana: UUID) -> None:
    decide(functions, the_proposal(functions), accept=True)
    for member, decision in (("W-200", {"accept": True}), ("W-300", {"dismiss": True})):
        functions.clock.advance(minutes=1)
        pulled(functions, seen(3, NOON + timedelta(days=8), CustomFields=fields(member=member), LastModified=0))
        functions.execute("update ehr_appointments set insurance = jsonb_set(insurance, '{member_id}', to_jsonb(cast(:m as text)))"
                          " where external_id like '%3'", m=member)  # fmt: skip
        pulled(functions)
        decide(functions, the_proposal(functions), **decision)
    come(functions, ana, 4)
    assert known(functions)["4"] == (PAYER, {"member_id": "W-200", "group_number": "77"})


def test_a_visit_that_somebody_is_changing_is_left_to_the_next_pull(
    functions: Functions, ana: UUID, database_url: str
) -> None:
    decide(functions, the_proposal(functions), accept=True)
    functions.execute("update appointments set payer_id = null, insurance = null where start > :now", now=NOON)
    engine = connect(database_url)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("select 1 from appointments for update"))
            pulled(functions)
            assert set(known(functions).values()) == {(None, None)}
        pulled(functions)
        assert {number for number, (payer, _) in known(functions).items() if payer} == {"2", "3"}
    finally:
        engine.dispose()


def test_what_is_dismissed_does_not_come_back(functions: Functions, ana: UUID) -> None:
    proposal_id = the_proposal(functions)
    status, said = decide(functions, proposal_id, dismiss=True)
    assert (status, said["state"]) == (200, "dismissed")
    assert decide(functions, proposal_id, dismiss=True) == (200, said)
    assert decide(functions, proposal_id, accept=True)[0] == 409
    pulled(functions, seen(9, TEN, CustomFields=fields()))
    assert listed(functions) == []
    assert set(known(functions).values()) == {(None, None)}


@pytest.mark.parametrize(
    "decision", [{}, {"accept": False}, {"accept": True, "dismiss": True}, {"dismiss": True, "payerId": UUID(int=1)}]
)
def test_a_decision_is_one_of_two(functions: Functions, ana: UUID, decision: Mapping[str, Any]) -> None:
    assert decide(functions, the_proposal(functions), **decision)[0] == 422


def test_a_proposal_that_is_not_there_is_not_found(functions: Functions, ana: UUID) -> None:
    assert decide(functions, uuid4(), accept=True)[0] == 404
