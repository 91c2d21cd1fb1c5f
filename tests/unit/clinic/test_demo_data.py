"""The demo's files are worth what they contain: each odd case that a real account has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import date
from typing import Any

import pytest

from local.clinic.checks import problems_of
from local.clinic.reading import parse
from local.demo_data import account, clinic, expected
from local.demo_data.ids import AS_OF, TODAY
from local.demo_data.oracle import Oracle


def test_every_process_makes_the_same_files() -> None:
    script = "import json; from local.demo_data import *; print(json.dumps([clinic(), account()]))"
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    assert json.loads(made) == [clinic(), account()]


def test_the_clinic_fits_together() -> None:
    assert problems_of(parse(clinic())) == []


def test_nobody_in_it_can_be_reached() -> None:
    everything = json.dumps([clinic(), account()])
    assert set(re.findall(r"@[\w.]+", everything.lower())) == {"@example.org"}
    numbers = re.findall(r'"(?:\+1801|\(801\) )(\d{3}-?\d{4})"', everything)
    assert numbers
    assert all(re.fullmatch(r"555-?01\d\d", number) for number in numbers)


def test_the_practice_is_found_with_two_payers_ready() -> None:
    rows = clinic()
    intakes = {row["id"] for row in rows["services"] if row["kind"] == "intake"}
    mapped = {row["service_instance_id"] for row in rows["service_instance_integrations"]}
    ready = {
        row["payer_id"] for row in rows["service_instances"] if row["service_id"] in intakes and row["id"] in mapped
    }
    assert (len(rows["payers"]), len(ready)) == (31, 2)


def test_every_answer_on_acceptance_occurs() -> None:
    answers = Counter(answer["status"] for answer in expected()["acceptance"].values())
    assert set(answers) == {"accepted", "accepted_from", "lead"}
    assert answers["accepted_from"] >= 4


def seen(field: str) -> set[Any]:
    return {row[field] for row in account()["appointments"]}


def test_the_account_has_the_oddities_of_real_ones() -> None:
    assert seen("Status") == {"Confirmed", "WaitingConfirmation", "Canceled", "Declined", "Missed"}
    assert seen("PlaceOfService") >= {"02", "10", "11", "12", None, "99"}
    assert {type(one) for one in seen("ClientId")} == {int, str}
    assert {type(one) for one in seen("LocationId")} == {int, str}
    assert None in seen("ClientEmail")
    events = {change["event"] for change in account()["changes"]}
    assert events == {
        f"Appointment{what}" for what in ("Rescheduled", "Canceled", "Deleted", "Confirmed", "Missed", "Created")
    }


def test_something_is_expected_of_every_case() -> None:
    first, second = expected()["firstNight"], expected()["secondNight"]
    for night in (first, second):
        shown = Counter(visit["status"] for visit in night["appointments"].values())
        assert set(shown) == {"confirmed", "completed", "scheduled", "cancelled", "declined", "no_show"}
        assert None in {visit["providerId"] for visit in night["appointments"].values()}
    assert all(summary["updated"] for summary in first["summaries"].values())
    assert sum(summary["new"] for summary in second["summaries"].values()) == 4
    assert len(first["neverMatched"]["patientsForReview"]) == 3


def test_a_slot_is_expected_before_and_after_the_clocks_change() -> None:
    starts = [slot["start"] for slot in expected()["slotsAfterFirstNight"][0]["slots"]]
    night = [start[11:16] for start in starts if start.startswith("2027-03-14")]
    # 01:00 to 02:00 on standard time, then 03:00 to 05:00 on daylight saving time: two hours for a visit of one.
    assert night == ["08:00", "08:15", "08:30", "08:45", "09:00", "09:15", "09:30", "09:45", "10:00"]


def a_payer(wanted: str) -> str:
    return str(next(row["id"] for row in clinic()["payers"] if row["name"] == wanted))


@pytest.mark.parametrize("status", ["suspended", "rejected"])
def test_the_oracle_offers_nothing_for_a_payer_that_is_not_taken(status: str) -> None:
    rows, payer = clinic(), a_payer("Blue Juniper Health")
    case = (payer, rows["practice"]["default_services"][0]["service_id"], "UT", TODAY, date(2027, 2, 26))
    assert Oracle(rows, account(), AS_OF).slots(*case)
    for row in rows["payers"]:
        row["status_code"] = status
    assert Oracle(rows, account(), AS_OF).slots(*case) == []
