"""Bad input gets a problem document, stores nothing, and never hears its own values back."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.site import Answer, Site, booking
from tests.fixtures_booking import NEW_PAYER, PAYER, SERVICE_ID, TEN

pytestmark = pytest.mark.stack

CANARY = "Zyxcanary"
GOOD = booking(TEN.isoformat(), 1)
SEARCH = f"/availability?payerId={PAYER}&serviceId={SERVICE_ID}&state=UT"


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return a good booking with one member (such as patient.email) replaced; None removes it."""
    body: dict[str, Any] = json.loads(json.dumps(GOOD))
    *parents, last = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


def is_problem(answer: Answer, status: int, slug: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    assert answer.body["type"].endswith(f"/{slug}")
    assert (answer.body["status"], answer.headers["x-request-id"] != "") == (status, True)
    assert CANARY not in json.dumps(answer.body)


@pytest.fixture(autouse=True)
def nothing_is_stored(site: Site) -> Any:
    yield
    for table in ("appointments", "time_claims", "patients", "ehr_writes", "idempotency_keys"):
        assert site.rows(f"select 1 from {table}") == []
    assert site.in_ehr() == []


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        ("payerId", CANARY, "/payerId"),
        ("payerId", None, "/payerId"),
        ("start", "2027-03-11T10:00:00", "/start"),  # A naive time.
        ("start", 1804698000, "/start"),
        ("start", CANARY, "/start"),
        ("start", "99999-01-01T00:00:00Z", "/start"),
        ("state", "Utah", "/state"),
        ("patient", CANARY, "/patient"),
        ("patient.email", CANARY, "/patient/email"),
        ("patient.phone", "call me", "/patient/phone"),
        ("patient.firstName", "", "/patient/firstName"),
        ("patient.firstName", f"{CANARY}\u0000", "/patient/firstName"),
        ("patient.lastName", f"{CANARY}\ud800", "/patient/lastName"),
        ("patient.dateOfBirth", "01/02/1990", "/patient/dateOfBirth"),
        ("patient.dateOfBirth", 19900101, "/patient/dateOfBirth"),
        ("patient.timezone", "Mars/Olympus", "/patient/timezone"),
        ("patient.nickname", CANARY, "/patient/nickname"),
        ("consents.email", "yes", "/consents/email"),
        ("insurance", {"memberId": CANARY * 100}, "/insurance/memberId"),
        ("roiContacts", [{"name": "A", "email": CANARY}], "/roiContacts/0/email"),
        ("urgent", True, "/urgent"),
    ],
)
def test_a_malformed_member_is_named_by_its_pointer(site: Site, path: str, value: Any, pointer: str) -> None:
    answer = site.book(changed(path, value))
    is_problem(answer, 422, "malformed-request")
    assert [error["pointer"] for error in answer.body["errors"]] == [pointer]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        f'{{"{CANARY}'.encode(),
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"start": NaN}',
        b"[" * 100_000,
        json.dumps({"x": "y" * 300_000}).encode(),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(site: Site, raw: bytes) -> None:
    is_problem(site.api("POST", "/appointments", raw=raw, headers={"Idempotency-Key": "k"}), 422, "malformed-request")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 201}])
def test_a_booking_needs_a_key(site: Site, headers: dict[str, str]) -> None:
    answer = site.api("POST", "/appointments", GOOD, headers=headers)
    is_problem(answer, 422, "malformed-request")
    assert [error["pointer"].lower() for error in answer.body["errors"]] == ["/header/idempotency-key"]


