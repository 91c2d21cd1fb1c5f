"""Patients, whom the server matches by itself, their insurance policies, and the practice's catalog."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures_athena import (
    DEPARTMENT,
    LONG_REASON,
    NOTICE_REASON,
    OTHER_PACKAGE,
    OTHER_PATIENT,
    PACKAGE,
    PATIENT,
    PROVIDER,
    REASON,
    SELF_PAY,
    make_appointment,
    make_athena_account,
    make_patient,
)
from tests.fixtures_intakeq import MovableClock
from tests.integration.simulators.conftest import ServeAthena

NEW = {"firstname": "Mara", "lastname": "Jameson", "dob": "02/03/2001", "departmentid": DEPARTMENT,
       "mobilephone": "8015550199"}  # fmt: skip
KNOWN = {"firstname": "D.", "lastname": "WHITLOCK", "dob": "05/23/1988", "departmentid": DEPARTMENT}
HOLDER = {
    "insurancepolicyholderfirstname": "Dana",
    "insurancepolicyholderlastname": "Whitlock",
    "insurancepolicyholdersex": "F",
}
POLICY = {"insurancepackageid": PACKAGE, "sequencenumber": "1", "insuranceidnumber": "SMP00417722"} | HOLDER


def test_a_new_patient_gets_an_id_in_an_array_of_one(athena: ServeAthena) -> None:
    server, api = athena()
    (created,) = api.post("patients", data=NEW).json()
    assert created["errormessage"] == ""
    assert created["patientid"] not in (PATIENT, OTHER_PATIENT)
    (row,) = api.get(f"patients/{created['patientid']}").json()
    assert row.items() >= (NEW | {"status": "active"}).items()
    assert len(server.state()["patients"]) == 3
    assert api.get("patients/1").status_code == 404


@pytest.mark.parametrize("field", ["firstname", "lastname", "dob", "departmentid"])
def test_a_patient_needs_names_birth_date_and_department(athena: ServeAthena, field: str) -> None:
    _, api = athena()
    answer = api.post("patients", data=NEW | {field: ""})
    assert (answer.status_code, answer.json()["missingfields"]) == (400, [field])


def test_a_patient_needs_some_contact(athena: ServeAthena) -> None:
    _, api = athena()
    bare = {name: value for name, value in NEW.items() if name != "mobilephone"}
    answer = api.post("patients", data=bare)
    assert answer.status_code == 400
    contacts = {"email", "guarantoremail", "ssn", "homephone", "mobilephone", "workphone", "zip"}
    assert set(answer.json()["missingfields"]) == contacts
    assert api.post("patients", data=bare | {"zip": "84101"}).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "is_fine"),
    [
        ("mobilephone", "(801) 555-0142", True),
        ("mobilephone", "+1 801 555 0142", True),
        ("mobilephone", "2222222222", False),
        ("mobilephone", "8014567890", False),
        ("homephone", "4567890123", False),
        ("homephone", "9115550142", False),
        ("workphone", "2115550142", False),
        ("workphone", "1015550142", False),
        ("workphone", "8010550142", False),
        ("workphone", "5550142", False),
        ("firstname", "M" * 20, True),
        ("firstname", "M" * 21, False),
        ("lastname", "J" * 20, True),
        ("lastname", "J" * 21, False),
        ("address1", "A" * 100, True),
        ("address1", "A" * 101, False),
        ("city", "C" * 31, False),
        ("email", "e" * 39 + "@example.org", False),
        ("zip", "84101-12345", False),
        ("departmentid", "99", False),
    ],
)
def test_phones_lengths_and_departments_are_checked(
    athena: ServeAthena, field: str, value: str, *, is_fine: bool
) -> None:
    server, api = athena()
    answer = api.post("patients", data=NEW | {field: value})
    assert answer.status_code == (200 if is_fine else 400)
    if not is_fine:
        assert answer.json()["invalidfields"] == [field]
    assert len(server.state()["patients"]) == (3 if is_fine else 2)


@pytest.mark.parametrize("born", ["2001-02-03", "02/30/2001", "03/12/2027"])
def test_a_birth_date_that_cannot_be_is_improper(athena: ServeAthena, born: str) -> None:
    _, api = athena()
    answer = api.post("patients", data=NEW | {"dob": born})
    assert (answer.status_code, answer.json()) == (400, {"error": "Improper DOB."})


@pytest.mark.parametrize(
    ("like", "is_matched"),
    [
        ({"email": "DANA.whitlock@example.org"}, True),
        ({"mobilephone": "801-555-0142"}, True),
        ({"workphone": "8015550142"}, True),
        ({"email": "other@example.org"}, False),
        ({"mobilephone": "8015550142", "dob": "05/24/1988"}, False),
        ({"mobilephone": "8015550142", "lastname": "Whitlow"}, False),
        ({"mobilephone": "8015550142", "bypasspatientmatching": "true"}, False),
    ],
)
def test_a_match_hands_back_the_known_id_as_if_it_were_new(
    athena: ServeAthena, like: dict[str, str], *, is_matched: bool
) -> None:
    server, api = athena()
    (created,) = api.post("patients", data=KNOWN | like).json()
    assert (created["patientid"] == PATIENT) is is_matched
    assert created["errormessage"] == ""
    assert len(server.state()["patients"]) == (2 if is_matched else 3)
    assert server.state()["patients"][0]["firstname"] == "Dana"  # What was there is not overwritten.


def test_a_match_is_told_when_that_is_asked_for_inside_a_200(athena: ServeAthena) -> None:
    _, api = athena()
    form = KNOWN | {"email": "dana.whitlock@example.org", "showerrormessage": "true"}
    answer = api.post("patients", data=form)
    (created,) = answer.json()
    assert (answer.status_code, created["patientid"]) == (200, PATIENT)
    assert "exists" in created["errormessage"]
    (new,) = api.post("patients", data=NEW | {"showerrormessage": "true"}).json()
    assert new["errormessage"] == ""


def test_a_deleted_patient_may_come_back_and_an_active_one_comes_first(athena: ServeAthena) -> None:
    server, api = athena(patients=[make_patient("7", status="deleted"), make_patient(), make_patient(OTHER_PATIENT)])
    form = KNOWN | {"mobilephone": "8015550142"}
    assert api.post("patients", data=form).json()[0]["patientid"] == PATIENT
    server.staff("merge", patientid=PATIENT, into=OTHER_PATIENT)
    assert api.get(f"patients/{PATIENT}").json()[0]["status"] == "deleted"
    assert api.post("patients", data=form).json()[0]["patientid"] == OTHER_PATIENT
    server.staff("patient", patientid=OTHER_PATIENT, status="deleted")
    assert api.post("patients", data=form).json()[0]["patientid"] == "7"


def test_a_merge_takes_the_visits_along(athena: ServeAthena) -> None:
    server, api = athena(appointments=[make_appointment(1)])
    server.staff("merge", patientid=PATIENT, into=OTHER_PATIENT)
    assert api.get("appointments/1").json()[0]["patientid"] == OTHER_PATIENT


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, []),
        ({"email": "dana.whitlock@example.org"}, [PATIENT]),
        ({"mobilephone": "(801) 555-0142"}, [PATIENT]),
        ({"minscore": "22"}, [PATIENT]),
        ({"minscore": "23"}, []),
        ({"lastname": "Brackenridge", "dob": "07/09/1987", "mobilephone": "8015550142"}, []),
        ({"lastname": "Whitlow", "minscore": "14"}, [PATIENT]),
        ({"returnbestmatches": "true"}, [PATIENT]),
        ({"returnbestmatches": "true", "firstname": "Dean"}, [PATIENT]),
        ({"returnbestmatches": "true", "lastname": "Whitlow"}, []),
    ],
)
def test_the_best_match_is_a_bare_array_with_scores_as_text(
    athena: ServeAthena, query: dict[str, str], expected: list[str]
) -> None:
    _, api = athena()
    who = {"firstname": "dana", "lastname": "whitlock", "dob": "05/23/1988"}
    rows = api.get("patients/enhancedbestmatch", params=who | query).json()
    assert [str(row["patientid"]) for row in rows] == expected
    assert all(isinstance(row["score"], str) for row in rows)


def test_of_two_who_fit_as_well_neither_is_the_best_and_five_at_most_are_listed(athena: ServeAthena) -> None:
    _, api = athena(patients=[make_patient(str(number)) for number in range(50, 57)])
    who = {"firstname": "Dana", "lastname": "Whitlock", "dob": "05/23/1988", "email": "dana.whitlock@example.org"}
    assert api.get("patients/enhancedbestmatch", params=who).json() == []
    assert len(api.get("patients/enhancedbestmatch", params=who | {"returnbestmatches": "true"}).json()) == 5


def test_the_best_match_needs_names_and_birth_date_and_a_grant(athena: ServeAthena) -> None:
    server, api = athena()
    answer = api.get("patients/enhancedbestmatch", params={"firstname": "Dana"})
    assert (answer.status_code, answer.json()["missingfields"]) == (400, ["lastname", "dob"])
    server.settings(best_match=False)
    assert api.get("patients/enhancedbestmatch").status_code == 403


def test_a_policy_answers_its_id_and_plan_and_is_listed(athena: ServeAthena) -> None:
    _, api = athena()
    (row,) = api.post(f"patients/{PATIENT}/insurances", data=POLICY).json()
    assert (row["insurancepackageid"], row["insuranceplanname"], row["eligibilitystatus"]) == (
        PACKAGE, "Silver Mesa PPO", "Unverified")  # fmt: skip
    listed = api.get(f"patients/{PATIENT}/insurances").json()
    assert (listed["totalcount"], listed["insurances"]) == (1, [row])
    assert api.get("patients/1/insurances").status_code == 404


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"insurancepackageid": ""}, {"missingfields": ["insurancepackageid"]}),
        ({"insurancepackageid": "1"}, {"invalidfields": ["insurancepackageid"]}),
        ({"insurancepolicyholdersex": ""}, {"missingfields": ["insurancepolicyholdersex"]}),
        ({"sequencenumber": "3"}, {"invalidfields": ["sequencenumber"]}),
        ({"sequencenumber": "2"}, {}),
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused(
    athena: ServeAthena, form: dict[str, str], told: dict[str, Any]
) -> None:
    server, api = athena()
    answer = api.post(f"patients/{PATIENT}/insurances", data=POLICY | form)
    assert answer.status_code == 400
    assert answer.json().items() >= told.items()
    assert server.state()["insurances"] == []


def test_a_secondary_needs_a_primary_that_is_not_self_pay(athena: ServeAthena) -> None:
    _, api = athena()
    second = POLICY | {"insurancepackageid": OTHER_PACKAGE, "sequencenumber": "2"}
    assert api.post(f"patients/{PATIENT}/insurances", data={"insurancepackageid": SELF_PAY}).status_code == 200
    assert api.post(f"patients/{PATIENT}/insurances", data=second).status_code == 400
    assert api.post(f"patients/{OTHER_PATIENT}/insurances", data=POLICY).status_code == 200
    assert api.post(f"patients/{OTHER_PATIENT}/insurances", data=POLICY).status_code == 400  # There is a primary now.
    assert api.post(f"patients/{OTHER_PATIENT}/insurances", data=second).status_code == 200


@pytest.mark.parametrize("answers", ["success_only", "without_id"])
def test_a_policys_answer_may_lack_the_id_which_the_list_has(athena: ServeAthena, answers: str) -> None:
    server, api = athena()
    server.settings(insurance_answers=answers)
    answer = api.post(f"patients/{PATIENT}/insurances", data=POLICY).json()
    if answers == "success_only":
        assert answer == {"success": "true"}
    else:
        assert "insuranceid" not in answer[0]
    assert api.get(f"patients/{PATIENT}/insurances").json()["insurances"][0]["insuranceid"]


def test_a_policy_is_attached_to_visits_to_come_when_that_is_asked_for(athena: ServeAthena) -> None:
    server, api = athena(
        appointments=[
            make_appointment(1),
            make_appointment(2, date="03/01/2027"),
            make_appointment(3, "10:00", patientid=OTHER_PATIENT),
        ]
    )
    (row,) = api.post(f"patients/{PATIENT}/insurances", data=POLICY | {"updateappointments": "true"}).json()
    attached = {number: server.appointment(number)["insurances"] for number in (1, 2, 3)}
    assert attached == {1: {"primary": row["insuranceid"]}, 2: {}, 3: {}}


def test_policies_are_attached_to_one_visit_by_a_call_of_their_own(athena: ServeAthena) -> None:
    server, api = athena(appointments=[make_appointment(1)])
    (row,) = api.post(f"patients/{PATIENT}/insurances", data=POLICY).json()
    (other,) = api.post(f"patients/{OTHER_PATIENT}/insurances", data=POLICY).json()
    attach = "appointments/1/insurances"
    assert api.put(attach, data={}).status_code == 400
    assert api.put(attach, data={"primaryinsuranceid": other["insuranceid"]}).status_code == 400
    assert server.appointment(1)["insurances"] == {}
    assert api.put(attach, data={"primaryinsuranceid": row["insuranceid"]}).json() == {"success": "true"}
    (visit,) = api.get("appointments/1", params={"showinsurance": "true", "showpatientdetail": "true"}).json()
    assert ([each["insuranceid"] for each in visit["insurances"]], visit["patient"]["lastname"]) == (
        [row["insuranceid"]], "Whitlock")  # fmt: skip
    assert not {"insurances", "patient"} & set(api.get("appointments/1").json()[0])


def test_a_policy_changes_ends_and_comes_back_but_keeps_its_package(athena: ServeAthena) -> None:
    _, api = athena()
    (row,) = api.post(f"patients/{PATIENT}/insurances", data=POLICY).json()
    path = f"patients/{PATIENT}/insurances/{row['insuranceid']}"

    def held(**query: str) -> list[str]:
        answer = api.get(f"patients/{PATIENT}/insurances", params=query).json()
        return [each["insuranceidnumber"] for each in answer["insurances"]]

    assert api.put(path, data={"insurancepackageid": OTHER_PACKAGE}).status_code == 400
    assert api.put(path, data={"insuranceidnumber": "SMP1"}).json() == {"success": "true"}
    assert held() == ["SMP1"]
    api.delete(path)
    assert (held(), held(showcancelled="true")) == ([], ["SMP1"])
    api.post(f"{path}/reactivate")
    assert held() == ["SMP1"]
    assert api.put(f"patients/{OTHER_PATIENT}/insurances/{row['insuranceid']}", data={}).status_code == 404


@pytest.mark.parametrize(("month", "offsets"), [(3, [-7, -5, -7]), (7, [-6, -4, -7])])
def test_departments_have_their_zone_and_todays_offset(
    athena: ServeAthena, clock: MovableClock, month: int, offsets: list[int]
) -> None:
    clock.instant = clock.instant.replace(month=month)
    arizona = {"departmentid": 3, "name": "Mesa", "timezonename": "US/Mountain", "doesnotobservedst": True}
    _, api = athena(departments=[*make_athena_account()["departments"], arizona])
    rows = api.get("departments").json()["departments"]
    assert [row["timezoneoffset"] for row in rows] == offsets
    assert [row["timezonename"] for row in rows] == ["US/Mountain", "US/Eastern", "US/Mountain"]
    assert api.get("departments/3").json() == [rows[2]]
    assert api.get("departments", params={"limit": 1, "offset": 1}).json() == {
        "totalcount": 3,
        "departments": [rows[1]],
        "next": "/v1/195900/departments?limit=1&offset=2",
        "previous": "/v1/195900/departments?limit=1&offset=0",
    }


def test_providers_have_numbers_for_ids(athena: ServeAthena) -> None:
    _, api = athena()
    rows = api.get("providers").json()["providers"]
    assert [row["providerid"] for row in rows] == [71, 72, 12]
    (row,) = api.get("providers/71").json()
    assert (row["npi"], row["displayname"], "renderingproviderid" in row) == (1234567893, "Ines Okafor", False)
    assert api.get("providers/99").status_code == 404


def test_types_that_patients_do_not_see_are_left_out_unless_asked_for(athena: ServeAthena) -> None:
    _, api = athena()
    seen = api.get("appointmenttypes").json()["appointmenttypes"]
    every = api.get("appointmenttypes", params={"hidenonpatient": "false"}).json()["appointmenttypes"]
    assert [row["appointmenttypeid"] for row in seen] == ["83", "84", "85"]
    assert {row["appointmenttypeid"]: (row["generic"], row["patient"]) for row in every}["82"] == ("true", False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("patientappointmentreasons", [REASON, LONG_REASON, NOTICE_REASON]),
        ("patientappointmentreasons/newpatient", [LONG_REASON, NOTICE_REASON]),
        ("patientappointmentreasons/existingpatient", [REASON, NOTICE_REASON]),
    ],
)
def test_reasons_are_a_departments_and_a_providers_and_for_some_patients(
    athena: ServeAthena, path: str, expected: list[str]
) -> None:
    elsewhere = {"reasonid": 970, "reason": "Elsewhere", "departmentids": [2]}
    others = {"reasonid": 971, "reason": "With another", "providerids": [72]}
    _, api = athena(reasons=[*make_athena_account()["reasons"], elsewhere, others])
    assert api.get(path).json()["missingfields"] == ["departmentid", "providerid"]
    answer = api.get(path, params={"departmentid": DEPARTMENT, "providerid": PROVIDER}).json()
    assert [str(row["reasonid"]) for row in answer["patientappointmentreasons"]] == expected
    notice = answer["patientappointmentreasons"][-1]
    assert (notice["schedulingminhours"], notice["schedulingmaxdays"]) == ("72", "30")


def test_cancel_reasons_say_in_words_whether_the_slot_reopens(athena: ServeAthena) -> None:
    _, api = athena()
    rows = api.get("appointmentcancelreasons").json()["appointmentcancelreasons"]
    assert {row["appointmentcancelreasonid"]: (row["slotavailable"], row["noshow"]) for row in rows} == {
        "4": ("true", "false"),
        "5": ("false", "true"),
        "6": ("true", "false"),
    }


def test_the_usual_insurance_packages_are_listed(athena: ServeAthena) -> None:
    _, api = athena()
    rows = api.get("misc/topinsurancepackages").json()["insurancepackages"]
    assert [(row["insurancepackageid"], row["name"]) for row in rows] == [
        (PACKAGE, "Silver Mesa PPO"), (OTHER_PACKAGE, "Desert Health HMO")]  # fmt: skip
