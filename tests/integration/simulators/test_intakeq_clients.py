from __future__ import annotations

from typing import Any

import pytest

from local.simulators.intakeq.wire import birth_ms
from tests.fixtures_intakeq import CLIENT, MovableClock, make_client
from tests.integration.simulators.conftest import Serve

MARA = {"FirstName": "Mara", "LastName": "James", "Email": "mara@example.org", "Phone": "8015550177"}


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["ClientId"] if "ClientId" in row else row["ClientNumber"]) for row in rows]


def test_a_short_row_has_the_number_as_text_and_a_profile_the_id_as_a_number(serve: Serve) -> None:
    _, api = serve()
    short = api.get("clients").json()[0]
    profile = api.get("clients", params={"IncludeProfile": "true"}).json()[0]
    assert short == {
        "Name": "Dana Whitlock",
        "Email": "dana.whitlock@example.org",
        "Phone": "(801) 555-0142",
        "ClientNumber": "4821",
    }
    assert (profile["ClientId"], profile["DateOfBirth"]) == (CLIENT, birth_ms("1988-05-23"))
    assert isinstance(profile["DateCreated"], float)
    assert api.get(f"clients/profile/{CLIENT}").json() == profile


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 3, 2]),
        ({"search": "PAUL"}, [1, 2]),
        ({"search": "paul.b@"}, [2]),
        ({"search": "3"}, [3]),
        ({"id": "2"}, [1, 3, 2]),
        ({"externalClientId": "mlt-3"}, [3]),
        ({"custom.plan": "gold"}, [2]),
        ({"custom[plan]": "gold"}, [2]),
        ({"dateCreatedStart": "2027-03-10"}, []),
        ({"dateCreatedEnd": "2027-03-11"}, [1, 3, 2]),
        ({"deletedOnly": "true"}, []),
    ],
)
def test_searching_is_by_part_or_exact_number_and_sorted_by_name(
    serve: Serve, query: dict[str, str], expected: list[int]
) -> None:
    gold = [{"FieldId": "plan", "Text": "Plan", "Value": "gold"}]
    _, api = serve(
        clients=[
            make_client(1, FirstName="Paul", LastName="Adams", Email="paul.a@example.org"),
            make_client(2, FirstName="Rita", LastName="Brand", Email="paul.b@example.org", CustomFields=gold),
            make_client(3, FirstName="Quin", LastName="Crane", Email="q3@example.org", ExternalClientId="mlt-3"),
        ]
    )
    assert numbers(api.get("clients", params=query).json()) == expected


def test_clients_come_in_pages_of_100(serve: Serve) -> None:
    _, api = serve(clients=[make_client(n, LastName=f"Number{n:04}") for n in range(1, 131)])
    pages = [api.get("clients", params={"page": page}).json() for page in (1, 2)]
    assert numbers([row for page in pages for row in page]) == list(range(1, 131))
    assert len(pages[1]) == 30


def test_a_new_client_gets_the_next_number_and_both_names_are_needed(serve: Serve) -> None:
    server, api = serve()
    created = api.post("clients", json=MARA | {"DateOfBirth": birth_ms("2001-02-03")}).json()
    assert (created["ClientId"], created["Name"]) == (CLIENT + 1, "Mara James")
    nameless = api.post("clients", json={"FirstName": "Mara"})
    assert nameless.json() == {"Message": "Fields FirstName and LastName are mandatory."}
    assert len(server.state()["clients"]) == 2


@pytest.mark.parametrize(
    ("like", "is_merged"),
    [
        ({"Email": "DANA.WHITLOCK@example.org"}, True),
        ({"Phone": "+1 801 555 0142"}, True),
        ({"Email": "other@example.org", "Phone": "8015550199"}, False),
        ({"FirstName": "Dean", "Email": "dana.whitlock@example.org", "Phone": "8015550142"}, False),
        ({}, False),
    ],
)
def test_the_same_first_name_with_email_or_phone_is_merged_without_a_word(
    serve: Serve, like: dict[str, str], *, is_merged: bool
) -> None:
    server, api = serve()
    saved = api.post("clients", json={"FirstName": "dana", "LastName": "Other"} | like)
    assert saved.status_code == 200
    assert (saved.json()["ClientId"] == CLIENT) is is_merged
    assert len(server.state()["clients"]) == (1 if is_merged else 2)


def test_an_update_by_id_changes_what_it_names_and_fails_for_unknown_ids(serve: Serve, clock: MovableClock) -> None:
    _, api = serve()
    clock.advance(days=1)
    body = {"ClientId": CLIENT, "FirstName": "Dana", "LastName": "Rowe"}
    updated = api.post("clients", json=body).json()
    assert (updated["Name"], updated["Email"]) == ("Dana Rowe", "dana.whitlock@example.org")
    assert updated["LastUpdateDate"] > updated["DateCreated"]
    assert api.post("clients", json=body | {"ClientId": 1}).status_code == 400


def test_a_birth_date_as_text_is_stored_as_nothing_and_unknown_fields_are_dropped(serve: Serve) -> None:
    _, api = serve()
    saved = api.post("clients", json=MARA | {"DateOfBirth": "2001-02-03", "PrimaryMemberID": "X1"}).json()
    assert saved["DateOfBirth"] is None
    assert "PrimaryMemberID" not in saved
