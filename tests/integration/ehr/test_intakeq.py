"""The adapter against the live simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from local.simulators.intakeq.wire import birth_ms, to_ms
from moonlit.ehr.port import ClientDetails, Ehr, EhrRefused, EhrVisit, Lane, Move, NewVisit
from tests.fixtures_intakeq import (
    CLIENT,
    NOON,
    PRACTITIONER,
    SHORT_SERVICE,
    IntakeqServer,
    MovableClock,
    OpenBudget,
    OpenIntakeq,
    StartIntakeq,
    make_account,
    make_client,
    make_visit,
)

TOMORROW = NOON + timedelta(days=1)
DANA = ClientDetails("our-id-1", "Dana", "Whitlock", "dana.whitlock@example.org", "+1 801 555 0142", date(1988, 5, 23))
VISIT = NewVisit(PRACTITIONER, str(CLIENT), SHORT_SERVICE, None, TOMORROW)

type Serve = Callable[..., tuple[IntakeqServer, Ehr]]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def budget() -> OpenBudget:
    return OpenBudget()


@pytest.fixture
def serve(start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq, clock: MovableClock, budget: OpenBudget) -> Serve:
    def start(**account: Any) -> tuple[IntakeqServer, Ehr]:
        server = start_intakeq(make_account(**account), clock)
        return server, open_intakeq(server, budget)

    return start


def numbers(visits: Any) -> list[int]:
    return [int(visit.external_id, 16) for visit in visits]


def test_a_visit_is_read_in_the_ports_words(serve: Serve) -> None:
    link = {"Provider": "Zoom", "StartUrl": "https://meet.example.org/host", "JoinUrl": "https://meet.example.org/join"}
    _, ehr = serve(appointments=[make_visit(1, NOON, TelehealthInfo=link, LocationId=1)])
    visit = ehr.visit(f"{1:024x}", Lane.WEBHOOK)
    assert isinstance(visit, EhrVisit)
    assert (visit.client_id, visit.client_email) == (str(CLIENT), "dana.whitlock@example.org")
    assert (visit.client_birth_date, visit.practitioner_id) == (date(1988, 5, 23), PRACTITIONER)
    assert (visit.starts_at, visit.ends_at) == (NOON, NOON + timedelta(hours=1))
    assert (visit.status, visit.meeting_url) == ("confirmed", "https://meet.example.org/join")
    assert (visit.location_name, visit.place_of_service) == ("Telehealth (UT)", "10")
    assert visit.modified_at == NOON - timedelta(days=30)
    assert visit.starts_at.tzinfo is UTC


def test_a_list_row_and_a_single_read_have_the_same_hash(serve: Serve) -> None:
    _, ehr = serve(appointments=[make_visit(1, NOON)])
    single = ehr.visit(f"{1:024x}", Lane.WEBHOOK)
    listed = ehr.window(NOON.date(), NOON.date(), 1, Lane.NIGHTLY).visits[0]
    assert single
    assert single.raw != listed.raw
    assert single.content_hash == listed.content_hash


def test_an_unknown_or_deleted_visit_is_none(serve: Serve) -> None:
    server, ehr = serve(appointments=[make_visit(1, NOON)])
    server.staff("delete", id=f"{1:024x}")
    assert ehr.visit(f"{1:024x}", Lane.WEBHOOK) is None
    assert ehr.visit("no/such?visit#", Lane.WEBHOOK) is None


@pytest.mark.parametrize("bounds", ["exclusive", "inclusive"])
def test_a_window_is_whole_days_of_the_practice_however_the_vendor_counts(serve: Serve, bounds: str) -> None:
    # Just inside and just outside 10 and 11 March in Denver, with the hours in UTC.
    edges = [datetime(2027, 3, 10, 6, 59, tzinfo=UTC), datetime(2027, 3, 10, 7, 0, tzinfo=UTC),
             datetime(2027, 3, 12, 6, 59, tzinfo=UTC), datetime(2027, 3, 12, 7, 0, tzinfo=UTC)]  # fmt: skip
    rows = [make_visit(n, at) for n, at in enumerate(edges)]
    _, ehr = serve(appointments=rows, date_bounds=bounds)
    page = ehr.window(date(2027, 3, 10), date(2027, 3, 11), 1, Lane.NIGHTLY)
    assert (numbers(page.visits), page.is_last) == ([2, 1], True)


@pytest.mark.parametrize("bounds", ["exclusive", "inclusive"])
def test_nothing_changed_on_the_day_is_missed_however_the_vendor_counts(serve: Serve, bounds: str) -> None:
    changed = [datetime(2027, 3, 9, 6, 59, tzinfo=UTC), datetime(2027, 3, 10, 7, 0, tzinfo=UTC), NOON]
    rows = [make_visit(n, NOON, LastModified=to_ms(at)) for n, at in enumerate(changed)]
    _, ehr = serve(appointments=rows, date_bounds=bounds)
    assert numbers(ehr.changed_since(date(2027, 3, 10), 1, Lane.NIGHTLY).visits) == [1, 2]


def test_paging_ends_with_the_first_short_page(serve: Serve) -> None:
    _, ehr = serve(appointments=[make_visit(n, NOON + timedelta(minutes=5 * n)) for n in range(150)])
    pages = [ehr.changed_since(date(2027, 1, 1), page, Lane.NIGHTLY) for page in (1, 2)]
    assert [(len(page.visits), page.is_last) for page in pages] == [(100, False), (50, True)]


def test_a_full_page_that_the_window_empties_is_not_the_last(serve: Serve) -> None:
    outside = [make_visit(n, NOON + timedelta(days=1, minutes=n)) for n in range(1, 101)]
    _, ehr = serve(appointments=[make_visit(0, NOON), *outside], date_bounds="inclusive")
    first = ehr.window(NOON.date(), NOON.date(), 1, Lane.NIGHTLY)
    second = ehr.window(NOON.date(), NOON.date(), 2, Lane.NIGHTLY)
    assert (first.visits, first.is_last) == ([], False)
    assert (numbers(second.visits), second.is_last) == ([0], True)


def test_a_row_that_makes_no_sense_is_named_and_the_others_are_read(serve: Serve) -> None:
    odd = [
        make_visit(2, NOON, minutes=-5),
        make_visit(3, NOON, StartDate="soon"),
        make_visit(4, NOON, minutes=0),
    ]
    _, ehr = serve(appointments=[make_visit(1, NOON), *odd[:1], *odd[2:]])
    page = ehr.changed_since(date(2027, 1, 1), 1, Lane.NIGHTLY)
    assert (numbers(page.visits), sorted(page.unreadable)) == ([1], [f"{2:024x}", f"{4:024x}"])
    page = ehr.visits_of_client("dana.whitlock@example.org", NOON.date(), NOON.date(), Lane.ON_DEMAND)
    assert (numbers(page.visits), bool(page.unreadable), page.is_last) == ([1], True, True)
    with pytest.raises(EhrRefused) as refused:
        ehr.visits_of_practitioner(PRACTITIONER, NOON.date(), NOON.date(), Lane.BOOKING)
    assert refused.value.code == "unreadable"


def test_deleted_visits_are_shown_as_they_last_were(serve: Serve) -> None:
    server, ehr = serve(appointments=[make_visit(1, NOON), make_visit(2, NOON)])
    server.staff("delete", id=f"{2:024x}")
    page = ehr.deleted(1, Lane.NIGHTLY)
    assert [(visit.external_id, visit.status) for visit in page.visits] == [(f"{2:024x}", "confirmed")]


def test_a_clients_visits_are_read_to_the_last_page_with_the_address_quoted(serve: Serve) -> None:
    plus = "dana+one@example.org"
    rows = [make_visit(n, NOON + timedelta(minutes=5 * n), ClientEmail=plus) for n in range(-130, 0)]
    server, ehr = serve(
        appointments=[*[row | {"Id": f"{n:024x}"} for n, row in enumerate(rows)], make_visit(900, NOON)]
    )
    visits = ehr.visits_of_client(plus, NOON.date(), NOON.date(), Lane.ON_DEMAND).visits
    assert sorted(numbers(visits)) == list(range(130))
    assert [row["query"]["client"] for row in server.requests()] == [plus, plus]


def test_a_practitioners_day_is_asked_for_by_their_address_and_costs_one_request(serve: Serve) -> None:
    others = [make_visit(100 + n, TOMORROW, PractitionerId="x", PractitionerEmail="x@example.org") for n in range(150)]
    server, ehr = serve(appointments=[make_visit(1, TOMORROW), *others])
    for _ in range(2):
        visits = ehr.visits_of_practitioner(PRACTITIONER, TOMORROW.date(), TOMORROW.date(), Lane.BOOKING)
        assert numbers(visits) == [1]
    asked = [row["path"] for row in server.requests()]
    assert asked == ["/appointments/settings", "/appointments", "/appointments"]
    assert visits[0].created_at == NOON - timedelta(days=30)


def test_the_day_of_a_practitioner_whom_the_settings_do_not_know_is_everybodys(serve: Serve) -> None:
    _, ehr = serve(appointments=[make_visit(1, TOMORROW, PractitionerId="gone", PractitionerEmail="gone@example.org")])
    assert numbers(ehr.visits_of_practitioner("gone", TOMORROW.date(), TOMORROW.date(), Lane.BOOKING)) == [1]


def test_a_booking_is_confirmed_and_silent_in_the_accounts_first_place(serve: Serve) -> None:
    server, ehr = serve()
    booked = ehr.book(VISIT, Lane.BOOKING)
    [row] = server.state()["appointments"]
    assert (booked.external_id, booked.status, booked.starts_at) == (row["Id"], "confirmed", TOMORROW)
    assert (row["ReminderType"], row["LocationId"], row["ClientId"]) == ("OptOut", "4", CLIENT)
    ehr.book(VISIT, Lane.BOOKING)
    asked = [(row["method"], row["path"]) for row in server.requests()]
    book = ("POST", "/appointments")
    assert asked == [("GET", "/appointments/settings"), book, book]  # The first place is asked for once.


def test_a_fresh_client_is_refused_as_not_ready(serve: Serve) -> None:
    _, ehr = serve(fresh_client_seconds=5)
    details = ClientDetails("our-id-2", "Mara", "James", "mara@example.org", None, date(2001, 2, 3))
    client_id = ehr.client_for(details, Lane.BOOKING)
    with pytest.raises(EhrRefused) as refused:
        ehr.book(NewVisit(PRACTITIONER, client_id, SHORT_SERVICE, "4", TOMORROW), Lane.BOOKING)
    assert refused.value.code == "client_not_ready"


@pytest.mark.parametrize("status", [400, 409])
def test_a_refused_booking_says_with_what(serve: Serve, status: int) -> None:
    server, ehr = serve(appointments=[make_visit(1, TOMORROW)])
    server.fail({"method": "POST", "kind": "refuse_taken", "status": status})
    with pytest.raises(EhrRefused) as refused:
        ehr.book(VISIT, Lane.BOOKING)
    assert refused.value.code == str(status)


def test_a_move_keeps_the_id_and_is_silent(serve: Serve) -> None:
    server, ehr = serve(appointments=[make_visit(1, NOON)])
    moved = ehr.reschedule(Move(f"{1:024x}", str(CLIENT), None, TOMORROW), Lane.BOOKING)
    assert (numbers([moved]), moved.starts_at) == ([1], TOMORROW)
    assert server.state()["appointments"][0]["ReminderType"] == "OptOut"


def test_cancelling_twice_is_the_same_as_once(serve: Serve) -> None:
    server, ehr = serve(appointments=[make_visit(1, NOON)])
    for _ in range(2):
        ehr.cancel(f"{1:024x}", str(CLIENT), "patient asked", Lane.BOOKING)
    [row] = server.state()["appointments"]
    assert (row["Status"], row["FullCancellationReason"]) == ("Canceled", "patient asked")


def test_cancelling_what_was_missed_is_refused(serve: Serve) -> None:
    _, ehr = serve(appointments=[make_visit(1, NOON, Status="Missed")])
    with pytest.raises(EhrRefused):
        ehr.cancel(f"{1:024x}", str(CLIENT), "", Lane.BOOKING)


def test_cancelling_what_is_not_there_leaves_it_so(serve: Serve) -> None:
    server, ehr = serve(appointments=[make_visit(1, NOON), make_visit(2, NOON)])
    server.staff("delete", id=f"{1:024x}")
    for external_id in (f"{1:024x}", "unknown"):
        ehr.cancel(external_id, str(CLIENT), "", Lane.BOOKING)
    assert [row["Status"] for row in server.state()["appointments"]] == ["Confirmed"]


@pytest.mark.parametrize(
    ("known", "is_found"),
    [
        ({}, True),
        ({"FirstName": "DANA ", "Email": "Dana.Whitlock@example.org", "Phone": None}, True),
        ({"Email": "old@example.org", "Phone": "801.555.0142"}, True),
        ({"Email": None, "Phone": None, "MobilePhone": "8015550142"}, True),
        ({"Email": "old@example.org", "Phone": "8015550199"}, False),
        ({"LastName": "Rowe"}, False),
        ({"FirstName": "Danaë"}, False),
        ({"DateOfBirth": "1988-05-24"}, False),
        ({"DateOfBirth": None}, False),
        ({"Email": "dana.whitlock@example.org.evil.example", "Phone": None}, False),
    ],
)
def test_a_client_is_found_only_when_names_birth_date_and_a_contact_agree(
    serve: Serve, known: dict[str, Any], *, is_found: bool
) -> None:
    _, ehr = serve(clients=[make_client(**known)])
    try:
        found = ehr.client_for(DANA, Lane.BOOKING)
    except EhrRefused as refused:
        found = refused.code
    assert (found == str(CLIENT)) is is_found


def test_of_two_records_of_the_person_one_is_taken(serve: Serve) -> None:
    server, ehr = serve(clients=[make_client(1), make_client(2)])
    assert ehr.client_for(DANA, Lane.BOOKING) in {"1", "2"}
    assert len(server.state()["clients"]) == 2


def test_a_client_behind_a_full_page_of_namesakes_is_found(serve: Serve) -> None:
    crowd = [make_client(n, LastName="Aaron", Email=f"d{n}@example.org", Phone=None) for n in range(1, 131)]
    _, ehr = serve(clients=[*crowd, make_client()])
    assert ehr.client_for(DANA, Lane.BOOKING) == str(CLIENT)


def test_a_new_client_carries_the_birth_date_and_our_reference(serve: Serve) -> None:
    server, ehr = serve(clients=[])
    client_id = ehr.client_for(DANA, Lane.BOOKING)
    [row] = server.state()["clients"]
    assert (client_id, row["DateOfBirth"], row["ExternalClientId"]) == (
        str(row["ClientId"]),
        birth_ms("1988-05-23"),
        "our-id-1",
    )
    assert ehr.client_for(DANA, Lane.BOOKING) == client_id


@pytest.mark.parametrize("known", [{"DateOfBirth": "2015-05-23"}, {"DateOfBirth": None}, {"LastName": "Rowe"}])
def test_a_client_that_would_overwrite_somebody_else_is_not_sent(serve: Serve, known: dict[str, Any]) -> None:
    server, ehr = serve(clients=[make_client(**known)])
    before = server.state()["clients"]
    with pytest.raises(EhrRefused) as refused:
        ehr.client_for(DANA, Lane.BOOKING)
    assert refused.value.code == "client_merged"
    assert server.state()["clients"] == before


@pytest.mark.parametrize(
    ("known", "left_out"),
    [
        ({"LastName": "Rowe", "Email": None}, "Phone"),
        ({"LastName": "Rowe", "Phone": None}, "Email"),
        ({"FirstName": "dana", "Email": None, "Phone": "801-555-0142", "DateOfBirth": "1960-01-01"}, "Phone"),
    ],
)
def test_a_new_client_goes_without_the_contact_that_would_merge_it(
    serve: Serve, known: dict[str, Any], left_out: str
) -> None:
    server, ehr = serve(clients=[make_client(**known)])
    before = server.state()["clients"]
    client_id = ehr.client_for(DANA, Lane.BOOKING)
    [created] = [row for row in server.state()["clients"] if str(row["ClientId"]) == client_id]
    assert created[left_out] is None
    assert [row for row in server.state()["clients"] if row != created] == before


def test_a_first_name_that_is_part_of_every_address_does_not_spend_the_budget(serve: Serve) -> None:
    crowd = [make_client(n, FirstName=f"Z{n}", Email=f"z{n}@mail.example.org", Phone=None) for n in range(1, 1051)]
    server, ehr = serve(clients=crowd)
    mai = replace(DANA, first_name="Mai", email="mai@example.org")
    client_id = ehr.client_for(mai, Lane.BOOKING)
    [created] = [row for row in server.state()["clients"] if str(row["ClientId"]) == client_id]
    assert (created["Email"], created["Phone"]) == ("mai@example.org", None)  # Whoever has the phone was not looked at.
    assert len(server.requests()) <= 5
    assert ehr.client_for(mai, Lane.BOOKING) == client_id


def test_creating_a_person_who_is_there_gives_their_record(serve: Serve) -> None:
    server, ehr = serve()
    assert ehr.client_for(DANA, Lane.BOOKING) == str(CLIENT)
    assert len(server.state()["clients"]) == 1


def test_a_namesake_with_other_contacts_does_not_stand_in_the_way(serve: Serve) -> None:
    server, ehr = serve(clients=[make_client(Email="other@example.org", Phone="8015550100")])
    assert ehr.client_for(DANA, Lane.BOOKING) != str(CLIENT)
    assert len(server.state()["clients"]) == 2


def test_every_request_is_taken_from_the_lane_that_asked(serve: Serve, budget: OpenBudget) -> None:
    server, ehr = serve(appointments=[make_visit(1, NOON)])
    ehr.deleted(1, Lane.NIGHTLY)
    ehr.visit(f"{1:024x}", Lane.WEBHOOK)
    ehr.book(VISIT, Lane.BOOKING)
    assert budget.taken == [Lane.NIGHTLY, Lane.WEBHOOK, Lane.BOOKING, Lane.BOOKING]
    assert len(server.requests()) == len(budget.taken)
