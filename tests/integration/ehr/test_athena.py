"""What is athenahealth's own, against the live simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from moonlit.ehr import athena_calls
from moonlit.ehr.port import ClientDetails, EhrOutcomeUnknown, EhrRefused, Lane, Membership, VisitDetails
from moonlit.observability import logger
from tests.fixtures_athena import (
    DEPARTMENT,
    EASTERN_DEPARTMENT,
    NO_SHOW,
    NOTICE_REASON,
    OTHER_PACKAGE,
    OTHER_PROVIDER,
    PACKAGE,
    PATIENT,
    PROVIDER,
    REASON,
    SELF_PAY,
    SUPERVISOR,
    AthenaServer,
    make_appointment,
    make_patient,
    make_slot,
)
from tests.fixtures_intakeq import NOON
from tests.integration.ehr.sites import (
    DANA,
    DAY,
    DETAILS,
    FREE_SLOT,
    FROZEN_SLOT,
    MARA,
    SEAT,
    TOMORROW,
    VISIT,
    AthenaSite,
)

type Serve = Callable[..., AthenaSite]

SPRING, AUTUMN = date(2027, 3, 14), date(2027, 11, 7)  # When the clocks are changed.


def ids(found: Sequence[Any]) -> list[str]:
    return [visit.external_id for visit in found]


def refusal_of(work: Callable[[], object]) -> str:
    with pytest.raises(EhrRefused) as refused:
        work()
    return refused.value.code


# ── Times ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("department", "day", "clock", "starts_at"),
    [
        (DEPARTMENT, "03/13/2027", "09:00", datetime(2027, 3, 13, 16, 0, tzinfo=UTC)),
        (DEPARTMENT, "03/14/2027", "09:00", datetime(2027, 3, 14, 15, 0, tzinfo=UTC)),
        (DEPARTMENT, "03/14/2027", "02:30", datetime(2027, 3, 14, 9, 30, tzinfo=UTC)),  # Skipped: 03:30.
        (DEPARTMENT, "11/07/2027", "01:30", datetime(2027, 11, 7, 7, 30, tzinfo=UTC)),  # Twice: the first.
        (EASTERN_DEPARTMENT, "11/07/2027", "09:00", datetime(2027, 11, 7, 14, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_by_the_departments_own_clock(
    serve_athena: Serve, department: str, day: str, clock: str, starts_at: datetime
) -> None:
    site = serve_athena(appointments=[make_appointment(5, clock, day, departmentid=department)])
    visit = site.ehr.visit("5", Lane.WEBHOOK)
    assert visit
    assert (visit.starts_at, visit.ends_at - visit.starts_at) == (starts_at, timedelta(minutes=30))
    assert visit.location_id == department


def test_days_are_cut_by_the_practice_and_not_by_the_department(serve_athena: Serve) -> None:
    # Half past midnight in the East is still the evening before in Denver.
    late = make_appointment(5, "00:30", "03/11/2027", departmentid=EASTERN_DEPARTMENT)
    site = serve_athena(appointments=[late])
    assert ids(site.ehr.window(DAY, DAY, 1, Lane.NIGHTLY).visits) == ["5"]
    assert ids(site.ehr.window(TOMORROW.date(), TOMORROW.date(), 1, Lane.NIGHTLY).visits) == []


# ── Reading the calendar ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"appointmentstatus": "f"}, "confirmed"),
        ({"appointmentstatus": "2"}, "confirmed"),
        ({"appointmentstatus": "4"}, "confirmed"),
        ({"appointmentstatus": "x"}, "cancelled"),
        ({"appointmentstatus": "x", "cancelreasonid": NO_SHOW}, "no_show"),
    ],
)
def test_statuses_are_told_in_the_ports_words(serve_athena: Serve, fields: dict[str, str], status: str) -> None:
    site = serve_athena(appointments=[make_appointment(5, **fields)])
    visit = site.ehr.visit("5", Lane.WEBHOOK)
    assert visit
    assert visit.status == status


def test_pages_follow_one_another_though_the_vendor_gives_fewer_rows(
    serve_athena: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(athena_calls, "PAGE_ROWS", 5)
    rows = [make_appointment(n, f"{9 + n % 8:02}:{n // 8 * 30:02}", "03/10/2027") for n in range(1, 13)]
    site = serve_athena(appointments=rows, settings={"page_limit": 3})
    pages = [site.ehr.window(DAY, DAY, page, Lane.NIGHTLY) for page in (1, 2, 3)]
    assert [(len(page.visits), page.is_last) for page in pages] == [(5, False), (5, False), (2, True)]
    assert sorted(int(each) for page in pages for each in ids(page.visits)) == list(range(1, 13))


def test_a_page_costs_one_request_and_the_departments_are_asked_for_once(athena_site: AthenaSite) -> None:
    fresh = athena_site.open()
    for _ in range(2):
        fresh.window(DAY, DAY, 1, Lane.NIGHTLY)
    assert [row["path"] for row in athena_site.server.requests()] == [
        "/departments",
        "/appointments/booked/multipledepartment",
        "/appointments/booked/multipledepartment",
    ]


def test_changes_of_any_day_are_found_and_older_ones_are_not(serve_athena: Serve) -> None:
    old, new = (NOON - timedelta(days=3)).isoformat(), NOON.isoformat()
    site = serve_athena(
        appointments=[
            make_appointment(1, date="03/10/2027", lastmodified=old),
            make_appointment(2, date="06/10/2027", lastmodified=new),
            make_appointment(3, date="12/10/2026", lastmodified=new, appointmentstatus="x"),
        ]
    )
    found = site.ehr.changed_since(DAY, 1, Lane.NIGHTLY)
    assert (sorted(ids(found.visits)), found.is_last) == (["2", "3"], True)
    assert {visit.modified_at for visit in found.visits} == {NOON}


def test_a_slot_that_is_open_again_has_another_id_and_is_no_visit(athena_site: AthenaSite) -> None:
    athena_site.ehr.cancel(VISIT, PATIENT, "patient asked", Lane.BOOKING)
    assert ids(athena_site.ehr.window(DAY, DAY, 1, Lane.NIGHTLY).visits) == [VISIT]
    [reopened] = [
        row for row in athena_site.server.state()["appointments"] if row["isOpen"] and row["date"] == "03/10/2027"
    ]
    assert athena_site.ehr.visit(reopened["appointmentid"], Lane.WEBHOOK) is None
    [cancelled] = [row for row in athena_site.server.state()["appointments"] if row["appointmentid"] == VISIT]
    assert cancelled["cancellationreason"] == "patient asked"


def test_nothing_is_ever_deleted_and_that_costs_no_request(athena_site: AthenaSite) -> None:
    page = athena_site.ehr.deleted(1, Lane.NIGHTLY)
    assert (list(page.visits), page.is_last, athena_site.sent()) == ([], True, [])


def test_a_patient_is_asked_for_by_id_because_an_address_finds_nobody(athena_site: AthenaSite) -> None:
    assert ids(athena_site.ehr.visits_of_client(PATIENT, DAY, DAY, Lane.ON_DEMAND).visits) == [VISIT]
    assert refusal_of(
        lambda: athena_site.ehr.visits_of_client("dana@example.org", DAY, DAY, Lane.ON_DEMAND)
    ) == "client_id_needed"  # fmt: skip


def test_another_practice_is_the_accounts_trouble_and_not_a_visit_that_is_gone(athena_site: AthenaSite) -> None:
    from moonlit.ehr.port import EhrLockedOut

    athena_site.server.fail()
    stranger = athena_site.open(practice_id="195901")
    with pytest.raises(EhrLockedOut):
        stranger.visit(VISIT, Lane.WEBHOOK)


# ── The feed of changes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_feed_gives_everything_once_until_it_is_empty(athena_site: AthenaSite) -> None:
    server = athena_site.server
    assert isinstance(server, AthenaServer)
    server.staff("cancel", appointmentid=VISIT)
    server.staff("book", appointmentid=FREE_SLOT, patientid=PATIENT)
    server.staff("freeze", appointmentid="2002")
    first, second = (athena_site.ehr.take_changes(Lane.NIGHTLY) for _ in range(2))
    assert [(row.external_id, row.kind, row.visit and row.visit.status) for row in first.rows] == [
        (VISIT, "visit", "cancelled"),
        (FREE_SLOT, "visit", "confirmed"),
        ("2002", "slot", None),
    ]
    assert (first.is_last, list(second.rows), second.is_last) == (False, [], True)


@pytest.mark.parametrize("kind", ["error_after", "drop_after", "html_after"])
def test_the_feed_is_not_asked_again_after_an_answer_that_was_lost(athena_site: AthenaSite, kind: str) -> None:
    athena_site.server.fail({"kind": kind})
    with pytest.raises(EhrOutcomeUnknown):
        athena_site.ehr.take_changes(Lane.NIGHTLY)
    assert len(athena_site.server.requests()) == 1


def test_a_row_of_the_feed_has_the_hash_of_the_visit(athena_site: AthenaSite) -> None:
    server = athena_site.server
    assert isinstance(server, AthenaServer)
    server.staff("status", appointmentid=VISIT, status="2")
    [changed] = athena_site.ehr.take_changes(Lane.NIGHTLY).rows
    visit = athena_site.ehr.visit(VISIT, Lane.WEBHOOK)
    assert visit
    assert changed.visit
    assert visit.content_hash == changed.visit.content_hash


def test_rows_that_were_taken_are_handed_on_even_when_nobody_can_say_how_to_read_them(
    athena_site: AthenaSite,
) -> None:
    server = athena_site.server
    assert isinstance(server, AthenaServer)
    server.staff("status", appointmentid=VISIT, status="2")
    server.staff("freeze", appointmentid="2002")
    stranger = athena_site.open()  # A process that has not asked for the departments yet.
    server.fail({"path": "/departments", "kind": "error_before", "times": None})
    changes = stranger.take_changes(Lane.NIGHTLY)
    assert [(row.external_id, row.kind, row.raw["appointmentid"]) for row in changes.rows] == [
        (VISIT, "unread", VISIT), ("2002", "slot", "2002"),
    ]  # fmt: skip


def test_a_row_of_the_feed_that_makes_no_sense_is_kept(athena_site: AthenaSite) -> None:
    server = athena_site.server
    assert isinstance(server, AthenaServer)
    server.staff("update", appointmentid=VISIT, departmentid="99")
    [row] = athena_site.ehr.take_changes(Lane.NIGHTLY).rows
    assert (row.external_id, row.kind, row.visit, row.raw["departmentid"]) == (VISIT, "unreadable", None, "99")


def test_a_subscription_is_made_once(serve_athena: Serve) -> None:
    site = serve_athena(subscription=None)
    assert refusal_of(lambda: site.ehr.take_changes(Lane.NIGHTLY)) == "not_granted"
    for _ in range(2):
        site.ehr.ensure_subscribed(Lane.NIGHTLY)
    assert site.sent() == ["GET", "GET", "POST", "GET"]
    assert site.ehr.take_changes(Lane.NIGHTLY).is_last


# ── Booking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_booking_is_silent_and_makes_no_work_for_staff(athena_site: AthenaSite) -> None:
    booked = athena_site.ehr.book(athena_site.free, Lane.BOOKING)
    [row] = [row for row in athena_site.server.state()["appointments"] if row["appointmentid"] == FREE_SLOT]
    assert (row["reasonid"], row["patientid"], row["departmentid"]) == (REASON, PATIENT, DEPARTMENT)
    assert row["options"] == {"nopatientcase": "true", "donotsendconfirmationemail": "true"}
    assert booked.ehr_service_id == REASON


def test_without_a_slot_nothing_is_booked(athena_site: AthenaSite) -> None:
    assert refusal_of(lambda: athena_site.ehr.book(replace(athena_site.free, slot_id=None), Lane.BOOKING)) == "409"
    move = replace(athena_site.move(), slot_id=None)
    assert refusal_of(lambda: athena_site.ehr.reschedule(move, Lane.BOOKING)) == "409"
    assert athena_site.sent() == []


def test_a_move_that_cannot_be_read_again_is_not_taken_for_one_that_failed(athena_site: AthenaSite) -> None:
    athena_site.server.fail({"method": "GET", "kind": "error_before", "times": None})
    with pytest.raises(EhrOutcomeUnknown):
        athena_site.ehr.reschedule(athena_site.move(), Lane.BOOKING)


def test_a_visit_that_the_patient_missed_is_not_cancelled(serve_athena: Serve) -> None:
    missed = make_appointment(5, appointmentstatus="x", cancelreasonid=NO_SHOW)
    site = serve_athena(appointments=[missed])
    assert refusal_of(lambda: site.ehr.cancel("5", PATIENT, "patient asked", Lane.BOOKING)) == "400"


def test_a_visit_of_another_patient_is_not_cancelled(athena_site: AthenaSite) -> None:
    before = athena_site.content()
    assert refusal_of(lambda: athena_site.ehr.cancel(VISIT, "1", "patient asked", Lane.BOOKING)) == "400"
    assert athena_site.content() == before


# ── Open slots ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_slots_are_found_whatever_the_vendor_hides_by_itself(serve_athena: Serve) -> None:
    site = serve_athena(
        slots=[
            make_slot(1, "13:00", "03/10/2027"),  # In an hour.
            make_slot(2, "09:00", "04/10/2027"),  # Later than in a week.
            make_slot(3, "09:00", "07/10/2027"),  # Later than in 90 days.
            make_slot(4, "09:00", "04/10/2027", providerid=OTHER_PROVIDER, departmentid=EASTERN_DEPARTMENT),
            make_slot(5, "09:00", "04/11/2027", frozen=True),
            make_slot(6, "09:00", "04/10/2027", providerid=OTHER_PROVIDER),
            make_slot(7, "09:00", "04/10/2027", departmentid=EASTERN_DEPARTMENT),
        ]
    )
    seats = [SEAT, (OTHER_PROVIDER, EASTERN_DEPARTMENT)]
    slots = site.ehr.open_slots(seats, [REASON, NOTICE_REASON], DAY, date(2027, 7, 31), Lane.NIGHTLY)
    assert [slot.slot_id for slot in slots] == ["1", "2", "4", "3"]
    assert {(slot.practitioner_id, slot.location_id) for slot in slots} == set(seats)
    assert slots[0].reason_ids == (REASON,)
    assert (slots[0].starts_at, slots[0].ends_at) == (NOON + timedelta(hours=1), NOON + timedelta(minutes=90))
    assert site.sent() == ["GET"]


def test_without_seats_or_services_nothing_is_asked(athena_site: AthenaSite) -> None:
    assert list(athena_site.ehr.open_slots([], [REASON], DAY, DAY, Lane.NIGHTLY)) == []
    assert list(athena_site.ehr.open_slots([SEAT], [], DAY, DAY, Lane.NIGHTLY)) == []
    assert athena_site.sent() == []


def test_freezing_what_is_not_open_any_more_says_that_it_is_taken(athena_site: AthenaSite) -> None:
    for slot_id in (VISIT, "404404"):
        assert refusal_of(lambda: athena_site.ehr.freeze(slot_id, Lane.BOOKING)) == "409"  # noqa: B023
        athena_site.ehr.thaw(slot_id, Lane.BOOKING)


def test_an_app_that_may_not_freeze_is_told_so(athena_site: AthenaSite) -> None:
    server = athena_site.server
    assert isinstance(server, AthenaServer)
    server.settings(freeze=False)
    assert refusal_of(lambda: athena_site.ehr.freeze(FREE_SLOT, Lane.BOOKING)) == "not_granted"
    assert refusal_of(lambda: athena_site.ehr.thaw(FROZEN_SLOT, Lane.BOOKING)) == "not_granted"


# ── Patients ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("known", "is_found"),
    [
        ({}, True),
        ({"firstname": "DANA ", "email": "Dana.Whitlock@example.org", "mobilephone": ""}, True),
        ({"email": "old@example.org", "mobilephone": "", "homephone": "(801) 555-0142"}, True),
        ({"status": "prospective"}, True),
        ({"email": "old@example.org", "mobilephone": "8015550199"}, False),
        ({"lastname": "Rowe"}, False),
        ({"firstname": "Danaë"}, False),
        ({"dob": "05/24/1988"}, False),
        ({"status": "inactive"}, False),
        ({"status": "deleted"}, False),
    ],
)
def test_a_patient_is_found_only_when_names_birth_date_and_a_contact_agree(
    serve_athena: Serve, known: dict[str, Any], *, is_found: bool
) -> None:
    site = serve_athena(patients=[make_patient(**known)], appointments=[])
    try:
        found = site.ehr.client_for(DANA, Lane.BOOKING)
    except EhrRefused as refused:
        found = refused.code
    assert (found == PATIENT) is is_found


@pytest.mark.parametrize("known", [{"firstname": "Danielle"}, {"status": "inactive"}, {"status": "deleted"}])
def test_somebody_whom_the_vendor_would_silently_hand_back_is_not_taken(
    serve_athena: Serve, known: dict[str, Any]
) -> None:
    site = serve_athena(patients=[make_patient(**known)], appointments=[])
    before = site.server.state()["patients"]
    assert refusal_of(lambda: site.ehr.client_for(DANA, Lane.BOOKING)) == "client_merged"
    assert site.server.state()["patients"] == before


def test_somebody_whom_the_search_did_not_show_is_not_taken_either(serve_athena: Serve) -> None:
    crowd = [make_patient(str(n), email=f"d{n}@example.org", mobilephone="") for n in range(1, 6)]
    site = serve_athena(patients=[*crowd, make_patient(firstname="Danielle", email="")], appointments=[])
    assert refusal_of(lambda: site.ehr.client_for(DANA, Lane.BOOKING)) == "client_merged"
    assert len(site.server.state()["patients"]) == 6


def test_of_two_records_of_the_person_the_older_is_taken(serve_athena: Serve) -> None:
    site = serve_athena(patients=[make_patient("70000"), make_patient("9000")], appointments=[])
    assert site.ehr.client_for(DANA, Lane.BOOKING) == "9000"
    assert "POST" not in site.sent()


def test_a_new_patient_goes_without_a_number_that_would_be_refused(athena_site: AthenaSite) -> None:
    for number in ("8014567890", "5555555555", "911-555-0142", "555 0142", ""):
        mara = replace(MARA, phone=number, last_name=f"James {number[-2:]}")
        patient_id = athena_site.ehr.client_for(mara, Lane.BOOKING)
        [row] = [row for row in athena_site.server.state()["patients"] if row["patientid"] == patient_id]
        assert "mobilephone" not in row
        assert (row["dob"], row["email"], row["departmentid"]) == ("02/03/2001", "mara@example.org", DEPARTMENT)


@pytest.mark.parametrize(
    ("details", "code"),
    [
        (replace(MARA, first_name="Wilhelmina Theodora Ann"), "name_too_long"),
        (replace(MARA, last_name="J" * 31), "name_too_long"),
        (replace(MARA, birth_date=None), "birth_date_missing"),
        (replace(MARA, email=f"{'m' * 50}@example.org"), "contact_missing"),
        (replace(MARA, email=None, phone="8014567890"), "contact_missing"),
    ],
)
def test_whom_the_vendor_cannot_take_is_not_sent_cut_short(
    athena_site: AthenaSite, details: ClientDetails, code: str
) -> None:
    assert refusal_of(lambda: athena_site.ehr.client_for(details, Lane.BOOKING)) == code
    assert athena_site.sent() == []


def test_a_name_is_sent_without_the_blanks_that_make_it_too_long(athena_site: AthenaSite) -> None:
    spaced = replace(MARA, first_name="  Wilhelmina    Theodora ")
    patient_id = athena_site.ehr.client_for(spaced, Lane.BOOKING)
    [row] = [row for row in athena_site.server.state()["patients"] if row["patientid"] == patient_id]
    assert row["firstname"] == "Wilhelmina Theodora"
    assert athena_site.ehr.client_for(spaced, Lane.BOOKING) == patient_id


# ── Details ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_those_who_see_the_patient_and_the_policy_are_set(athena_site: AthenaSite) -> None:
    athena_site.ehr.add_details(VISIT, PATIENT, DETAILS, Lane.BOOKING)
    people, attached, [policy] = athena_site.details()
    assert (people["supervisingproviderid"], people["renderingproviderid"]) == (int(SUPERVISOR), int(OTHER_PROVIDER))
    assert people["providerid"] == PROVIDER  # Whose schedule it is on stays.
    assert attached == {"primary": policy["insuranceid"]}
    assert (policy["insuranceidnumber"], policy["policynumber"]) == ("SMP00417722", "GRP-2201")
    assert policy["insurancepolicyholderlastname"] == "Whitlock"


@pytest.mark.parametrize("answers", ["success_only", "without_id"])
def test_a_policy_without_an_id_in_the_answer_is_looked_up(serve_athena: Serve, answers: str) -> None:
    site = serve_athena(settings={"insurance_answers": answers})
    site.ehr.add_details(VISIT, PATIENT, DETAILS, Lane.BOOKING)
    _, attached, [policy] = site.details()
    assert attached == {"primary": policy["insuranceid"]}


def test_a_policy_whose_creation_was_lost_is_not_created_again(athena_site: AthenaSite) -> None:
    athena_site.server.fail({"method": "POST", "kind": "drop_after"})
    with pytest.raises(EhrOutcomeUnknown):
        athena_site.ehr.add_details(VISIT, PATIENT, DETAILS, Lane.BOOKING)
    athena_site.ehr.add_details(VISIT, PATIENT, DETAILS, Lane.BOOKING)
    _, attached, [policy] = athena_site.details()
    assert attached == {"primary": policy["insuranceid"]}


def test_another_policy_stands_beside_the_one_that_is_there(athena_site: AthenaSite) -> None:
    athena_site.ehr.add_details(VISIT, PATIENT, DETAILS, Lane.BOOKING)
    other = VisitDetails(membership=Membership(OTHER_PACKAGE, "DH-1", None))
    athena_site.ehr.add_details(VISIT, PATIENT, other, Lane.BOOKING)
    _, attached, policies = athena_site.details()
    assert [(policy["insurancepackageid"], policy["sequencenumber"]) for policy in policies] == [
        (PACKAGE, "1"),
        (OTHER_PACKAGE, "2"),
    ]
    assert attached == {"primary": policies[1]["insuranceid"]}
    third = VisitDetails(membership=Membership(PACKAGE, "another", None))
    assert refusal_of(lambda: athena_site.ehr.add_details(VISIT, PATIENT, third, Lane.BOOKING)) == "no_place"


def test_who_pays_themselves_needs_no_number(serve_athena: Serve) -> None:
    site = serve_athena(patients=[make_patient()])  # Their sex is not known either.
    for _ in range(2):
        site.ehr.add_details(VISIT, PATIENT, VisitDetails(membership=Membership(SELF_PAY, "", None)), Lane.BOOKING)
    assert [policy["insurancepackageid"] for policy in site.details()[2]] == [SELF_PAY]


@pytest.mark.parametrize(
    ("membership", "code"),
    [(Membership(PACKAGE, "SMP00417722", None), "sex_unknown"), (Membership(None, "SMP00417722", None), "no_package")],
)
def test_what_is_missing_for_a_policy_is_named_and_the_people_are_set(
    serve_athena: Serve, membership: Membership, code: str
) -> None:
    site = serve_athena(patients=[make_patient()])
    details = replace(DETAILS, membership=membership)
    assert refusal_of(lambda: site.ehr.add_details(VISIT, PATIENT, details, Lane.BOOKING)) == code
    people, attached, policies = site.details()
    assert (people["supervisingproviderid"], attached, policies) == (int(SUPERVISOR), {}, [])


def test_a_message_inside_a_200_is_no_success(athena_site: AthenaSite) -> None:
    unknown = VisitDetails(supervising_id="999999")
    assert refusal_of(lambda: athena_site.ehr.add_details(VISIT, PATIENT, unknown, Lane.BOOKING)) == "not_done"


# ── Quota ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_quota_that_runs_low_is_warned_of_once_an_hour(serve_athena: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(logger, "warning", lambda message, **fields: warnings.append((message, fields)))
    site = serve_athena(limits={"per_day": 20})
    while not warnings:
        site.ehr.visit(VISIT, Lane.WEBHOOK)
    assert warnings == [("ehr_quota_low", {"limit": 20, "remaining": 1})]
    site.ehr.visit(VISIT, Lane.WEBHOOK)
    assert len(warnings) == 1
    site.clock.advance(hours=1)
    with pytest.raises(Exception, match="exhausted"):
        site.ehr.visit(VISIT, Lane.WEBHOOK)
    assert [fields["remaining"] for _, fields in warnings] == [1, 0]