def test_another_content_type_is_refused(site: Site) -> None:
    answer = site.api(
        "POST", "/appointments", raw=b"a=b", headers={"Content-Type": "text/plain", "Idempotency-Key": "k"}
    )
    assert answer.status == 415
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        (f"{SEARCH}&from=2027-03-11", "/query/to"),
        (f"{SEARCH}&from=2027-03-11&to=2027-04-11", "/query/to"),  # 32 days.
        (f"{SEARCH}&from=2027-03-11&to=2027-03-10", "/query/to"),
        (f"{SEARCH}&from={CANARY}&to=2027-03-10", "/query/from"),
        (f"{SEARCH}&from=1804698000&to=2027-03-10", "/query/from"),
        (f"{SEARCH}&from=2027-03-11&to=2027-03-11&tz={CANARY}", "/query/tz"),
        (f"{SEARCH}&from=2027-03-11&to=2027-03-11&tz=America", "/query/tz"),
        (f"{SEARCH}&from=2027-03-11&to=2027-03-11&providers[]={CANARY}", "/query/providers[]/0"),
        (f"{SEARCH}&from=2027-03-11&to=2027-03-11&provider={CANARY}", "/query/provider"),
        (f"{SEARCH}&from=2027-03-11&to=2027-03-11&interpreter=maybe", "/query/interpreter"),
        ("/payers?limit=201", "/query/limit"),
        ("/payers?limit=0", "/query/limit"),
        (f"/payers?cursor={CANARY}", "/query/cursor"),
        ("/payers?q=", "/query/q"),
        ("/services", "/query/payerId"),
    ],
)
def test_a_malformed_query_is_named_by_its_pointer(site: Site, query: str, pointer: str) -> None:
    answer = site.api("GET", query)
    is_problem(answer, 422, "malformed-request")
    assert [error["pointer"] for error in answer.body["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (changed("payerId", str(uuid4())), 404, "not-found"),
        (changed("serviceId", str(uuid4())), 404, "not-found"),
        (changed("providerId", str(uuid4())), 404, "not-found"),
        (changed("payerId", str(NEW_PAYER)), 409, "payer-not-accepted"),
        (changed("state", "NV"), 409, "provider-not-eligible"),
        (changed("start", (TEN - timedelta(days=7)).isoformat()), 409, "slot-not-offered"),
        (changed("start", (TEN + timedelta(minutes=7)).isoformat()), 409, "slot-not-offered"),
        (changed("start", "0001-01-01T00:00:00+14:00"), 422, "malformed-request"),
        (changed("start", "9999-12-31T23:59:59-14:00"), 422, "malformed-request"),
        (changed("locationId", str(uuid4())), 409, "slot-not-offered"),
    ],
)
def test_a_rule_that_says_no_is_a_problem_of_its_own_kind(site: Site, body: Any, status: int, slug: str) -> None:
    is_problem(site.book(body), status, slug)


@pytest.mark.parametrize(
    "ask",
    [
        lambda site: site.api("GET", f"/services?payerId={uuid4()}"),
        lambda site: site.api(
            "GET", f"/availability?payerId={uuid4()}&serviceId={SERVICE_ID}&state=UT&from=2027-03-11&to=2027-03-11"
        ),
        lambda site: site.api("GET", f"{SEARCH}&from=2027-03-11&to=2027-03-11&providers[]={uuid4()}"),
        lambda site: site.api("POST", "/eligibility", {"payerId": str(uuid4()), "state": "UT"}),
    ],
)
def test_unknown_ids_are_not_found(site: Site, ask: Callable[[Site], Answer]) -> None:
    is_problem(ask(site), 404, "not-found")


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer x.y.z", f"Bearer {CANARY}", "Basic abc"])
def test_a_visit_is_not_shown_without_its_token(site: Site, token: str) -> None:
    is_problem(site.api("GET", f"/appointments/{uuid4()}", headers={"Authorization": token}), 401, "token-refused")


@pytest.mark.parametrize(("first", "last"), [("1850-01-01", "1850-01-31"), ("2200-12-01", "2200-12-31")])
def test_days_far_away_have_no_slots(site: Site, first: str, last: str) -> None:
    answer = site.api("GET", f"{SEARCH}&from={first}&to={last}")
    assert (answer.status, answer.body["slots"]) == (200, [])


@pytest.mark.parametrize(("first", "last"), [("0001-01-01", "0001-01-02"), ("9999-12-30", "9999-12-31")])
def test_days_at_the_ends_of_the_calendar_are_refused(site: Site, first: str, last: str) -> None:
    is_problem(site.api("GET", f"{SEARCH}&from={first}&to={last}"), 422, "malformed-request")


def test_an_unknown_route_is_the_gateways_answer(site: Site) -> None:
    answer = site.api("GET", "/nothing")
    assert (answer.status, answer.body) == (404, {"message": "Not Found"})


def test_a_compressed_answer_is_the_same_answer(site: Site) -> None:
    url = f"{site.stack['apiUrl']}{SEARCH}&from=2027-03-11&to=2027-03-12"
    plain = site.api("GET", f"{SEARCH}&from=2027-03-11&to=2027-03-12")
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        assert answer.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.read()))["slots"] == plain.body["slots"] != []


def test_the_widgets_origin_may_ask_and_others_may_not(site: Site) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    welcome = site.api("OPTIONS", "/appointments", headers={"Origin": "http://localhost:3000", **asked})
    assert (welcome.status, welcome.headers["access-control-allow-origin"]) == (204, "http://localhost:3000")
    stranger = site.api("OPTIONS", "/appointments", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in stranger.headers


def test_health_and_the_document_are_served(site: Site) -> None:
    assert site.api("GET", "/health").body["database"] == "ok"
    assert site.api("GET", "/openapi.json").body["openapi"].startswith("3.1")
    assert "SwaggerUIBundle" in site.api("GET", "/docs").body
