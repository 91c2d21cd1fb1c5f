from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import stamina

from moonlit.ehr.http import EhrHttp, open_client
from moonlit.ehr.intakeq import Intakeq, refusal_code
from moonlit.ehr.port import (
    ClientDetails,
    EhrError,
    EhrLockedOut,
    EhrOutcomeUnknown,
    EhrRefused,
    EhrUnavailable,
    Lane,
    Move,
)
from moonlit.observability import logger
from tests.fixtures_intakeq import NOON, OpenBudget

ADDRESS = "mara.james"  # Part of an address, so that quoting it for a URL changes nothing.

type Answer = Callable[[httpx.Request], httpx.Response]
type Open = Callable[[Answer], EhrHttp]


@pytest.fixture
def open_http() -> Iterator[Open]:
    opened: list[EhrHttp] = []

    def start(answer: Answer) -> EhrHttp:
        client = open_client("http://ehr.example.org/api/v1", {"X-Auth-Key": "key"}, httpx.MockTransport(answer))
        opened.append(EhrHttp(client, OpenBudget(), refusal_code=refusal_code))
        return opened[-1]

    yield start
    for http in opened:
        http.close()


def failing(error: Exception) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


def raised_by(work: Callable[[], object]) -> EhrError:
    with pytest.raises(EhrError) as raised:
        work()
    return raised.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError(""), EhrUnavailable),
        (httpx.ConnectTimeout(""), EhrUnavailable),
        (httpx.PoolTimeout(""), EhrUnavailable),
        (httpx.WriteTimeout(""), EhrOutcomeUnknown),
        (httpx.WriteError(""), EhrOutcomeUnknown),
        (httpx.ReadTimeout(""), EhrOutcomeUnknown),
        (httpx.ReadError(""), EhrOutcomeUnknown),
        (httpx.RemoteProtocolError(""), EhrOutcomeUnknown),
        (httpx.DecodingError(""), EhrOutcomeUnknown),
    ],
)
def test_only_what_was_never_sent_surely_had_no_effect(
    open_http: Open, error: Exception, expected: type[EhrError]
) -> None:
    http = open_http(failing(error))
    assert type(raised_by(lambda: http.write("POST", "appointments", Lane.BOOKING, {}))) is expected
    assert type(raised_by(lambda: http.read("appointments", Lane.BOOKING))) is EhrUnavailable


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="[]"),
        httpx.Response(200, text="[", headers={"content-type": "application/json"}),
        httpx.Response(200, content=b'"\xff"', headers={"content-type": "application/json"}),
        httpx.Response(200, text="<html>", headers={"content-type": "text/html"}),
        httpx.Response(200, json=None),
        httpx.Response(204),
        httpx.Response(302, headers={"location": "/login"}),
    ],
)
def test_what_is_not_json_is_no_answer(open_http: Open, response: httpx.Response) -> None:
    http = open_http(lambda _: response)
    assert type(raised_by(lambda: http.read("appointments", Lane.NIGHTLY))) is EhrUnavailable
    assert type(raised_by(lambda: http.write("PUT", "appointments", Lane.NIGHTLY, {}))) is EhrOutcomeUnknown


@pytest.mark.parametrize("kind", ["application/json", "APPLICATION/JSON; charset=utf-8", "application/problem+json"])
def test_json_is_known_by_its_content_type(open_http: Open, kind: str) -> None:
    http = open_http(lambda _: httpx.Response(200, text="[1]", headers={"content-type": kind}))
    assert http.read("appointments", Lane.NIGHTLY) == [1]


def test_an_empty_answer_is_success_only_where_nothing_is_due(open_http: Open) -> None:
    http = open_http(lambda _: httpx.Response(200))
    assert http.write("POST", "appointments/cancellation", Lane.BOOKING, {}, answers=False) is None
    assert type(raised_by(lambda: http.write("POST", "appointments", Lane.BOOKING, {}))) is EhrOutcomeUnknown


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"Message": "Client not found"}, "client_not_ready"),
        (400, {"Message": "client NOT found."}, "client_not_ready"),
        (400, {"Message": "Invalid ServiceId."}, "400"),
        (400, ["odd"], "400"),
        (409, None, "409"),
    ],
)
def test_a_refusal_is_named(open_http: Open, status: int, body: Any, code: str) -> None:
    http = open_http(lambda _: httpx.Response(status, json=body))
    refused = raised_by(lambda: http.write("POST", "appointments", Lane.BOOKING, {}))
    assert isinstance(refused, EhrRefused)
    assert refused.code == code


