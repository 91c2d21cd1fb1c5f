"""Who the practitioners of an EHR are, over HTTP, and what follows for visits and slots."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.sync import practitioners
from moonlit.sync.at_once import AtOnce
from tests.fixtures_access import add_staff, as_user
from tests.fixtures_booking import EMIL, INES, TEN
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import OTHER_PRACTITIONER, PRACTITIONER, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, add_patient, as_admin, audited, pulled, seen, visits

__all__ = ["functions", "open_intakeq", "start_intakeq"]

LIST, MAP = "admin/practitioner_mappings", "admin/map_practitioner"
NOBODY, RUTH = "6651f0a9c3d2e4b5a6978899", UUID(int=0x12)


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def add_provider(functions: Functions, provider_id: UUID, system: str = "intakeq") -> None:
    row = {"id": provider_id, "name": "Ruth Abel", "ehr_system": system, "timezone": "America/Denver"}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.providers).values(row))


@pytest.fixture
def visit_of_nobody(functions: Functions, admin: UUID) -> UUID:
    """Ana's visit tomorrow at ten, with a practitioner whom nobody has mapped; Ruth is nobody in IntakeQ yet."""
    add_provider(functions, RUTH)
    ana = add_patient(functions, intakeq_client_id="7001")
    pulled(
        functions, seen(1, PractitionerId=NOBODY), seen(2, TEN + timedelta(days=1), PractitionerId=NOBODY, ClientId=9)
    )
    AtOnce(functions.begin, functions.clock).apply("intakeq", [str(ana)], "webhook", {})
    assert visits(functions)["1"]["provider_id"] is None
    return ana


def listed(functions: Functions) -> list[Any]:
    answer = functions.call("admin", as_admin(LIST))
    assert answer["statusCode"] == 200, answer["body"]
    said = json.loads(answer["body"])
    assert said["nextCursor"] is None
    return list(said["items"])


def put(functions: Functions, **mapping: Any) -> tuple[int, Any]:
    answer = functions.call("admin", as_admin(MAP, json.dumps(mapping, default=str)))
    return answer["statusCode"], json.loads(answer["body"])


def refused(functions: Functions, **mapping: Any) -> tuple[int, str]:
    status, said = put(functions, **mapping)
    return status, str(said["type"]).rpartition("/")[2]


def test_everybody_who_was_seen_or_mapped_is_listed_the_unknown_first(
    functions: Functions, visit_of_nobody: UUID
) -> None:
    pulled(functions, seen(3, TEN + timedelta(hours=3)))
    assert listed(functions) == [
        {
            "practitionerId": NOBODY, "system": "intakeq", "locationId": None, "providerId": None,
            "providerName": None, "rowsWaiting": 1, "rowsComing": 2,
        },
        {
            "practitionerId": PRACTITIONER, "system": "intakeq", "locationId": None, "providerId": str(INES),
            "providerName": "Ines Okafor", "rowsWaiting": 0, "rowsComing": 1,
        },
        {
            "practitionerId": OTHER_PRACTITIONER, "system": "intakeq", "locationId": None, "providerId": str(EMIL),
            "providerName": "Emil Varga", "rowsWaiting": 0, "rowsComing": 0,
        },
    ]  # fmt: skip


@pytest.mark.parametrize("name", [LIST, MAP])
def test_nobody_but_an_admin_may(functions: Functions, name: str) -> None:
    add_staff(functions, "biller", "s-1")
    assert functions.call("admin", as_user(name, sub="s-1"))["statusCode"] == 403


def test_visits_follow_as_soon_as_the_practitioner_is_mapped(
    functions: Functions, admin: UUID, visit_of_nobody: UUID
) -> None:
    assert put(functions, practitionerId=NOBODY, providerId=RUTH) == (
        200,
        {
            "practitionerId": NOBODY, "system": "intakeq", "locationId": None, "providerId": str(RUTH),
            "patientsApplied": 1, "patientsWaiting": 0,
        },
    )  # fmt: skip
    assert visits(functions)["1"]["provider_id"] == RUTH
    assert functions.rows("select resource_id from time_claims where resource_kind = 'person'") == [
        {"resource_id": RUTH}
    ]
    assert listed(functions)[0]["providerId"]
    (change,) = audited(functions, "map")
    assert (change["actor_id"], change["entity_id"]) == (admin, f"intakeq:{NOBODY}")
    assert (change["before"], change["after"]) == ({"providerId": None}, {"providerId": str(RUTH)})
    assert put(functions, practitionerId=NOBODY, providerId=RUTH)[1]["patientsApplied"] == 0
    assert len(audited(functions, "map")) == 1


