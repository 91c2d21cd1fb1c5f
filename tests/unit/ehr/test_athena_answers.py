"""Answers that no simulator gives by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from moonlit.ehr.athena import Athena
from moonlit.ehr.athena_calls import refusal_code
from moonlit.ehr.http import EhrHttp, open_client
from moonlit.ehr.port import EhrError, EhrLockedOut, EhrOutcomeUnknown, EhrRefused, EhrUnavailable, Lane, Move, NewVisit
from tests.fixtures_intakeq import NOON, OpenBudget

DEPARTMENTS = {"departments": [{"departmentid": "1", "name": "Clinic", "timezonename": "US/Mountain"}], "totalcount": 1}
ROW = {
    "appointmentid": "2001",
    "appointmentstatus": "f",
    "date": "03/10/2027",
    "starttime": "12:00",
    "duration": "30",
    "patientid": "7",
    "departmentid": "1",
    "providerid": "71",
}
VISIT = NewVisit("71", "7", "962", "1", NOON, "2001")

type Answers = dict[str, Any]
type Open = Callable[[Answers], Athena]


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def open_athena(asked: list[str]) -> Iterator[Open]:
    """Return what opens the adapter on answers by the last part of the path."""
    opened: list[Athena] = []

    def start(answers: Answers) -> Athena:
        def answer(request: httpx.Request) -> httpx.Response:
            name = request.url.path.rpartition("/")[2]
            asked.append(f"{request.method} {name}")
            given = ({"departments": DEPARTMENTS} | answers)[name]
            return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

        client = open_client("http://ehr.example.org/v1/195900", {}, httpx.MockTransport(answer))
        opened.append(
            Athena(EhrHttp(client, OpenBudget(), refusal_code=refusal_code, form=True), ZoneInfo("US/Mountain"))
        )
        return opened[-1]

    yield start
    for ehr in opened:
        ehr.close()


def raised_by(work: Callable[[], object]) -> EhrError:
    with pytest.raises(EhrError) as raised:
        work()
    return raised.value


@pytest.mark.parametrize(
    "answer",
    [
        [ROW | {"patientid": "8"}],
        [ROW | {"appointmentid": "2002"}],
        [ROW | {"appointmentstatus": "o"}],
        [ROW | {"appointmentstatus": "x"}],
        [ROW | {"errormessage": "odd"}],
        [],
        {"success": False, "errormessage": "odd"},
        1,
    ],
)
def test_a_booking_that_answers_something_else_has_to_be_read_back(open_athena: Open, answer: Any) -> None:
    assert open_athena({"2001": [ROW]}).book(VISIT, Lane.BOOKING).external_id == "2001"
    assert type(raised_by(lambda: open_athena({"2001": answer}).book(VISIT, Lane.BOOKING))) is EhrOutcomeUnknown


def test_a_booking_is_not_sent_while_its_answer_could_not_be_read(open_athena: Open, asked: list[str]) -> None:
    ehr = open_athena({"departments": httpx.Response(403, json={"error": "no"}), "2001": [ROW]})
    assert type(raised_by(lambda: ehr.book(VISIT, Lane.BOOKING))) is EhrLockedOut
    assert asked == ["GET departments"]


@pytest.mark.parametrize("answer", [[ROW], [{}], {"success": False}, "1"])
def test_a_move_that_answers_something_else_has_to_be_read_back(open_athena: Open, answer: Any) -> None:
    ehr = open_athena({"reschedule": answer, "3001": [ROW | {"appointmentid": "3001"}]})
    move = Move("2001", "7", None, NOON, "3001")
    assert type(raised_by(lambda: ehr.reschedule(move, Lane.BOOKING))) is EhrOutcomeUnknown


@pytest.mark.parametrize("answer", [{"status": "f"}, {}, [{"status": "x"}], 1])
def test_a_cancellation_that_answers_something_else_has_to_be_read_back(open_athena: Open, answer: Any) -> None:
    ehr = open_athena({"cancel": answer})
    assert type(raised_by(lambda: ehr.cancel("2001", "7", "", Lane.BOOKING))) is EhrOutcomeUnknown


@pytest.mark.parametrize("answer", [[], [ROW, ROW], {}, [None], ["text"]])
def test_what_is_no_array_of_one_is_unreadable(open_athena: Open, answer: Any) -> None:
    refused = raised_by(lambda: open_athena({"2001": answer}).visit("2001", Lane.WEBHOOK))
    assert isinstance(refused, EhrRefused)
    assert refused.code == "unreadable"


def test_a_row_that_makes_no_sense_is_named_and_the_others_are_read(open_athena: Open) -> None:
    odd = [ROW | {"appointmentid": 5, "duration": "0"}, ROW | {"appointmentid": "6", "departmentid": "9"}, None]
    ehr = open_athena({"multipledepartment": {"appointments": [ROW, *odd, ROW | {"appointmentstatus": "o"}]}})
    page = ehr.changed_since(date(2027, 3, 1), 1, Lane.NIGHTLY)
    assert [visit.external_id for visit in page.visits] == ["2001"]
    assert page.unreadable == ["5", "6", ""]
    refused = raised_by(lambda: ehr.visits_of_practitioner("71", date(2027, 3, 10), date(2027, 3, 10), Lane.BOOKING))
    assert isinstance(refused, EhrRefused)
    assert refused.code == "unreadable"


def test_a_department_that_is_not_there_is_looked_for_once(open_athena: Open, asked: list[str]) -> None:
    ehr = open_athena({"multipledepartment": {"appointments": [ROW | {"departmentid": "9"}]}})
    for _ in range(3):
        ehr.changed_since(date(2027, 3, 1), 1, Lane.NIGHTLY)
    assert asked.count("GET departments") == 2


def test_reasons_for_cancelling_are_asked_for_once_and_only_when_a_row_needs_them(
    open_athena: Open, asked: list[str]
) -> None:
    cancelled = ROW | {"appointmentstatus": "x", "cancelreasonid": 5}
    reasons = {"appointmentcancelreasons": [{"appointmentcancelreasonid": "5", "noshow": "true"}]}
    ehr = open_athena({"2001": [ROW], "2002": [cancelled], "appointmentcancelreasons": reasons})
    statuses = [visit.status for each in ("2001", "2002", "2002") if (visit := ehr.visit(each, Lane.WEBHOOK))]
    assert statuses == ["confirmed", "no_show", "no_show"]
    assert asked.count("GET appointmentcancelreasons") == 1


def test_an_empty_page_before_the_last_one_does_not_go_on_for_ever(open_athena: Open) -> None:
    ehr = open_athena({"multipledepartment": {"appointments": [], "next": "/v1/195900/appointments?offset=0"}})
    assert type(raised_by(lambda: ehr.changed_since(date(2027, 3, 1), 1, Lane.NIGHTLY))) is EhrUnavailable


def test_a_slot_that_is_frozen_already_is_frozen_and_one_that_is_not_is_taken(open_athena: Open) -> None:
    no = {"success": False, "errormessage": "odd"}
    frozen = ROW | {"appointmentstatus": "o", "frozenyn": "true"}
    open_athena({"freeze": no, "2001": [frozen]}).freeze("2001", Lane.BOOKING)
    for row in (ROW, frozen | {"frozenyn": "false"}):
        refused = raised_by(lambda: open_athena({"freeze": no, "2001": [row]}).freeze("2001", Lane.BOOKING))  # noqa: B023
        assert isinstance(refused, EhrRefused)
        assert refused.code == "409"
    open_athena({"freeze": no, "2001": [ROW]}).thaw("2001", Lane.BOOKING)
    refused = raised_by(lambda: open_athena({"freeze": no, "2001": [frozen]}).thaw("2001", Lane.BOOKING))
    assert isinstance(refused, EhrRefused)
    assert refused.code == "not_done"
