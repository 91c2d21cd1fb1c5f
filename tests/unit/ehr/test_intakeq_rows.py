from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.ehr.intakeq_rows import birth_date_of, client_body, client_of, epoch_ms, visit_of
from moonlit.ehr.port import ClientDetails, EhrRefused
from tests.fixtures_intakeq import NOON, make_client, make_visit

HOST, JOIN, URL = (f"https://meet.example.org/{name}" for name in ("host", "join", "url"))


def visit(**fields: Any) -> Any:
    return visit_of(make_visit(1, NOON, **fields))


def without(*fields: str) -> dict[str, Any]:
    return {name: value for name, value in make_visit(1, NOON).items() if name not in fields}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("WaitingConfirmation", "scheduled"),
        ("Confirmed", "confirmed"),
        ("Canceled", "cancelled"),
        ("Cancelled", "cancelled"),
        ("Declined", "declined"),
        ("Missed", "no_show"),
    ],
)
def test_statuses_are_translated(theirs: str, ours: str) -> None:
    assert visit(Status=theirs).status == ours


@pytest.mark.parametrize(
    ("telehealth", "link"),
    [
        (None, None),
        ({}, None),
        ("https://meet.example.org/text", None),
        ({"Provider": "Zoom", "StartUrl": HOST, "JoinUrl": JOIN, "Url": URL}, JOIN),
        ({"Provider": "Zoom", "StartUrl": HOST, "JoinUrl": "", "Url": URL}, URL),
        ({"Provider": "Zoom", "StartUrl": HOST}, None),
        ({"Provider": "IntakeQ", "StartUrl": HOST}, HOST),
        ({"Provider": "IntakeQ", "StartUrl": HOST, "JoinUrl": JOIN}, JOIN),
        ({"StartUrl": HOST}, None),
        ({"Provider": "IntakeQ", "StartUrl": "javascript:alert(1)"}, None),
        ({"Provider": "Zoom", "JoinUrl": 5}, None),
    ],
)
def test_the_link_is_one_that_a_patient_may_use(telehealth: Any, link: str | None) -> None:
    assert visit(TelehealthInfo=telehealth).meeting_url == link


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1988-05-23", date(1988, 5, 23)),
        ("1988-05-23T00:00:00.0000000", date(1988, 5, 23)),
        (580348800000, date(1988, 5, 23)),
        (580348800000.0, date(1988, 5, 23)),
        (-86400000, date(1969, 12, 31)),
        (None, None),
        ("", None),
        ("23 May", None),
        (1e300, None),
        (float("nan"), None),
        ([], None),
    ],
)
def test_a_birth_date_is_read_in_every_form_as_a_utc_day(value: Any, expected: date | None) -> None:
    assert birth_date_of(value) == expected
    assert visit(ClientDateOfBirth=value if value == value else None).client_birth_date == expected  # noqa: PLR0124


@pytest.mark.parametrize(
    "fields",
    [
        {"StartDate": None},
        {"StartDate": "2027-03-10"},
        {"StartDate": float("inf")},
        {"StartDate": 1e300},
        {"EndDate": make_visit(1, NOON)["StartDate"]},
        {"LastModified": None},
        {"Id": ""},
        {"ClientNote": "a\x00b"},
        {"ClientNote": "half \ud83d"},
        {"Price": float("nan")},
    ],
)
def test_a_visit_is_not_guessed_at(fields: dict[str, Any]) -> None:
    with pytest.raises(EhrRefused, match=r"^refused: unreadable$"):
        visit(**fields)


@pytest.mark.parametrize("status", ["Tentative", "", None, 7, ["Canceled"]])
def test_a_status_that_nobody_has_met_keeps_the_time_taken(status: Any) -> None:
    assert visit(Status=status).status == "scheduled"


@pytest.mark.parametrize("field", ["Id", "StartDate", "EndDate", "LastModified"])
def test_a_visit_without_what_matters_is_refused(field: str) -> None:
    with pytest.raises(EhrRefused):
        visit_of(without(field))


def test_everything_else_may_be_missing() -> None:
    kept = ("Id", "StartDate", "EndDate", "LastModified")
    bare = visit_of({field: value for field, value in make_visit(1, NOON).items() if field in kept})
    assert (bare.client_id, bare.client_email, bare.practitioner_id, bare.meeting_url) == (None, None, None, None)
    assert (bare.starts_at, bare.ends_at) == (NOON, NOON + timedelta(hours=1))


