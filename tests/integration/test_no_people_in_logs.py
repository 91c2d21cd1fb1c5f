"""A person whom nobody could take for anything else goes through every function: no log line and no error names them.

What counts as said: the log, whatever is printed, the body of every error answer, and the text of an error that a
handler lets out, because Lambda's runtime prints it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from uuid import uuid4

import pytest
import sqlalchemy as sa
import stamina

from moonlit.db import tables as t
from moonlit.observability import logger
from tests.fixtures_access import OPEN_HOUSE, add_partner, add_staff, as_user
from tests.fixtures_athena import (
    PATIENT,
    AthenaServer,
    StartAthena,
    make_athena_account,
    make_patient,
    make_slot,
    start_athena,
)
from tests.fixtures_booking import EMIL, PAYER
from tests.fixtures_functions import SIGNING_SECRET, Functions, functions, sample
from tests.fixtures_intakeq import NOON, make_visit, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, add_patient, as_admin, pulled, seen

__all__ = ["functions", "open_intakeq", "start_athena", "start_intakeq"]

PERSON = {
    "firstName": "Zyxwella",
    "lastName": "Quillfeather",
    "dateOfBirth": "1971-07-17",
    "email": "zq.canary@example.org",
    "phone": "(801) 555-0177",
}
MEMBER = "MBR-77Q77"
CONTACT = {"name": "Oberynth Quillfeather", "email": "oq.canary@example.org", "phone": "(801) 555-0178"}
CANARIES = (
    "zyxwella",
    "quillfeather",
    "canary",
    "oberynth",
    "1971-07-17",
    "555-0177",
    "8015550177",
    "555-0178",
    "77q77",
)
ROW: Mapping[str, Any] = {
    "ClientName": "Zyxwella Quillfeather",
    "ClientEmail": PERSON["email"],
    "ClientPhone": PERSON["phone"],
    "ClientDateOfBirth": PERSON["dateOfBirth"],
    "ClientNote": "Zyxwella is afraid of canaries",
}


@dataclass
class Listener:
    """Calls functions and keeps what they say."""

    functions: Functions
    printed: Callable[[], str]
    log: StringIO = field(default_factory=StringIO)
    answers: list[str] = field(default_factory=list)

    def call(self, name: str, event: Mapping[str, Any]) -> Any:
        """Call a function and return its answer, None when it failed."""
        try:
            answer = self.functions.call(name, event)
        except Exception as error:  # noqa: BLE001  # The runtime would print it, whatever it is.
            self.answers.append(f"{type(error).__name__}: {error}")
            return None
        if "statusCode" not in answer or answer["statusCode"] >= 400:
            self.answers.append(json.dumps(answer))
        return answer

    def status(self, name: str, event: Mapping[str, Any]) -> int:
        """Call an HTTP function and return the status."""
        return int(self.call(name, event)["statusCode"])

    def lines(self) -> list[str]:
        """Return the names of the log lines so far."""
        return [json.loads(line)["message"] for line in self.log.getvalue().splitlines()]

    def names_nobody(self) -> None:
        """Look for the person in all that was said."""
        said = "\n".join([self.log.getvalue(), self.printed(), *self.answers])
        assert said.strip()
        for canary in CANARIES:
            assert canary not in said.lower()


@pytest.fixture
def listener(
    functions: Functions,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Listener]:
    caplog.set_level(logging.INFO)  # What Lambda lets through of libraries too.
    listener = Listener(functions, lambda: "".join([caplog.text, *capfd.readouterr()]))
    # The logger writes to what was stdout when it was made, which pytest has replaced since.
    monkeypatch.setattr(logger.registered_handler, "stream", listener.log)
    with stamina.set_testing(True, attempts=2):
        yield listener


def booking(key: str = "one", **changes: Any) -> dict[str, Any]:
    """Return the event of a booking for the person."""
    event = sample("book/book")
    given = {"insurance": {"memberId": MEMBER}, "roiContacts": [CONTACT], "patient": PERSON}
    event["body"] = json.dumps({**json.loads(event["body"]), **given, **changes})
    event["headers"]["idempotency-key"] = key
    return event


def asking(name: str, **query: str) -> dict[str, Any]:
    """Return a sample of `availability` with other query parameters beside or in place of its own."""
    event = sample(f"availability/{name}")
    event["rawQueryString"] = urlencode(dict(parse_qsl(event["rawQueryString"])) | query)
    event["queryStringParameters"] = dict(parse_qsl(event["rawQueryString"]))
    return event


def webhook(secret: str | None = None, body: str | None = None) -> dict[str, Any]:
    """Return a webhook about a visit of the person."""
    event = sample("webhook/intakeq")
    said = json.loads(event["body"])
    said["Appointment"] |= ROW
    event["body"] = json.dumps(said) if body is None else body
    if secret:
        event["rawPath"] = event["requestContext"]["http"]["path"] = f"/webhooks/intakeq/{secret}"
    return event


def leaves(node: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value in a JSON object that is no object or list itself."""
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(child, *path, key)
    else:
        yield path


