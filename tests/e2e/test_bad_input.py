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
SLOT = {name: value for name, value in GOOD.items() if name not in ("patient", "consents")}
LEAD = {"payerName": "Some Plan", "email": "pat.lead@example.org"}
NOBODYS = "7c1e5f0c-6f55-4e0b-9a53-0f7a3d9f4b10"
VISIT = f"/appointments/{NOBODYS}"
STORED = (
    "appointments",
    "appointment_holds",
    "time_claims",
    "patients",
    "ehr_writes",
    "idempotency_keys",
    "leads",
    "outbox",
    "public_uses",
)
# Every minute the sweeper tells of the night that lies behind the site.
ONLY_OURS = {"outbox": " where kind not like 'night_%'"}
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
    found = (f"select '{table}' as stored from {table}{ONLY_OURS.get(table, '')}" for table in STORED)
    assert site.rows(" union all ".join(found)) == []
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
        b'{"start": ' + b"1" * 5000 + b"}",
        b"[" * 100_000,
        json.dumps([GOOD, GOOD]).encode(),
        json.dumps(GOOD).encode()[:-1] + b', "state": "ID"}',  # Which one was meant?
        json.dumps({"x": "y" * 300_000}).encode(),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(site: Site, raw: bytes) -> None:
    is_problem(site.api("POST", "/appointments", raw=raw, headers={"Idempotency-Key": "k"}), 422, "malformed-request")


@pytest.mark.parametrize(
    ("route", "body", "pointer"),
    [
        ("/holds", SLOT | {"start": "2027-03-11T10:00:00"}, "/start"),
        ("/holds", SLOT | {"start": None}, "/start"),
        ("/holds", SLOT | {"payerId": CANARY}, "/payerId"),
        ("/holds", SLOT | {"state": ["UT"]}, "/state"),
        ("/holds", SLOT | {"interpreter": 1}, "/interpreter"),
        ("/holds", SLOT | {"modality": CANARY}, "/modality"),
        ("/holds", SLOT | {"patient": GOOD["patient"]}, "/patient"),
        ("/holds", SLOT | {"holdId": str(uuid4())}, "/holdId"),
        ("/appointments", GOOD | {"overrule": {"patientOverlap": True, "reason": CANARY}}, "/overrule"),
        ("/appointments", GOOD | {"holdId": CANARY}, "/holdId"),
        (f"{VISIT}/cancel", {"reason": CANARY * 50}, "/reason"),
        (f"{VISIT}/cancel", {"reason": f"{CANARY}\u0001"}, "/reason"),
        (f"{VISIT}/cancel", {"because": CANARY}, "/because"),
        (f"{VISIT}/cancel", {"reason": 7}, "/reason"),
        (f"{VISIT}/reschedule", {}, "/start"),
        (f"{VISIT}/reschedule", {"start": "tomorrow"}, "/start"),
        (f"{VISIT}/reschedule", {"start": "2027-03-12T10:00:00"}, "/start"),
        (f"{VISIT}/reschedule", {"start": TEN.isoformat(), "providerId": CANARY}, "/providerId"),
        (f"{VISIT}/reschedule", {"start": TEN.isoformat(), "byStaff": True}, "/byStaff"),
        ("/leads", {"payerName": "Some Plan"}, "/email"),
        ("/leads", LEAD | {"email": CANARY}, "/email"),
        ("/leads", LEAD | {"payerName": ""}, "/payerName"),
        ("/leads", LEAD | {"phone": CANARY}, "/phone"),
        ("/leads", LEAD | {"effectiveDate": "tomorrow"}, "/effectiveDate"),
        ("/leads", LEAD | {"status": "converted"}, "/status"),
        ("/leads", LEAD | {"payerId": CANARY}, "/payerId"),
    ],
)
def test_a_malformed_member_of_the_other_forms_is_named_by_its_pointer(
    site: Site, route: str, body: dict[str, Any], pointer: str
) -> None:
    answer = site.api("POST", route, body, headers={"Idempotency-Key": uuid4().hex})
    is_problem(answer, 422, "malformed-request")
    assert [error["pointer"] for error in answer.body["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("route", "raw"),
    [
        (route, raw)
        for route in ("/holds", f"{VISIT}/cancel", f"{VISIT}/reschedule", "/leads")
        for raw in (b"", b"{", b"[]", b"null", b'"text"', b"7", b"\xff\xfe", f'{{"{CANARY}'.encode())
        if raw not in (b"", b"null") or "cancel" not in route  # Nothing need be said to cancel.
    ],
)
def test_a_body_of_the_other_forms_that_is_no_json_object_is_refused(site: Site, route: str, raw: bytes) -> None:
    is_problem(site.api("POST", route, raw=raw), 422, "malformed-request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"/holds/{CANARY}"),
        ("GET", f"/appointments/{CANARY}"),
        ("POST", f"/appointments/{CANARY}/cancel"),
        ("POST", f"/appointments/{CANARY}/reschedule"),
        ("GET", f"/appointments/{CANARY}/calendar.ics"),
        ("GET", f"/appointments/{'7' * 400}"),
    ],
)
def test_an_id_that_is_none_is_refused(site: Site, method: str, path: str) -> None:
    answer = site.api(
        method, path, {"start": TEN.isoformat()} if "reschedule" in path else {} if method == "POST" else None
    )
    is_problem(answer, 422, "malformed-request")
    assert [error["pointer"].startswith("/path/") for error in answer.body["errors"]] == [True]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/holds", SLOT),
        ("DELETE", f"/holds/{NOBODYS}", None),
        ("POST", "/appointments", GOOD),
        ("GET", VISIT, None),
        ("POST", f"{VISIT}/cancel", {}),
        ("POST", f"{VISIT}/reschedule", {"start": TEN.isoformat()}),
        ("GET", f"{VISIT}/calendar.ics", None),
        ("POST", "/leads", LEAD),
    ],
)
def test_an_unknown_query_parameter_is_refused_everywhere(site: Site, method: str, path: str, body: Any) -> None:
    answer = site.api(method, f"{path}?byStaff={CANARY}", body, headers={"Idempotency-Key": uuid4().hex})
    is_problem(answer, 422, "malformed-request")
    assert answer.body["errors"] == [{"pointer": "/query/byStaff", "code": "extra_forbidden"}]