def test_rows_of_a_practitioner_take_the_time_of_who_they_are(functions: Functions, admin: UUID) -> None:
    functions.execute("delete from provider_intakeq_settings where practitioner_id = :id", id=OTHER_PRACTITIONER)
    pulled(functions, seen(1, PractitionerId=NOBODY))  # Of somebody unknown: it takes the time all the same.

    def who_is_free_at_ten() -> list[str]:
        slots = json.loads(functions.call("availability", sample("availability/availability"))["body"])["slots"]
        return next(slot["providerIds"] for slot in slots if slot["start"] == "2027-03-11T10:00:00-07:00")

    assert str(INES) in who_is_free_at_ten()
    assert put(functions, practitionerId=NOBODY, providerId=EMIL)[0] == 200
    assert who_is_free_at_ten() == [str(INES)]


def test_a_practitioner_who_is_somebody_else_after_all_takes_the_visits_along(
    functions: Functions, admin: UUID, visit_of_nobody: UUID
) -> None:
    put(functions, practitionerId=NOBODY, providerId=RUTH)
    add_provider(functions, other := uuid4())
    functions.clock.advance(minutes=1)
    assert put(functions, practitionerId=NOBODY, providerId=other)[0] == 200
    assert visits(functions)["1"]["provider_id"] == other
    assert audited(functions, "map")[1]["before"] == {"providerId": str(RUTH)}
    assert put(functions, practitionerId="another", providerId=RUTH)[0] == 200  # Ruth is free again.


def test_more_patients_than_one_request_can_do_are_left_to_the_next(
    functions: Functions, visit_of_nobody: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    bea = add_patient(functions, "Bea", intakeq_client_id="7002")
    pulled(functions, seen(5, TEN + timedelta(days=2), ClientId=7002, PractitionerId=NOBODY))
    AtOnce(functions.begin, functions.clock).apply("intakeq", [str(bea)], "webhook", {})
    monkeypatch.setattr(practitioners, "MOST_PATIENTS", 1)
    said = put(functions, practitionerId=NOBODY, providerId=RUTH)[1]
    assert (said["patientsApplied"], said["patientsWaiting"]) == (1, 1)
    assert (visits(functions)["1"]["provider_id"], visits(functions)["5"]["provider_id"]) == (RUTH, None)
    said = put(functions, practitionerId=NOBODY, providerId=RUTH)[1]
    assert (said["patientsApplied"], said["patientsWaiting"]) == (1, 0)
    assert visits(functions)["5"]["provider_id"] == RUTH


def test_a_provider_is_one_practitioner_of_their_own_ehr(functions: Functions, visit_of_nobody: UUID) -> None:
    assert refused(functions, practitionerId=NOBODY, providerId=INES) == (409, "provider-mapped")
    add_provider(functions, elsewhere := uuid4(), "athena")
    assert refused(functions, practitionerId=NOBODY, providerId=elsewhere) == (409, "wrong-ehr-system")
    assert refused(functions, practitionerId=NOBODY, providerId=uuid4()) == (404, "not-found")
    athena = {"practitionerId": "71", "providerId": elsewhere, "system": "athena"}
    assert refused(functions, **athena) == (422, "malformed-request")
    assert refused(functions, practitionerId=NOBODY, providerId=RUTH, locationId="1") == (422, "malformed-request")
    assert refused(functions, **athena, locationId="1") == (404, "not-found")  # There is no such account.
    assert audited(functions, "map") == []


def test_a_practitioner_of_athenahealth_has_a_seat_in_each_department(functions: Functions, admin: UUID) -> None:
    add_provider(functions, first := uuid4(), "athena")
    add_provider(functions, second := uuid4(), "athena")
    with functions.begin() as connection:
        connection.execute(sa.insert(t.ehr_accounts).values(system="athena", per_minute=100))
    for department, provider_id in (("1", first), ("2", second), ("1", first)):
        mapping = {"practitionerId": "71", "providerId": provider_id, "system": "athena", "locationId": department}
        assert put(functions, **mapping)[0] == 200
    shown = [(item["locationId"], item["providerId"]) for item in listed(functions) if item["system"] == "athena"]
    assert shown == [("1", str(first)), ("2", str(second))]
    mapping = {"practitionerId": "71", "providerId": first, "system": "athena", "locationId": "3"}
    assert refused(functions, **mapping) == (409, "provider-mapped")
