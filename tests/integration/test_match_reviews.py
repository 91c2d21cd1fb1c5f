"""What people decide about doubtful clients of an EHR, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from moonlit.audit.store import Actor
from moonlit.db.engine import beginner, connect
from moonlit.sync.at_once import AtOnce
from moonlit.sync.errors import AlreadyDecided
from moonlit.sync.reviews import ReviewDecision, Reviews
from tests.fixtures_access import add_partner, add_staff, as_user
from tests.fixtures_booking import TEN
from tests.fixtures_functions import Functions, functions
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq
from tests.fixtures_mirror import (
    ADMIN,
    account_of,
    add_patient,
    as_admin,
    audited,
    pulled,
    seen,
    visits,
)

__all__ = ["functions", "open_intakeq", "start_intakeq"]

LIST, RESOLVE = "admin/match_reviews", "admin/resolve_match_review"
TWINS = "twins@example.org"


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


@pytest.fixture
def twins(functions: Functions, admin: UUID) -> tuple[UUID, UUID]:
    """Two patients with one address and birth date, whom three visits of client 7001 may be of."""
    ana, bea = add_patient(functions, "Ana", email=TWINS), add_patient(functions, "Bea", alternate_emails=[TWINS])
    day = timedelta(days=1)
    pulled(functions, seen(1, NOON - 3 * day, Status="Missed"), seen(2), seen(3, TEN + 7 * day))
    return ana, bea


def asked(functions: Functions) -> list[Any]:
    answer = functions.call("admin", as_admin(LIST))
    assert answer["statusCode"] == 200, answer["body"]
    return list(json.loads(answer["body"])["items"])


def the_question(functions: Functions) -> UUID:
    (item,) = asked(functions)
    return UUID(item["reviewId"])


def decide(functions: Functions, review_id: UUID, **decision: Any) -> tuple[int, Any]:
    event = as_admin(RESOLVE, json.dumps(decision, default=str), reviewId=review_id)
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def slug(said: Any) -> str:
    return str(said["type"]).rpartition("/")[2]


def owners(functions: Functions) -> dict[str, UUID | None]:
    rows = functions.rows("select external_id, patient_id from ehr_appointments")
    return {row["external_id"].lstrip("0"): row["patient_id"] for row in rows}


def number_of(functions: Functions, patient_id: UUID) -> Any:
    return functions.rows("select intakeq_client_id from patients where id = :id", id=patient_id)[0][
        "intakeq_client_id"
    ]


def test_a_question_shows_what_a_person_needs_and_who_saw_it_is_noted(
    functions: Functions, admin: UUID, twins: tuple[UUID, UUID]
) -> None:
    ana, bea = twins
    (item,) = asked(functions)
    assert UUID(item.pop("reviewId"))
    assert item == {
        "system": "intakeq",
        "reason": "several_candidates",
        "externalId": f"{1:024x}",
        "appointmentId": None,
        "client": {
            "clientId": "7001",
            "emails": [TWINS],
            "birthDates": ["1988-05-23"],
            "rowsWaiting": 3,
            "earliestStart": "2027-03-07T12:00:00-07:00",
            "nextStart": "2027-03-11T10:00:00-07:00",
        },
        "candidates": [
            {"patientId": str(ana), "name": "Ana Lund", "dateOfBirth": "1988-05-23"},
            {"patientId": str(bea), "name": "Bea Lund", "dateOfBirth": "1988-05-23"},
        ],
        "createdAt": "2027-03-10T12:00:00-07:00",
    }
    (read,) = audited(functions, "read")
    assert (read["entity"], set(read["patient_ids"]), read["actor_id"]) == ("match_review", {ana, bea}, admin)


@pytest.mark.parametrize("role", ["biller", "provider", "case_manager"])
def test_nobody_but_an_admin_sees_or_decides(functions: Functions, role: str, twins: tuple[UUID, UUID]) -> None:
    (add_partner if role == "case_manager" else add_staff)(functions, role, "s-1")
    for name in (LIST, RESOLVE):
        assert functions.call("admin", as_user(name, sub="s-1"))["statusCode"] == 403
    assert functions.rows("select 1 from audit_log where action <> 'refused'") == []


def test_questions_come_in_pages_the_oldest_first(functions: Functions, admin: UUID) -> None:
    add_patient(functions, email=TWINS, date_of_birth=None)
    for number in (3, 1, 2):
        functions.clock.advance(minutes=1)
        pulled(functions, seen(number, ClientId=number))
    pages, query = [], {"limit": "2"}
    while query.get("cursor") != "":
        said = json.loads(functions.call("admin", as_admin(LIST) | {"queryStringParameters": query})["body"])
        pages.append([item["client"]["clientId"] for item in said["items"]])
        query["cursor"] = said["nextCursor"] or ""
    assert pages == [["3", "1"], ["2"]]


def test_who_is_chosen_gets_all_rows_of_the_client_at_once(
    functions: Functions, admin: UUID, twins: tuple[UUID, UUID]
) -> None:
    _, bea = twins
    review_id = the_question(functions)
    status, said = decide(functions, review_id, patientId=bea)
    assert (status, said) == (
        200,
        {
            "reviewId": str(review_id),
            "state": "resolved",
            "patientId": str(bea),
            "decidedAt": "2027-03-10T12:00:00-07:00",
        },
    )
    assert set(owners(functions).values()) == {bea}
    held = visits(functions)
    assert {each["patient_id"] for each in held.values()} == {bea}
    assert {number: each["status"] for number, each in held.items()} == {
        "1": "no_show",
        "2": "confirmed",
        "3": "confirmed",
    }
    assert number_of(functions, bea) == "7001"
    assert asked(functions) == []
    (decision,) = audited(functions, "decide")
    assert (decision["actor_id"], decision["entity_id"], decision["patient_ids"]) == (admin, str(review_id), [bea])
    assert decision["before"] == {"state": "open", "reason": "several_candidates"}
    assert (decision["after"]["state"], decision["after"]["patientId"]) == ("resolved", str(bea))
    (line,) = functions.rows("select actor, details from patient_activity_log")
    assert (line["actor"], line["details"]["new"]) == (f"staff:{admin}", 3)
    functions.clock.advance(hours=1)
    assert decide(functions, review_id, patientId=bea) == (200, said)
    assert len(audited(functions, "decide")) == 1


def test_a_decision_stands(functions: Functions, twins: tuple[UUID, UUID]) -> None:
    ana, bea = twins
    review_id = the_question(functions)
    assert decide(functions, review_id, patientId=bea)[0] == 200
    for other in ({"patientId": ana}, {"dismiss": True}):
        status, said = decide(functions, review_id, **other)
        assert (status, slug(said)) == (409, "already-decided")
    assert {each["patient_id"] for each in visits(functions).values()} == {bea}


def test_a_client_who_is_nobody_is_not_asked_about_again_and_found_by_no_address(
    functions: Functions, twins: tuple[UUID, UUID]
) -> None:
    review_id = the_question(functions)
    status, said = decide(functions, review_id, dismiss=True)
    assert (status, said["state"], said["patientId"]) == (200, "dismissed", None)
    assert decide(functions, review_id, dismiss=True) == (200, said)
    # One twin is gone, so that the address and the birth date would fit the other alone.
    functions.execute("update patients set email = null where first_name = 'Ana'")
    pulled(functions, seen(4, TEN + timedelta(days=9)))
    assert set(owners(functions).values()) == {None}
    assert (asked(functions), visits(functions)) == ([], {})
    # A number that somebody enters is plain.
    functions.execute("update patients set intakeq_client_id = '7001' where first_name = 'Bea'")
    pulled(functions)
    assert set(owners(functions).values()) == {twins[1]}


def test_a_second_number_of_a_patient_is_not_learned_and_yet_brings_later_visits(
    functions: Functions, twins: tuple[UUID, UUID]
) -> None:
    ana, _ = twins
    functions.execute("update patients set intakeq_client_id = '1' where id = :id", id=ana)
    assert decide(functions, the_question(functions), patientId=ana)[0] == 200
    assert number_of(functions, ana) == "1"
    pulled(functions, seen(4, TEN + timedelta(days=9)))
    assert owners(functions)["4"] == ana
    assert asked(functions) == []


def test_a_client_who_is_somebody_by_now_is_nobody_elses(functions: Functions, twins: tuple[UUID, UUID]) -> None:
    ana, bea = twins
    review_id = the_question(functions)
    functions.execute("update patients set intakeq_client_id = '7001' where id = :id", id=ana)
    status, said = decide(functions, review_id, patientId=bea)
    assert (status, slug(said)) == (409, "client-taken")
    assert set(owners(functions).values()) == {None}
    assert [item["reviewId"] for item in asked(functions)] == [str(review_id)]
    assert audited(functions, "decide") == []
    assert decide(functions, review_id, patientId=ana)[0] == 200


def test_a_client_with_rows_of_somebody_is_nobody_elses(functions: Functions, twins: tuple[UUID, UUID]) -> None:
    ana, bea = twins
    review_id = the_question(functions)
    functions.execute("update ehr_appointments set patient_id = :id where status = 'no_show'", id=ana)
    assert slug(decide(functions, review_id, patientId=bea)[1]) == "client-taken"


def test_a_row_without_a_client_is_decided_alone(functions: Functions, admin: UUID) -> None:
    ana = add_patient(functions, email=TWINS, date_of_birth=None)
    add_patient(functions, "Bea", email="bea@example.org", date_of_birth=None)
    pulled(functions, seen(1, ClientId=None), seen(2, TEN + timedelta(days=1), ClientId=None))
    first, second = (UUID(item["reviewId"]) for item in sorted(asked(functions), key=lambda item: item["externalId"]))
    assert [item["client"]["rowsWaiting"] for item in asked(functions)] == [1, 1]
    assert decide(functions, first, patientId=ana)[0] == 200
    assert decide(functions, second, dismiss=True)[0] == 200
    pulled(functions, seen(2, TEN + timedelta(days=2), ClientId=None, LastModified=1_804_700_000_000))
    assert owners(functions) == {"1": ana, "2": None}
    assert (number_of(functions, ana), asked(functions)) == (None, [])


def test_of_two_people_who_decide_at_once_one_is_told_of_the_other(
    functions: Functions, admin: UUID, twins: tuple[UUID, UUID], database_url: str
) -> None:
    review_id = the_question(functions)

    def say(patient_id: UUID) -> str:
        engine = connect(database_url)
        try:
            reviews = Reviews(beginner(engine), functions.clock, ZoneInfo("UTC"))
            reviews.decide(review_id, ReviewDecision(patient_id=patient_id), Actor("staff", admin))
        except AlreadyDecided:
            return "told"
        finally:
            engine.dispose()
        return "decided"

    with ThreadPoolExecutor(2) as people:
        assert sorted(people.map(say, twins)) == ["decided", "told"]
    assert len(set(owners(functions).values())) == 1
    assert len(audited(functions, "decide")) == 1


@pytest.mark.parametrize("decision", [{}, {"dismiss": False}, {"dismiss": True, "patientId": UUID(int=1)}, {"x": 1}])
def test_a_decision_is_one_of_two(functions: Functions, twins: tuple[UUID, UUID], decision: Mapping[str, Any]) -> None:
    assert decide(functions, the_question(functions), **decision)[0] == 422


def test_what_is_not_there_is_not_found(functions: Functions, twins: tuple[UUID, UUID]) -> None:
    assert decide(functions, uuid4(), patientId=twins[0])[0] == 404
    assert decide(functions, the_question(functions), patientId=uuid4())[0] == 404
    assert len(asked(functions)) == 1


# ── A visit of one patient whose client is somebody else by now ───────────────────────────────────────────────────────


@pytest.fixture
def held(functions: Functions, admin: UUID) -> tuple[UUID, UUID]:
    """Dana's visit; in IntakeQ it is client 7002's by now, who has another visit too. Also another patient."""
    dana = add_patient(functions, "Dana", intakeq_client_id="4821")
    other = add_patient(functions, "Olga", email="olga@example.org", date_of_birth=None)
    pulled(functions, seen(1, ClientId=4821, ClientEmail=None))
    apply(functions, dana)
    day = timedelta(days=1)
    changed = seen(1, ClientId=7002, ClientEmail=None, LastModified=1_804_700_000_000)
    pulled(functions, changed, seen(2, TEN + day, ClientId=7002, ClientEmail=None))
    apply(functions, dana)
    return dana, other


def apply(functions: Functions, patient_id: UUID) -> None:
    AtOnce(functions.begin, functions.clock).apply("intakeq", [str(patient_id)], "webhook", {})


def test_the_question_names_the_visit_and_its_patient(functions: Functions, held: tuple[UUID, UUID]) -> None:
    (item,) = asked(functions)
    assert (item["reason"], item["appointmentId"]) == ("client_changed", str(visits(functions)["1"]["id"]))
    assert [candidate["name"] for candidate in item["candidates"]] == ["Dana Lund"]
    assert item["client"]["rowsWaiting"] == 2


def test_a_changed_client_who_is_the_same_patient_gets_all_visits(
    functions: Functions, held: tuple[UUID, UUID]
) -> None:
    dana, _ = held
    assert decide(functions, the_question(functions), patientId=dana)[0] == 200
    assert {number: each["patient_id"] for number, each in visits(functions).items()} == {"1": dana, "2": dana}
    assert number_of(functions, dana) == "4821"  # One is known already.
    pulled(functions, seen(3, TEN + timedelta(days=3), ClientId=7002, ClientEmail=None))
    assert owners(functions)["3"] == dana


def test_a_changed_client_who_is_another_patient_takes_no_visit_away(
    functions: Functions, held: tuple[UUID, UUID]
) -> None:
    dana, other = held
    assert decide(functions, the_question(functions), patientId=other)[0] == 200
    assert {number: each["patient_id"] for number, each in visits(functions).items()} == {"1": dana, "2": other}
    assert number_of(functions, other) == "7002"
    apply(functions, dana)
    assert asked(functions) == []


def test_a_dismissed_change_leaves_the_visit_and_asks_no_more(functions: Functions, held: tuple[UUID, UUID]) -> None:
    dana, _ = held
    assert decide(functions, the_question(functions), dismiss=True)[0] == 200
    apply(functions, dana)
    assert asked(functions) == []
    assert visits(functions)["1"]["patient_id"] == dana


def test_a_client_who_becomes_known_leaves_the_question_about_somebody_elses_visit_open(
    functions: Functions, held: tuple[UUID, UUID]
) -> None:
    _, other = held
    functions.execute("update patients set intakeq_client_id = '7002' where id = :id", id=other)
    pulled(functions)
    assert owners(functions)["2"] == other
    assert [item["reason"] for item in asked(functions)] == ["client_changed"]


def test_a_doubt_and_a_change_about_one_client_are_two_questions_closed_each_by_its_answer(
    functions: Functions, held: tuple[UUID, UUID]
) -> None:
    _, other = held
    told = {"ClientId": 7002, "ClientEmail": "olga@example.org"}
    pulled(functions, seen(3, TEN + timedelta(days=3), **told))
    reasons = {item["reason"]: UUID(item["reviewId"]) for item in asked(functions)}
    assert set(reasons) == {"client_changed", "birth_date_differs"}
    assert decide(functions, reasons["birth_date_differs"], patientId=other)[0] == 200
    assert [item["reason"] for item in asked(functions)] == ["client_changed"]


def test_questions_about_one_client_are_closed_together_when_the_answer_is_the_same(
    functions: Functions, held: tuple[UUID, UUID]
) -> None:
    dana, _ = held
    told = {"ClientId": 7002, "ClientEmail": "olga@example.org"}
    pulled(functions, seen(3, TEN + timedelta(days=3), **told))
    reasons = {item["reason"]: UUID(item["reviewId"]) for item in asked(functions)}
    assert decide(functions, reasons["birth_date_differs"], patientId=dana)[0] == 200
    assert asked(functions) == []
    (decision,) = audited(functions, "decide")
    assert decision["after"]["alsoClosed"] == [str(reasons["client_changed"])]
    assert decide(functions, reasons["client_changed"], patientId=dana)[0] == 200
    assert account_of(functions)