@pytest.mark.parametrize(
    "token", ["", "Bearer", "Bearer x.y.z", f"Bearer {CANARY}", "Basic abc", "Bearer " + "a." * 2000]
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{VISIT}/cancel", {}),
        ("POST", f"{VISIT}/reschedule", {"start": TEN.isoformat()}),
        ("GET", f"{VISIT}/calendar.ics", None),
    ],
)
def test_a_visit_is_not_touched_without_its_token(site: Site, method: str, path: str, body: Any, token: str) -> None:
    is_problem(site.api(method, path, body, headers={"Authorization": token}), 401, "token-refused")


@pytest.mark.parametrize("token", ["", "x.y.z", CANARY, "a" * 1000])
def test_a_calendar_is_not_given_for_a_wrong_token_in_the_address(site: Site, token: str) -> None:
    is_problem(site.api("GET", f"{VISIT}/calendar.ics?token={token}"), 401, "token-refused")
    is_problem(site.api("GET", f"{VISIT}/calendar.ics?token={'a' * 1001}"), 422, "malformed-request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/appointments"),
        ("POST", "/admin/appointments"),
        ("POST", f"/admin{VISIT}/cancel"),
        ("POST", f"/admin{VISIT}/reschedule"),
        ("GET", "/admin/conflicts"),
        ("GET", "/admin/match-reviews"),
        ("POST", f"/admin/match-reviews/{NOBODYS}/resolve"),
        ("PUT", "/admin/practitioner-mappings"),
        ("POST", f"/admin/insurance-proposals/{NOBODYS}/resolve"),
        ("POST", f"/admin/sync-runs/{NOBODYS}/confirm"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x.y.z"}, {"Authorization": f"Bearer {CANARY}"}])
def test_the_offices_routes_are_closed_to_everybody_else(
    site: Site, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = site.api(method, path, None if method == "GET" else {}, headers=headers)
    assert (answer.status, answer.body) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (SLOT | {"payerId": str(uuid4())}, 404, "not-found"),
        (SLOT | {"serviceId": str(uuid4())}, 404, "not-found"),
        (SLOT | {"providerId": str(uuid4())}, 404, "not-found"),
        (SLOT | {"payerId": str(NEW_PAYER)}, 409, "payer-not-accepted"),
        (SLOT | {"state": "NV"}, 409, "provider-not-eligible"),
        (SLOT | {"start": (TEN + timedelta(minutes=7)).isoformat()}, 409, "slot-not-offered"),
        (SLOT | {"start": (TEN + timedelta(microseconds=7)).isoformat()}, 409, "slot-not-offered"),
        (SLOT | {"locationId": str(uuid4())}, 409, "slot-not-offered"),
    ],
)
def test_a_hold_that_a_rule_forbids_is_a_problem_of_its_own_kind(
    site: Site, body: dict[str, Any], status: int, slug: str
) -> None:
    is_problem(site.api("POST", "/holds", body), status, slug)


def test_a_lead_for_a_payer_that_is_not_there_is_not_found(site: Site) -> None:
    is_problem(site.api("POST", "/leads", LEAD | {"payerId": str(uuid4())}), 404, "not-found")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 201}])
def test_a_booking_needs_a_key(site: Site, headers: dict[str, str]) -> None:
    answer = site.api("POST", "/appointments", GOOD, headers=headers)
    is_problem(answer, 422, "malformed-request")
    assert [error["pointer"].lower() for error in answer.body["errors"]] == ["/header/idempotency-key"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_another_content_type_is_refused(site: Site, content_type: str) -> None:
    headers = {"Content-Type": content_type, "Idempotency-Key": "k"}
    answer = site.api("POST", "/appointments", raw=b'{"slot": 1}', headers=headers)
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