def replaced(body: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy of a JSON object with the value at `path` replaced."""
    changed = deepcopy(body)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def patient_in_the_ehr(functions: Functions) -> None:
    """Have the person as a patient here and as a client with a visit there."""
    functions.intakeq.control("POST", "visits", {"action": "create", "appointment": visit()})
    person = {"first_name": PERSON["firstName"], "last_name": PERSON["lastName"], "email": PERSON["email"]}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.patients).values(intakeq_client_id="4821", **person))


def visit() -> dict[str, Any]:
    return make_visit(1, NOON + timedelta(days=1), **ROW)


def forbid(functions: Functions, table: str, column: str) -> None:
    """Break a table so that PostgreSQL refuses every new row and quotes it in the detail of its error."""
    functions.execute(f"alter table {table} add constraint ck_broken check ({column} is null) not valid")


def test_a_booking_and_its_refusals(listener: Listener) -> None:
    assert listener.status("book", booking()) == 201
    stranger = PERSON | {"firstName": "Oberynth", "email": CONTACT["email"]}
    assert listener.status("book", booking("two", patient=stranger)) == 409  # slot-taken
    assert listener.status("book", booking("three", providerId=str(EMIL))) == 409  # patient-overlap
    assert listener.status("book", booking("one", state="NV")) == 409  # idempotency-key-reused
    assert listener.status("book", booking("four", state="NV")) == 409  # provider-not-eligible
    assert listener.lines().count("request_refused") == 4
    assert "booking_confirmed" in listener.lines()
    listener.names_nobody()


def test_a_malformed_booking_whatever_is_wrong_with_it(listener: Listener) -> None:
    good = json.loads(booking()["body"])
    paths = list(leaves(good))
    assert len(paths) > 15
    for path in paths:
        wrong = replaced(good, path, ["Zyxwella Quillfeather", PERSON])
        assert listener.status("book", booking(**wrong)) == 422, path
    unknown: dict[str, Any] = {"Zyxwella Quillfeather": True}
    assert listener.status("book", booking(**unknown)) == 422
    assert listener.status("book", booking(patient={**PERSON, PERSON["email"]: 1})) == 422
    assert listener.status("book", {**booking(), "body": '{"patient": "Zyxwella Quillfeather'}) == 422
    assert listener.status("book", booking("Zyxwella Quillfeather")) == 422
    listener.names_nobody()


def test_a_booking_that_the_database_cannot_take(listener: Listener) -> None:
    forbid(listener.functions, "patients", "last_name")
    assert listener.status("book", booking()) == 500
    assert "unexpected_error" in listener.lines()
    listener.names_nobody()


def test_a_booking_that_the_ehr_does_not_take_and_the_sweeps_after_it(listener: Listener) -> None:
    faults: list[dict[str, Any]] = [{"kind": "error_before", "times": None}]
    listener.functions.intakeq.fail(*faults)
    assert listener.status("book", booking()) == 202
    listener.functions.clock.advance(minutes=2)
    assert listener.call("sweeper", sample("sweeper/every_minute"))["unavailable"] == 1
    listener.functions.intakeq.fail()
    listener.functions.clock.advance(hours=1)
    assert listener.call("sweeper", sample("sweeper/every_minute"))["sent"] == 1
    assert {"booking_not_written", "ehr_read_repeated", "booking_confirmed", "swept"} <= set(listener.lines())
    listener.names_nobody()


def test_somebody_elses_visit(listener: Listener) -> None:
    event = sample("book/appointment")
    event["headers"]["authorization"] = "Bearer Zyxwella.Quillfeather.canary"
    assert listener.status("book", event) == 401
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"/appointments/{quote(PERSON['email'])}"
    assert listener.status("book", event) == 422
    listener.names_nobody()


def sending(name: str, body: Any, token: str = "") -> dict[str, Any]:
    """Return a sample with another body, as who holds that token sends it."""
    event = sample(name)
    event["body"] = json.dumps(body)
    if token:
        event["headers"]["authorization"] = f"Bearer {token}"
    return event


def about(event: dict[str, Any], visit: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event about that visit."""
    path = event["rawPath"].replace(event["pathParameters"]["appointmentId"], visit["appointmentId"])
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    return event


def test_a_hold_and_its_refusals(listener: Listener) -> None:
    slot = json.loads(sample("book/hold")["body"])
    assert listener.status("book", sending("book/hold", slot)) == 201
    assert listener.status("book", sending("book/hold", slot)) == 409
    assert listener.status("book", sending("book/hold", slot | {"patient": PERSON})) == 422
    assert listener.status("book", sending("book/hold", slot | {"language": "Zyxwella Quillfeather"})) == 422
    event = sample("book/drop_hold")
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"/holds/{quote(PERSON['email'])}"
    assert listener.status("book", event) == 422
    listener.names_nobody()


def test_a_visit_that_is_moved_and_cancelled_whatever_the_ehr_says(listener: Listener) -> None:
    listener.functions.clock.advance(days=-2)
    visit = json.loads(listener.call("book", booking())["body"])
    to = {"start": "2027-03-12T10:00:00-07:00"}
    why = {"reason": "Zyxwella Quillfeather is ill"}
    for kind in ("error_before", "drop_after"):
        listener.functions.intakeq.fail({"method": "PUT", "kind": kind, "times": 1})
        move = about(sending("book/reschedule", to, visit["manageToken"]), visit)
        assert listener.status("book", move) == 202
        assert (
            listener.status("book", about(sending("book/reschedule", to | PERSON, visit["manageToken"]), visit)) == 422
        )
    listener.functions.intakeq.fail(
        {"path": "/appointments/cancellation", "kind": "error_before", "status": 400, "times": None}
    )
    assert listener.status("book", about(sending("book/cancel", why, visit["manageToken"]), visit)) == 200
    for _ in range(12):
        listener.functions.clock.advance(hours=1)
        listener.call("sweeper", sample("sweeper/every_minute"))
    assert {"booking_not_written", "staff_alerted", "swept"} <= set(listener.lines())
    assert listener.functions.rows("select payload from outbox")
    listener.answers += [str(row) for row in listener.functions.rows("select kind, payload from outbox")]
    listener.names_nobody()


def test_tokens_and_addresses_with_a_person_in_them(listener: Listener) -> None:
    event = sample("book/calendar")
    event |= {"rawQueryString": "token=Zyxwella", "queryStringParameters": {"token": "Zyxwella.Quillfeather.canary"}}
    assert listener.status("book", event) == 401
    event |= {"queryStringParameters": {"token": "x", "patient": PERSON["email"]}}
    assert listener.status("book", event) == 422
    for name in ("cancel", "reschedule"):
        body = {"start": "2027-03-12T10:00:00-07:00"} if name == "reschedule" else {"reason": "Zyxwella is ill"}
        assert listener.status("book", sending(f"book/{name}", body, "Zyxwella.Quillfeather.canary")) == 401
    listener.names_nobody()


def test_leads_good_and_bad(listener: Listener) -> None:
    lead = {
        "payerName": "Quillfeather Mutual",
        **{name: PERSON[name] for name in ("firstName", "lastName", "email", "phone")},
    }
    assert listener.status("book", sending("book/lead", lead)) == 201
    for path in leaves(lead):
        wrong = replaced(lead, path, ["Zyxwella Quillfeather", PERSON])
        assert listener.status("book", sending("book/lead", wrong)) == 422, path
    assert listener.status("book", sending("book/lead", lead | {"dateOfBirth": PERSON["dateOfBirth"]})) == 422
    assert (
        listener.status("book", sending("book/lead", lead | {"payerId": "7c1e5f0c-6f55-4e0b-9a53-0f7a3d9f4b10"})) == 404
    )
    listener.functions.execute("update practice_settings set settings = '{\"leads_per_address_hour\": 1}'")
    assert listener.status("book", sending("book/lead", lead)) == 429
    forbid(listener.functions, "leads", "email")
    assert listener.status("book", sending("book/lead", lead)) == 500
    listener.answers += [str(row) for row in listener.functions.rows("select kind, payload from outbox")]
    listener.names_nobody()


def test_what_the_office_does_with_a_visit(listener: Listener) -> None:
    add_staff(listener.functions, "admin", "s-1")
    body = json.loads(booking()["body"]) | {"overrule": {"patientOverlap": True, "reason": "Zyxwella asked"}}

    def asked(name: str, told: Any = None) -> dict[str, Any]:
        return as_user(f"admin/{name}", sub="s-1") | ({"body": json.dumps(told)} if told is not None else {})

    answer = listener.call("admin", asked("book", body))
    assert answer["statusCode"] == 201
    visit = json.loads(answer["body"])
    assert listener.status("admin", asked("book", body | {"overrule": {"reason": "Zyxwella asked"}})) == 422
    assert listener.status("admin", asked("book", body | {"state": "NV"})) == 409
    told = {"from": "Zyxwella", "status": "Quillfeather", "patientId": PERSON["email"], "name": "Zyxwella"}
    assert listener.status("admin", asked("appointments") | {"queryStringParameters": told}) == 422
    assert listener.status("admin", asked("appointments")) == 200
    assert listener.status("admin", about(asked("reschedule", {"start": "Zyxwella"}), visit)) == 422
    assert listener.status("admin", about(asked("cancel", {"reason": "Zyxwella Quillfeather is ill"}), visit)) == 200
    assert listener.status("admin", asked("cancel", {"reason": "Zyxwella Quillfeather is ill"})) == 404
    listener.functions.execute("alter table payers rename to gone")
    assert listener.status("admin", asked("appointments")) == 500
    listener.names_nobody()


def test_what_the_office_follows_up_and_keeps(listener: Listener) -> None:
    functions = listener.functions
    add_staff(functions, "admin", ADMIN)
    first, last = PERSON["firstName"], PERSON["lastName"]
    lead = {"payerName": f"{last} Mutual", "firstName": first, "lastName": last, "email": PERSON["email"]}
    assert listener.status("book", sending("book/lead", lead)) == 201
    assert listener.status("book", booking()) == 201

    def asked(name: str, told: Any = None, query: Mapping[str, str] | None = None, **path: Any) -> int:
        event = as_admin(f"admin/{name}", None if told is None else json.dumps(told), **path)
        return listener.status("admin", event | ({"queryStringParameters": dict(query)} if query else {}))

    answer = listener.call("admin", as_admin("admin/leads"))
    (item,) = json.loads(answer["body"])["items"]
    assert item["lastName"] == last  # Who has to call them sees them.
    one = {"leadId": item["leadId"]}
    assert asked("lead", **one) == 200
    assert asked("follow_lead", {"status": last}, **one) == 422
    assert asked("follow_lead", {"status": "converted", "note": first}, **one) == 422
    assert asked("follow_lead", {"status": "converted"}, **one) == 200
    assert asked("follow_lead", {"status": "pending"}, **one) == 409
    assert asked("lead", leadId=uuid4()) == 404
    assert asked("leads", query={"status": last, "from": first, "cursor": MEMBER}) == 422
    assert asked("ehr_writes") == 200
    assert asked("audit_log", query={"actor": PERSON["email"], "from": first}) == 422
    assert asked("audit_log", query={"entity": f"{first} {last}", "entityId": PERSON["email"]}) == 200
    functions.execute("alter table leads rename to gone")
    assert asked("leads") == asked("lead", **one) == 500
    assert asked("follow_lead", {"status": "converted"}, **one) == 500
    listener.answers += [str(row) for row in functions.rows("select * from audit_log")]
    listener.names_nobody()


def test_what_people_decide_about_clients_practitioners_and_insurances(listener: Listener) -> None:
    functions = listener.functions
    add_staff(functions, "admin", ADMIN)
    first, last = PERSON["firstName"], PERSON["lastName"]
    twins = [add_patient(functions, first, last_name=last, email=PERSON["email"], date_of_birth=PERSON["dateOfBirth"])
             for _ in range(2)]  # fmt: skip
    fields = [{"Name": "Insurance Company", "Answer": "Canary Mutual"}, {"Name": "Member ID", "Answer": MEMBER}]
    pulled(functions, seen(1, CustomFields=fields, PractitionerId="p-1", **{**ROW, "ClientId": 7001}))

    def item(name: str) -> Any:
        answer = listener.call("admin", as_admin(f"admin/{name}"))
        assert PERSON["lastName"] in answer["body"]  # Who has to decide sees them.
        return json.loads(answer["body"])["items"][0]

    def decided(name: str, told: Any, **path: Any) -> int:
        return listener.status("admin", as_admin(f"admin/{name}", json.dumps(told, default=str), **path))

    review = {"reviewId": item("match_reviews")["reviewId"]}
    assert decided("resolve_match_review", {"patientId": first}, **review) == 422
    assert decided("resolve_match_review", {"patientId": uuid4()}, **review) == 404
    assert decided("resolve_match_review", {"patientId": twins[0]}, **review) == 200
    assert decided("resolve_match_review", {"patientId": twins[1]}, **review) == 409
    pulled(functions)
    proposal = {"proposalId": item("insurance_proposals")["proposalId"]}
    assert decided("resolve_insurance_proposal", {"accept": MEMBER}, **proposal) == 422
    assert decided("resolve_insurance_proposal", {"accept": True}, **proposal) == 422  # For which payer?
    assert decided("resolve_insurance_proposal", {"accept": True, "payerId": PAYER}, **proposal) == 200
    assert decided("resolve_insurance_proposal", {"dismiss": True}, **proposal) == 409
    assert decided("map_practitioner", {"practitionerId": f"{first} {last}", "providerId": EMIL}) == 422
    assert decided("map_practitioner", {"practitionerId": last, "providerId": EMIL}) == 409
    functions.execute("delete from provider_intakeq_settings")
    assert decided("map_practitioner", {"practitionerId": last, "providerId": EMIL}) == 200
    assert decided("start_sync_runs", {"system": first}) == 422
    functions.execute("alter table match_reviews rename to gone")
    functions.execute("alter table insurance_proposals rename to gone_too")
    assert decided("resolve_match_review", {"patientId": twins[0]}, **review) == 500
    assert decided("resolve_insurance_proposal", {"dismiss": True}, **proposal) == 500
    listener.answers += [
        str(row) for row in functions.rows("select before, after from audit_log where entity <> 'practitioner'")
    ]
    listener.names_nobody()


@pytest.mark.parametrize(
    "name",
    ["payerId", "from", "state", "tz", "providers[]", "language", "locationId", "holdId", "client", "Quill feather"],
)
def test_a_question_with_a_person_in_it(listener: Listener, name: str) -> None:
    assert listener.status("availability", asking("availability", **{name: "Zyxwella Quillfeather"})) == 422
    listener.names_nobody()


def test_a_search_for_a_person_among_the_payers(listener: Listener) -> None:
    assert listener.status("availability", asking("payers", q="Quillfeather")) == 200
    listener.functions.execute("alter table payers rename to gone")
    assert listener.status("availability", asking("payers", q="Quillfeather")) == 500
    listener.names_nobody()


def test_people_who_sign_in_and_are_refused(listener: Listener) -> None:
    person = {"name": "Zyxwella Quillfeather", "email": PERSON["email"]}
    add_staff(listener.functions, "biller", "s-1", **person)
    add_staff(listener.functions, "admin", "s-2", **person | {"email": CONTACT["email"]})
    claims = {"username": PERSON["email"], "email": PERSON["email"], "name": person["name"]}
    event = partial(as_user, "admin/conflicts", **claims)
    assert listener.status("admin", event(sub="s-1")) == 403
    assert listener.status("admin", event(sub="Zyxwella Quillfeather")) == 401
    assert listener.status("admin", event(sub="s-2", token_use="id")) == 401
    assert listener.status("admin", event(sub="s-2") | {"queryStringParameters": {"cursor": MEMBER}}) == 422
    assert listener.lines().count("request_refused") == 3
    listener.functions.execute("alter table schedule_conflicts rename to gone")
    assert listener.status("admin", event(sub="s-2")) == 500
    listener.functions.execute("alter table staff_users rename to gone_too")
    assert listener.status("admin", event(sub=person["name"])) == 500
    assert listener.lines().count("unexpected_error") == 2
    listener.names_nobody()


def test_the_people_whom_staff_keep(listener: Listener) -> None:
    functions = listener.functions
    add_staff(functions, "admin", ADMIN)
    add_partner(functions, "partner_admin", "s-partner", OPEN_HOUSE)
    named = {"name": "Zyxwella Quillfeather"}
    somebody = json.loads(sample("admin/add_partner_user")["body"]) | named
    somebody |= {"email": PERSON["email"], "identitySub": "zyxwella"}
    giver = json.loads(sample("admin/add_provider")["body"]) | named
    added = {}
    for name, body in (("provider", giver), ("partner_user", somebody), ("organization", {**named, "active": True})):
        answer = listener.call("admin", as_admin(f"admin/add_{name}", json.dumps(body)))
        assert answer["statusCode"] == 201
        added[name] = json.loads(answer["body"])["id"]
    assert listener.status("admin", as_admin("admin/add_partner_user", json.dumps(somebody))) == 409
    changed = somebody | {"name": "Oberynth Quillfeather", "identitySub": "oberynth"}
    user = as_admin("admin/change_partner_user", json.dumps(changed), userId=added["partner_user"])
    assert listener.status("admin", user) == 200
    for path in leaves(giver):
        wrong = replaced(giver, path, ["Zyxwella Quillfeather", PERSON])
        assert listener.status("admin", as_admin("admin/add_provider", json.dumps(wrong))) == 422, path
    found = as_admin("admin/providers") | {"queryStringParameters": {"q": "Quillfeather"}}
    assert "Zyxwella" in listener.call("admin", found)["body"]
    assert listener.status("admin", found | {"queryStringParameters": {"cursor": "Zyxwella"}}) == 422
    listener.answers += [str(row) for row in functions.rows("select * from audit_log")]
    forbid(functions, "partner_users", "name")
    assert (
        listener.status("admin", as_admin("admin/add_partner_user", json.dumps(somebody | {"email": "q@q.q"}))) == 500
    )
    functions.execute("alter table provider_hours rename to gone")
    assert listener.status("admin", found) == 500
    listener.names_nobody()


def test_webhooks_good_and_bad(listener: Listener) -> None:
    patient_in_the_ehr(listener.functions)
    assert listener.status("webhook", webhook()) == 200
    assert listener.status("webhook", webhook(body='{"EventType": "Zyxwella Quillfeather')) == 400
    assert listener.status("webhook", webhook(body=json.dumps({"EventType": "AppointmentCreated", **PERSON}))) == 400
    assert listener.status("webhook", webhook(secret=quote("zq.canary@example.org"))) == 401
    assert listener.call("apply_event", listener.functions.take("EventQueue")) == {"batchItemFailures": []}
    assert "webhook_applied" in listener.lines()
    listener.names_nobody()


def athena_of_the_person(functions: Functions, start_athena: StartAthena) -> AthenaServer:
    """Have the person as a patient here and at athenahealth, with a visit there that nobody has heard of."""
    there = {"firstname": PERSON["firstName"], "lastname": PERSON["lastName"], "email": PERSON["email"]}
    patient = make_patient(**there, dob="07/17/1971", mobilephone="8015550177")
    server = start_athena(make_athena_account(patients=[patient], slots=[make_slot(1204881)]), functions.clock)
    functions.connect_athena(server)
    server.staff("book", appointmentid="1204881", patientid=PATIENT)
    here = {"first_name": PERSON["firstName"], "last_name": PERSON["lastName"], "email": PERSON["email"]}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.patients).values(athena_patient_id=PATIENT, **here))
    return server