@pytest.mark.parametrize(("status", "error"), [(401, EhrLockedOut), (403, EhrLockedOut), (404, EhrUnavailable)])
def test_the_accounts_trouble_is_no_refusal_of_a_visit(open_http: Open, status: int, error: type[EhrError]) -> None:
    http = open_http(lambda _: httpx.Response(status, text="<html>"))
    assert type(raised_by(lambda: http.write("POST", "appointments", Lane.BOOKING, {}))) is error


def test_the_key_and_the_path_below_the_base_are_sent(open_http: Open) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[])

    open_http(answer).read("clients", Lane.ON_DEMAND, {"search": "a+b c"})
    assert str(seen[0].url).startswith("http://ehr.example.org/api/v1/clients?search=a%2Bb")
    assert dict(seen[0].url.params) == {"search": "a+b c"}
    assert (seen[0].headers["X-Auth-Key"], seen[0].headers["Accept"]) == ("key", "application/json")


def test_pauses_between_attempts_grow(open_http: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    http = open_http(failing(httpx.ReadTimeout("")))
    stamina.set_testing(False)  # The fixture switches it back.
    raised_by(lambda: http.read("appointments", Lane.NIGHTLY))
    assert len(pauses) == 2
    assert 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 1.5


def test_neither_logs_nor_errors_say_who_was_asked_for(
    open_http: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(logger, "warning", lambda message, **fields: warnings.append((message, fields)))
    answers = iter([httpx.Response(500, text=ADDRESS), httpx.Response(200, json={"Message": ADDRESS})])
    http = open_http(lambda _: next(answers))
    with caplog.at_level(logging.INFO):
        http.read("appointments", Lane.NIGHTLY, {"client": ADDRESS})
    [(message, fields)] = warnings
    assert (message, set(fields)) == ("ehr_read_repeated", {"attempt", "wait_seconds", "error"})
    assert ADDRESS not in caplog.text + str(warnings)
    error = raised_by(lambda: open_http(failing(httpx.ReadError(ADDRESS))).write("POST", "x", Lane.BOOKING, {}))
    assert ADDRESS not in f"{error}{error.__cause__}"
    assert error.__suppress_context__


@pytest.mark.parametrize("body", [{}, {"Id": "1"}, {"Id": "1", "StartDate": None}, "text", [], 5])
def test_a_written_visit_that_makes_no_sense_has_to_be_read_back(open_http: Open, body: Any) -> None:
    ehr = Intakeq(open_http(lambda _: httpx.Response(200, json=body)), ZoneInfo("America/Denver"))
    error = raised_by(lambda: ehr.reschedule(Move("1", "2", None, NOON), Lane.BOOKING))
    assert type(error) is EhrOutcomeUnknown


def test_a_client_merged_by_a_rule_that_nobody_knew_is_not_taken_for_the_patient(open_http: Open) -> None:
    joanna = {"ClientId": 7, "FirstName": "Joanna", "LastName": "James"}
    ehr = Intakeq(
        open_http(lambda request: httpx.Response(200, json=[joanna] if request.method == "GET" else joanna)),
        ZoneInfo("America/Denver"),
    )
    details = ClientDetails("ref", "Anna", "James", "anna@example.org", None, date(2001, 2, 3))
    refused = raised_by(lambda: ehr.client_for(details, Lane.BOOKING))
    assert isinstance(refused, EhrRefused)
    assert refused.code == "client_merged"


@pytest.mark.parametrize("body", [{}, {"Message": "odd"}, "text", 5])
def test_a_list_that_is_none_is_unavailable(open_http: Open, body: Any) -> None:
    ehr = Intakeq(open_http(lambda _: httpx.Response(200, json=body)), ZoneInfo("America/Denver"))
    assert type(raised_by(lambda: ehr.deleted(1, Lane.NIGHTLY))) is EhrUnavailable


@pytest.mark.parametrize("row", [None, "text", {}, {"Id": ""}])
def test_a_row_without_an_id_is_counted_all_the_same(open_http: Open, row: Any) -> None:
    ehr = Intakeq(open_http(lambda _: httpx.Response(200, json=[row])), ZoneInfo("America/Denver"))
    assert len(ehr.deleted(1, Lane.NIGHTLY).unreadable) == 1