def test_unknown_fields_are_kept_and_the_misleading_times_ignored() -> None:
    row = make_visit(1, NOON, StartDateIso="nonsense", StartDateLocal=None, Novelty={"a": 1})
    read = visit_of(row)
    assert (read.raw, read.starts_at) == (row, NOON)


def test_service_and_place_are_known_under_both_names() -> None:
    row = without("LocationName", "ServiceName") | {"Location": "Main Street", "Service": "Visit"}
    assert visit_of(row).location_name == "Main Street"


def test_ids_are_text_and_empty_text_is_nothing() -> None:
    read = visit(ClientId="4821", PractitionerId=17, ClientEmail="", ServiceId="")
    assert (read.client_id, read.practitioner_id, read.client_email, read.ehr_service_id) == ("4821", "17", None, None)


def test_the_hash_does_not_mind_order_forms_and_unread_fields() -> None:
    answer = {"FieldId": "plan", "Value": "gold"}
    plain = visit(CustomFields=[answer])
    reversed_answer = dict(reversed(list(answer.items())))
    row = make_visit(1, NOON, ClientId="4821", LocationId=4, Price=299, Procedures=[], CustomFields=[reversed_answer])
    turned = dict(reversed(list(row.items())))
    assert visit_of(turned).content_hash == plain.content_hash
    assert visit_of(json.loads(json.dumps(row))).content_hash == plain.content_hash


@pytest.mark.parametrize(
    "fields",
    [
        {"Status": "Missed"},
        {"ClientId": 1},
        {"ClientEmail": "other@example.org"},
        {"ClientDateOfBirth": "1988-05-24"},
        {"PractitionerId": "other"},
        {"ServiceId": "other"},
        {"LocationName": "Main Street"},
        {"PlaceOfService": "11"},
        {"LastModified": 1},
        {"EndDate": make_visit(1, NOON, minutes=45)["EndDate"]},
        {"TelehealthInfo": {"JoinUrl": JOIN}},
        {"CustomFields": [{"FieldId": "a", "Value": "b"}]},
        {"AdditionalClients": [{"ClientId": 7}]},
    ],
)
def test_the_hash_changes_with_everything_that_is_read(fields: dict[str, Any]) -> None:
    assert visit(**fields).content_hash != visit().content_hash


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_instants_survive_the_way_there_and_back(moment: datetime) -> None:
    instant = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    end = epoch_ms(instant + timedelta(minutes=30))
    read = visit(StartDate=epoch_ms(instant), EndDate=float(end))
    assert (read.starts_at, read.ends_at) == (instant, instant + timedelta(minutes=30))


def test_a_client_is_written_with_what_is_known_and_the_birth_date_as_a_utc_midnight() -> None:
    details = ClientDetails("ref", "Dana", "Whitlock", None, None, date(1988, 5, 23))
    assert client_body(details) == {
        "FirstName": "Dana",
        "LastName": "Whitlock",
        "DateOfBirth": 580348800000,
        "ExternalClientId": "ref",
    }


def test_a_client_row_is_read_with_either_name_of_its_id() -> None:
    assert client_of({"ClientNumber": "4821"}).client_id == client_of({"ClientId": 4821}).client_id == "4821"
    with pytest.raises(EhrRefused):
        client_of({"Name": "Dana Whitlock"})


def test_nobody_is_surely_the_person_without_a_birth_date_or_a_contact() -> None:
    row = client_of(make_client(Phone=None, Email=None))
    assert not row.is_surely(ClientDetails("ref", "Dana", "Whitlock", None, None, date(1988, 5, 23)))
    row = client_of(make_client(DateOfBirth=None))
    assert not row.is_surely(ClientDetails("ref", "Dana", "Whitlock", "dana.whitlock@example.org", None, None))
    like = ClientDetails("ref", " dana", "x", "DANA.whitlock@example.org ", "1-801-555-0142", None)
    assert row.shared_contacts(like) == {"email", "phone"}
    assert row.shared_contacts(replace(like, first_name="Dan")) == set()