def delivery(body: str | None = None, signature: str | None = None) -> dict[str, Any]:
    """Return a delivery of athenahealth, signed whatever its body is."""
    event = sample("webhook/athena")
    if body is not None:
        event["body"] = body
        digest = hmac.new(SIGNING_SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
        event["headers"]["x-hub-signature"] = f"sha256={digest}"
    if signature is not None:
        event["headers"]["x-hub-signature"] = signature
    return event


def test_deliveries_good_and_bad_and_a_replay(listener: Listener, start_athena: StartAthena) -> None:
    server = athena_of_the_person(listener.functions, start_athena)
    wrong = {"resourceType": "Bundle", "type": "history", "entry": [{"resource": PERSON}]}
    assert listener.status("webhook", delivery()) == 200
    assert listener.status("webhook", delivery('{"Zyxwella Quillfeather')) == 400
    assert listener.status("webhook", delivery(json.dumps(wrong))) == 400
    assert listener.status("webhook", delivery(signature="sha256=Zyxwella Quillfeather")) == 401
    server.fail({"kind": "html", "times": None})
    waiting = listener.functions.queues["EventQueue"].waiting.copy()
    assert listener.call("apply_event", listener.functions.take("EventQueue"))["batchItemFailures"]
    server.fail()
    listener.functions.queues["EventQueue"].waiting += waiting
    assert listener.call("apply_event", listener.functions.take("EventQueue")) == {"batchItemFailures": []}
    assert {"record_failed", "webhook_applied"} <= set(listener.lines())
    assert listener.functions.rows("select status from appointments") == [{"status": "confirmed"}]
    span = {"from": (NOON - timedelta(days=1)).isoformat(), "to": (NOON + timedelta(days=1)).isoformat()}
    assert listener.call("apply_event", {"replay": span})["events"] == 3
    assert listener.call("apply_event", listener.functions.take("EventQueue")) == {"batchItemFailures": []}
    assert listener.call("apply_event", {"replay": {**span, "source": "Zyxwella Quillfeather", **PERSON}}) is None
    assert "events_replayed" in listener.lines()
    listener.names_nobody()


def test_the_feed_whatever_is_in_it(listener: Listener, start_athena: StartAthena) -> None:
    server = athena_of_the_person(listener.functions, start_athena)
    server.staff("update", appointmentid="1204881", departmentid="2")
    server.staff("update", appointmentid="1204881", departmentid="99")
    assert listener.call("sweeper", sample("sweeper/every_minute"))["feed_rows"] == 3
    assert listener.call("apply_event", listener.functions.take("EventQueue")) == {"batchItemFailures": []}
    forbid(listener.functions, "ehr_appointments", "external_id")
    server.staff("update", appointmentid="1204881", departmentid="1")
    listener.functions.clock.advance(minutes=1)
    listener.call("sweeper", sample("sweeper/every_minute"))
    forbid(listener.functions, "webhook_events", "external_id")
    server.staff("cancel", appointmentid="1204881")
    server.fail({"path": "/appointments/changed", "kind": "html_after"})
    for _ in range(2):
        listener.functions.clock.advance(minutes=1)
        listener.call("sweeper", sample("sweeper/every_minute"))
        server.staff("update", appointmentid="1204881", departmentid="2")
    lines = set(listener.lines())
    assert {"feed_row_unreadable", "feed_rows_unread", "feed_page_lost", "feed_failed", "webhook_applied"} <= lines
    listener.names_nobody()


def test_a_night(listener: Listener) -> None:
    patient_in_the_ehr(listener.functions)
    assert listener.call("sync_cron", sample("sync_cron/schedule"))["state"] == "applying"
    assert listener.call("sync_org", listener.functions.take("SyncQueue")) == {"batchItemFailures": []}
    assert {"sync_pulled", "sync_run"} <= set(listener.lines())
    assert listener.functions.rows("select meeting_url from appointments")
    listener.names_nobody()


def test_a_night_that_the_database_cannot_take(listener: Listener) -> None:
    patient_in_the_ehr(listener.functions)
    forbid(listener.functions, "ehr_appointments", "external_id")
    assert listener.call("sync_cron", sample("sync_cron/schedule")) is None
    listener.names_nobody()


def test_a_visit_that_the_database_cannot_take(listener: Listener) -> None:
    patient_in_the_ehr(listener.functions)
    listener.call("sync_cron", sample("sync_cron/schedule"))
    forbid(listener.functions, "appointments", "patient_id")
    assert listener.call("sync_org", listener.functions.take("SyncQueue")) == {"batchItemFailures": []}
    assert "sync_patient_failed" in listener.lines()
    listener.names_nobody()


def test_an_event_that_the_database_cannot_take(listener: Listener) -> None:
    listener.call("webhook", webhook())
    forbid(listener.functions, "ehr_appointments", "external_id")
    assert listener.call("apply_event", listener.functions.take("EventQueue"))["batchItemFailures"]
    assert "record_failed" in listener.lines()
    listener.names_nobody()


def partner_asking(name: str, about: Any = None, /, **query: str) -> dict[str, Any]:
    """Return a sample of the dashboard as its partner sends it, about another id."""
    event = as_user(f"dashboard/{name}", sub="s-partner") | {"queryStringParameters": query}
    if about is not None:
        ((parameter, sampled),) = event["pathParameters"].items()
        event["pathParameters"] = {parameter: str(about)}
        event["rawPath"] = event["requestContext"]["http"]["path"] = event["rawPath"].replace(sampled, str(about))
    event.pop("body", None)
    return event


def test_what_partners_ask(listener: Listener) -> None:
    functions = listener.functions
    add_partner(functions, "case_manager", "s-partner", OPEN_HOUSE)
    patient_in_the_ehr(functions)
    patient_id = functions.rows("select id from patients")[0]["id"]
    functions.execute(
        "insert into patient_organization_affiliations (id, patient_id, organization_id, status, roi_consent)"
        " values (gen_random_uuid(), :p, :o, 'active', 'active')",
        p=patient_id, o=OPEN_HOUSE,
    )  # fmt: skip
    answer = listener.call("dashboard", partner_asking("roster", q="Quillfeather"))
    assert "Zyxwella" in answer["body"]
    for name in ("patient", "sync_patient", "sync_history"):
        assert listener.status("dashboard", partner_asking(name, patient_id)) == 200
    assert listener.status("dashboard", partner_asking("patient", patient_id, name="Zyxwella")) == 422
    assert listener.status("dashboard", partner_asking("patient", quote(PERSON["email"]))) == 422
    assert listener.status("dashboard", partner_asking("roster", cursor="Zyxwella")) == 422
    assert listener.status("dashboard", partner_asking("roster", cursor="Zyxwella Quillfeather")) == 422
    feed = sample("dashboard/calendar") | {"queryStringParameters": {"token": "Zyxwella"}}
    assert listener.status("dashboard", feed) == 401
    assert listener.status("dashboard", partner_asking("sync_all_patients", OPEN_HOUSE)) == 202
    functions.intakeq.fail({"kind": "error_before", "times": None})
    assert listener.status("dashboard", partner_asking("sync_patient", patient_id)) == 503
    assert "patient_not_refreshed" in listener.lines()
    listener.answers += [str(row) for row in functions.rows("select * from audit_log")]
    functions.execute("alter table providers rename to gone")
    assert listener.status("dashboard", partner_asking("roster", q="Quillfeather")) == 500
    listener.names_nobody()


def test_the_canary_itself_is_heard(listener: Listener) -> None:
    logger.info("patient_seen", patient="Zyxwella")
    with pytest.raises(AssertionError):
        listener.names_nobody()
