"""Whose an EHR's rows are, from the row to the visit: the rules of sync/matching.py and visits.py as nights apply them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from local.simulators.intakeq.wire import to_ms
from tests.fixtures_intakeq import CLIENT, NOON, make_account, make_visit
from tests.fixtures_sync import Practice, StartNight

ADDRESS = "ana@example.org"


def row(number: int, client_id: int, **fields: Any) -> dict[str, Any]:
    return make_visit(number, NOON + timedelta(days=number), ClientId=client_id, **{"ClientEmail": ADDRESS, **fields})


def numbers(practice: Practice) -> dict[Any, Any]:
    return {
        each["id"]: each["intakeq_client_id"] for each in practice.rows("select id, intakeq_client_id from patients")
    }


def reasons(practice: Practice) -> list[str]:
    return [each["reason"] for each in practice.rows("select reason from match_reviews")]


@pytest.mark.parametrize("address", [ADDRESS, " Ana@EXAMPLE.org "])
def test_an_alternate_address_and_the_birth_date_are_enough_and_the_number_is_learned(
    practice: Practice, start_night: StartNight, address: str
) -> None:
    ana = practice.patient(None, email="other@example.org", alternate_emails=["old@example.org", address])
    night = start_night(make_account(appointments=[row(1, CLIENT)]))
    night.run()
    assert practice.visits()[f"{1:024x}"]["patient_id"] == ana
    assert numbers(practice) == {ana: str(CLIENT)}
    # From now on the number is enough, whatever address and birth date the rows carry.
    practice.clock.advance(hours=1)
    told = {"ClientEmail": "new@example.org", "ClientDateOfBirth": None, "LastModified": to_ms(practice.clock.now())}
    night.server.staff("create", appointment=row(2, CLIENT, **told))
    night.run()
    assert practice.visits()[f"{2:024x}"]["patient_id"] == ana


def test_of_two_clients_who_are_one_patient_neither_number_is_learned(
    practice: Practice, start_night: StartNight
) -> None:
    ana = practice.patient(None, email=ADDRESS)
    start_night(make_account(appointments=[row(1, 7), row(2, 8)])).run()
    assert {each["patient_id"] for each in practice.visits().values()} == {ana}
    assert len(practice.visits()) == 2
    assert numbers(practice) == {ana: None}


def test_a_number_that_is_known_is_not_replaced_and_the_rows_are_theirs_all_the_same(
    practice: Practice, start_night: StartNight
) -> None:
    ana = practice.patient("1", email=ADDRESS)
    start_night(make_account(appointments=[row(1, 7)])).run()
    assert practice.visits()[f"{1:024x}"]["patient_id"] == ana
    assert numbers(practice) == {ana: "1"}


@pytest.mark.parametrize(
    ("told", "born", "reason"),
    [
        ("1971-02-03", None, "birth_date_differs"),
        ("1971-02-03", "1988-05-23", "birth_date_differs"),
        (None, "1988-05-23", "birth_date_missing"),
    ],
)
def test_an_address_without_the_birth_date_is_a_question(
    practice: Practice, start_night: StartNight, told: str | None, born: str | None, reason: str
) -> None:
    ana = practice.patient(None, email=ADDRESS, date_of_birth=born)
    start_night(make_account(appointments=[row(1, 7, ClientDateOfBirth=told), row(2, 7, ClientDateOfBirth=told)])).run()
    assert (practice.visits(), numbers(practice), reasons(practice)) == ({}, {ana: None}, [reason])


def test_a_client_whom_nobody_resembles_is_skipped_and_counted(practice: Practice, start_night: StartNight) -> None:
    practice.patient(None, email="ana@example.com")
    summary = start_night(make_account(appointments=[row(1, 7)])).run()
    assert (practice.visits(), reasons(practice), summary["state"]) == ({}, [], "completed")
    (log,) = practice.rows("select metadata from sync_logs where metadata ? 'unmatchedRows'")
    assert log["metadata"]["unmatchedRows"] == 1


@pytest.mark.parametrize(
    ("code", "kind", "modality"),
    [
        ("02", "telehealth", "telehealth"),
        ("10", "telehealth", "telehealth"),
        ("11", "office", "in_person"),
        ("12", "home", "in_person"),
        ("99", None, None),
        (None, None, None),
    ],
)
def test_the_kind_of_place_is_told_by_its_code_alone(
    practice: Practice, start_night: StartNight, code: str | None, kind: str | None, modality: str | None
) -> None:
    practice.patient("7")
    start_night(make_account(appointments=[row(1, 7, PlaceOfService=code, LocationName="Telehealth (UT)")])).run()
    visit = practice.visits()[f"{1:024x}"]
    assert visit["location_info"] == {"name": "Telehealth (UT)", "place_of_service": code, "kind": kind}
    assert visit["modality"] == modality
