"""Rows of athenahealth in the forms in which they were recorded, or might come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from moonlit.ehr.athena_calls import listed, refusal_code, says_yes, written_row
from moonlit.ehr.athena_patients import is_phone
from moonlit.ehr.athena_rows import (
    Department,
    PatientRow,
    Practice,
    department_of,
    is_slot,
    names_unknown_reason,
    no_show_reason_of,
    open_slot_of,
    parsed,
    visit_of,
)
from moonlit.ehr.port import ClientDetails, EhrOutcomeUnknown, EhrRefused, EhrUnavailable

MOUNTAIN = ZoneInfo("US/Mountain")
PRACTICE = Practice({"1": Department("Moonlit Demo Clinic", MOUNTAIN)}, frozenset({"5"}))
ROW: dict[str, Any] = {
    "appointmentid": "1204881",
    "appointmentstatus": "f",
    "date": "03/16/2026",
    "starttime": "09:30",
    "duration": "30",
    "patientid": "50341",
    "departmentid": "1",
    "providerid": "71",
    "renderingproviderid": 71,
    "supervisingproviderid": 12,
    "appointmenttypeid": "82",
    "appointmenttype": "Office Visit",
    "lastmodified": "03/11/2026 14:05:22",
    "scheduleddatetime": "03/10/2026 09:00:00",
}
NINE_THIRTY = datetime(2026, 3, 16, 15, 30, tzinfo=UTC)


def test_a_recorded_row_is_read() -> None:
    visit = visit_of(ROW, PRACTICE)
    assert (visit.external_id, visit.client_id, visit.practitioner_id) == ("1204881", "50341", "71")
    assert (visit.starts_at, visit.ends_at) == (NINE_THIRTY, NINE_THIRTY + timedelta(minutes=30))
    assert visit.modified_at == datetime(2026, 3, 11, 18, 5, 22, tzinfo=UTC)  # US Eastern, in summer time.
    assert visit.created_at == datetime(2026, 3, 10, 13, 0, tzinfo=UTC)
    assert (visit.status, visit.location_name, visit.location_id) == ("confirmed", "Moonlit Demo Clinic", "1")
    assert (visit.ehr_service_id, visit.meeting_url, visit.place_of_service, visit.moved_to) == (None,) * 4
    assert visit.raw == ROW


@pytest.mark.parametrize(
    "form",
    [
        {"appointmentid": 1204881, "patientid": 50341, "departmentid": 1, "providerid": 71, "duration": 30},
        {"lastmodified": "03/12/2026 14:05:22", "lastmodifiedby": "API-10001"},
        {"lastmodified": None, "copay": 20, "frozenyn": "false"},
        {"patient": None},
    ],
)
def test_the_hash_is_the_same_in_every_form_of_one_visit(form: dict[str, Any]) -> None:
    assert visit_of(ROW | form, PRACTICE).content_hash == visit_of(ROW, PRACTICE).content_hash


@pytest.mark.parametrize(
    "change",
    [
        {"starttime": "09:45"},
        {"duration": "60"},
        {"patientid": "50342"},
        {"providerid": "72"},
        {"appointmentstatus": "x"},
        {"reasonid": ["962"]},
        {"rescheduledappointmentid": 1204990},
        {"patient": {"patientid": 50341, "email": "dana.whitlock@example.org"}},
        {"patient": {"patientid": 50341, "dob": "05/23/1988"}},
    ],
)
def test_the_hash_changes_with_whatever_is_read(change: dict[str, Any]) -> None:
    assert visit_of(ROW | change, PRACTICE).content_hash != visit_of(ROW, PRACTICE).content_hash


@pytest.mark.parametrize(
    ("stamps", "modified_at"),
    [
        ({"lastmodified": ""}, datetime(2026, 3, 10, 13, 0, tzinfo=UTC)),
        (
            {"lastmodified": "soon", "cancelleddatetime": "03/12/2026 09:00:00"},
            datetime(2026, 3, 12, 13, 0, tzinfo=UTC),
        ),
        ({"lastmodified": None, "scheduleddatetime": None}, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_row_without_a_version_is_older_than_any_that_has_one(stamps: dict[str, Any], modified_at: datetime) -> None:
    assert visit_of(ROW | stamps, PRACTICE).modified_at == modified_at


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"appointmentstatus": "2"}, "confirmed"),
        ({"appointmentstatus": "3"}, "confirmed"),
        ({"appointmentstatus": "4"}, "confirmed"),
        ({"appointmentstatus": "x"}, "cancelled"),
        ({"appointmentstatus": "x", "cancelreasonid": "-5"}, "cancelled"),
        ({"appointmentstatus": "x", "cancelreasonid": 5}, "no_show"),
        ({"appointmentstatus": "x", "cancelreasonnoshow": "true"}, "no_show"),
        ({"appointmentstatus": "x", "cancelreasonid": "5", "cancelreasonnoshow": False}, "cancelled"),
        ({"appointmentstatus": "q"}, "scheduled"),  # Nobody has met it: the time is kept.
    ],
)
def test_statuses(fields: dict[str, Any], status: str) -> None:
    assert visit_of(ROW | fields, PRACTICE).status == status


def test_the_list_of_reasons_is_needed_only_when_the_row_does_not_say() -> None:
    cancelled = ROW | {"appointmentstatus": "x", "cancelreasonid": "5"}
    assert names_unknown_reason(cancelled)
    assert not names_unknown_reason(cancelled | {"cancelreasonnoshow": "false"})
    assert not names_unknown_reason(ROW | {"appointmentstatus": "x"})
    assert not names_unknown_reason(ROW)
    assert no_show_reason_of({"appointmentcancelreasonid": 5, "noshow": "true"}) == "5"
    assert no_show_reason_of({"appointmentcancelreasonid": 4, "noshow": "false"}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"appointmentid": ""},
        {"appointmentid": None},
        {"departmentid": "2"},
        {"date": "2026-03-16"},
        {"date": "02/30/2026"},
        {"starttime": "25:00"},
        {"starttime": None},
        {"duration": "0"},
        {"duration": -30},
        {"duration": "long"},
        {"appointmentstatus": ""},
        {"appointmentstatus": "o"},
        {"appointmenttype": "\x00"},
    ],
)
def test_a_row_that_makes_no_sense_is_refused_without_being_quoted(change: dict[str, Any]) -> None:
    with pytest.raises(EhrRefused) as refused:
        visit_of(ROW | change, PRACTICE)
    assert (refused.value.code, str(refused.value)) == ("unreadable", "refused: unreadable")
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("row", [None, "text", [], 5, {}])
def test_what_is_no_row_is_refused(row: Any) -> None:
    with pytest.raises(EhrRefused):
        visit_of(row, PRACTICE)
    assert not is_slot(row)


@pytest.mark.parametrize("patient", [{}, [], "text", {"patientid": 50341, "dob": "soon", "email": ""}])
def test_an_odd_patient_does_not_hide_the_visit(patient: Any) -> None:
    visit = visit_of(ROW | {"patient": patient}, PRACTICE)
    assert (visit.client_id, visit.client_email, visit.client_birth_date) == ("50341", None, None)


@pytest.mark.parametrize(
    ("row", "winter_hours", "summer_hours"),
    [
        ({"timezonename": "US/Mountain"}, -7, -6),
        ({"timezonename": "US/Mountain", "timezoneoffset": -7, "doesnotobservedst": "false"}, -7, -6),
        ({"timezonename": "US/Mountain", "timezoneoffset": -7, "doesnotobservedst": "true"}, -7, -7),
        ({"timezonename": "US/Arizona", "doesnotobservedst": True}, -7, -7),
        ({"timezoneoffset": "-10", "doesnotobservedst": "true"}, -10, -10),
    ],
)
def test_a_department_has_the_clock_of_its_zone(row: dict[str, Any], winter_hours: int, summer_hours: int) -> None:
    department_id, department = department_of({"departmentid": 1} | row)
    offsets = [datetime(2027, month, 15, tzinfo=department.zone).utcoffset() for month in (1, 7)]
    assert department_id == "1"
    assert offsets == [timedelta(hours=winter_hours), timedelta(hours=summer_hours)]


@pytest.mark.parametrize("name", [None, "", "Nowhere", "../etc/passwd", "US"])
def test_a_department_without_a_clock_is_refused(name: str | None) -> None:
    with pytest.raises(EhrRefused):
        department_of({"departmentid": 1, "timezonename": name, "timezoneoffset": -7})


def test_an_open_slot_is_read_and_a_frozen_one_is_not() -> None:
    row = {
        "appointmentid": 1204881,
        "date": "03/16/2026",
        "starttime": "09:30",
        "duration": 30,
        "departmentid": 1,
        "providerid": 71,
        "reasonid": ["962", 963],
    }
    slot = open_slot_of(row, PRACTICE)
    assert slot
    assert (slot.slot_id, slot.practitioner_id, slot.location_id) == ("1204881", "71", "1")
    assert (tuple(slot.reason_ids), slot.starts_at) == (("962", "963"), NINE_THIRTY)
    assert open_slot_of(row | {"frozen": "true"}, PRACTICE) is None
    any_reason = open_slot_of(row | {"reasonid": "-1"}, PRACTICE)
    assert any_reason
    assert tuple(any_reason.reason_ids) == ("-1",)


def test_a_patient_is_compared_by_whatever_is_known() -> None:
    dana = ClientDetails("ref", "Dana", "Whitlock", None, "+1 (801) 555-0142", date(1988, 5, 23))
    row = {"patientid": 7, "firstname": "DANA", "lastname": "Whitlock ", "dob": "05/23/1988", "workphone": "8015550142"}
    assert parsed(PatientRow, row).is_surely(dana)
    for change in ({"dob": None}, {"dob": "1988-05-23"}, {"workphone": None}, {"lastname": None}):
        assert not parsed(PatientRow, row | change).is_surely(dana)


@pytest.mark.parametrize(
    ("digits", "is_good"),
    [
        ("8015550142", True),
        ("5555555555", False),
        ("8014567890", False),
        ("4115550142", False),
        ("1015550142", False),
        ("8011550142", False),
        ("801555014", False),
        ("", False),
    ],
)
def test_numbers_that_the_vendor_would_refuse(digits: str, *, is_good: bool) -> None:
    assert is_phone(digits) is is_good


@pytest.mark.parametrize("answer", [1, "1", True, [1], {"success": True}, {"success": "true"}, [{"success": "true"}]])
def test_done_is_said_in_many_ways(answer: Any) -> None:
    assert says_yes(answer)


@pytest.mark.parametrize(
    "answer",
    [0, "Invalid providerid.", None, {}, [], {"success": False}, {"success": "true", "errormessage": "not quite"}],
)
def test_what_does_not_say_so_was_not_done(answer: Any) -> None:
    assert not says_yes(answer)


@pytest.mark.parametrize("answer", [[], [{}, {}], {}, None, "1", [{"appointmentid": 1, "errormessage": "taken"}], [1]])
def test_an_error_inside_a_200_leaves_it_open_what_was_written(answer: Any) -> None:
    with pytest.raises(EhrOutcomeUnknown):
        written_row(answer)


@pytest.mark.parametrize("answer", [None, [], {}, {"appointments": None}, {"totalcount": 0}, "text"])
def test_a_list_that_is_none_is_unavailable(answer: Any) -> None:
    with pytest.raises(EhrUnavailable):
        listed(answer, "appointments")


def test_another_page_follows_while_the_vendor_says_where() -> None:
    assert listed({"appointments": [], "next": ""}, "appointments") == ([], False)
    assert listed({"appointments": [1], "next": "/v1/195900/departments?limit=1&offset=1"}, "appointments") == (
        [1],
        True,
    )


def test_a_refusal_is_named_by_its_status_unless_the_practice_is_unknown() -> None:
    assert refusal_code(404, {"error": "The appointment is not found."}) == "404"
    assert refusal_code(404, {"error": "Invalid Practice."}) is None
    assert (refusal_code(409, None), refusal_code(400, ["odd"])) == ("409", "400")
