"""Our mappings held against both EHRs, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from aws_lambda_powertools.utilities import parameters

from moonlit.catalog.mapping_check import MappingChecker
from moonlit.db import tables as t
from moonlit.ehr.budget import DatabaseBudget
from moonlit.ehr.catalog import EhrSettings
from moonlit.ehr.port import Budget, Lane
from tests.fixtures_access import add_staff, as_user
from tests.fixtures_athena import (
    DEPARTMENT,
    PROVIDER,
    REASON,
    AthenaServer,
    StartAthena,
    make_athena_account,
    start_athena,
)
from tests.fixtures_booking import EMIL, INES, INSTANCE, NEW_PAYER, PAYER, SERVICE_ID
from tests.fixtures_functions import Functions, functions
from tests.fixtures_intakeq import DENVER, SERVICE, SHORT_SERVICE, MovableClock, OpenBudget, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, account_of, as_admin

__all__ = ["functions", "open_intakeq", "start_athena", "start_intakeq"]

CHECK = "admin/check_mappings"
ADA = UUID(int=0x12)


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


@pytest.fixture
def athena(functions: Functions, start_athena: StartAthena, admin: UUID) -> AthenaServer:
    """Give the practice a second account, with a provider, and the service mapped for two payers."""
    server = start_athena(make_athena_account(), MovableClock())
    functions.connect_athena(server)
    provider = {"id": ADA, "name": "Ada", "ehr_system": "athena", "timezone": "America/Denver"}
    seat = {"provider_id": ADA, "athena_provider_id": PROVIDER, "department_id": DEPARTMENT}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.providers).values(provider))
        connection.execute(sa.insert(t.provider_athena_settings).values(seat))
    add_mapping(functions, "athena", REASON, INSTANCE)
    return server


def add_mapping(functions: Functions, system: str, external_id: str, instance_id: UUID) -> None:
    values = {"service_instance_id": instance_id, "system": system, "external_id": external_id}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.service_instance_integrations).values(values))


def add_instance(functions: Functions, payer_id: UUID | None, **values: Any) -> UUID:
    row = {
        "id": uuid4(),
        "service_id": SERVICE_ID,
        "payer_id": payer_id,
        "location": "Clinic",
        "pos_code": "11",
        **values,
    }
    with functions.begin() as connection:
        connection.execute(sa.insert(t.service_instances).values(row))
    return UUID(str(row["id"]))


def check(functions: Functions) -> Any:
    answer = functions.call("admin", as_admin(CHECK))
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])


def found(said: Any, system: str) -> list[tuple[str, str]]:
    return [(each["kind"], each["externalId"]) for each in said["findings"] if each["system"] == system]


def accounts(said: Any) -> dict[str, tuple[str, str | None, int | None]]:
    return {each["system"]: (each["status"], each["code"], each["retryAfterSeconds"]) for each in said["accounts"]}


def used(functions: Functions, lane: Lane = Lane.ON_DEMAND) -> int:
    usage = DatabaseBudget(functions.begin, account_of(functions), functions.clock).usage()
    assert usage.left(lane)[0] >= 0
    return usage.day_used


@pytest.mark.parametrize("role", ["biller", "provider"])
def test_nobody_but_an_admin_may_check(functions: Functions, role: str) -> None:
    add_staff(functions, role, "s-1")
    assert functions.call("admin", as_user(CHECK, sub="s-1"))["statusCode"] == 403
    assert functions.intakeq.requests() == []


def test_both_ehrs_are_asked_and_every_kind_of_mapping_is_checked(functions: Functions, athena: AthenaServer) -> None:
    said = check(functions)
    assert said["checkedAt"] == "2027-03-10T12:00:00-07:00"
    assert accounts(said) == {"intakeq": ("checked", None, None), "athena": ("checked", None, None)}
    assert found(said, "intakeq") == [("name_differs", SERVICE), ("unmapped_in_ehr", SHORT_SERVICE)]
    assert found(said, "athena") == [("name_differs", REASON), ("unmapped_in_ehr", "963"), ("unmapped_in_ehr", "964")]
    assert said["findings"][0] == {
        "kind": "name_differs", "system": "intakeq", "externalId": SERVICE,
        "ours": {
            "serviceId": str(SERVICE_ID), "serviceInstanceIds": [str(INSTANCE)], "isDefault": False, "providerId": None,
            "locationId": None,
        },
        "theirs": {"name": "New Patient Visit", "durationMinutes": 60}, "payers": 1,
    }  # fmt: skip
    assert used(functions) == len(functions.intakeq.requests()) == 2

    # Another payer, an orphan, a default, and instances that are retired: these have nothing to say any more.
    for payer in (NEW_PAYER, None):
        add_mapping(functions, "intakeq", SERVICE, add_instance(functions, payer))
    retired = {"retired_at": functions.clock.now(), "retired_reason": "by hand"}
    add_mapping(functions, "intakeq", "retired", add_instance(functions, PAYER, **retired))
    defaults = [
        {"name": "Intake", "service_id": str(SERVICE_ID), "mappings": {"intakeq": SERVICE, "athena": "77"}},
        {"name": "Gone", "service_id": str(uuid4()), "mappings": {"intakeq": "gone"}},
    ]
    functions.execute("update practice_settings set default_services = cast(:it as jsonb)", it=json.dumps(defaults))
    services = [{"Id": SERVICE, "Name": "intake", "Duration": 50}]
    functions.intakeq.control("POST", "settings", {"Services": services, "Locations": [], "Practitioners": []})
    functions.execute("update provider_intakeq_settings set location_id = '4' where provider_id = :id", id=INES)
    functions.execute("update providers set active = false where id = :id", id=EMIL)
    functions.execute(
        "insert into locations (id, name, timezone, pos_code, athena_department_id) values"
        " (:id, 'Clinic', 'America/Denver', '11', '99')", id=UUID(int=0x70),
    )  # fmt: skip
    said = check(functions)
    kinds = [kind for kind, _ in found(said, "intakeq")]
    assert kinds == ["practitioner_unknown", "location_unknown", "duration_differs"]
    assert [each["payers"] for each in said["findings"][:3]] == [0, 0, 2]
    assert (said["findings"][2]["ours"]["isDefault"], len(said["findings"][2]["ours"]["serviceInstanceIds"])) == (
        True,
        3,
    )
    assert [each["ours"]["providerId"] for each in said["findings"][:2]] == [str(INES)] * 2
    assert found(said, "athena")[:2] == [("unknown_in_ehr", "77"), ("location_unknown", "99")]
    place = next(each for each in said["findings"] if each["externalId"] == "99")
    functions.execute("update provider_athena_settings set athena_provider_id = '999'")
    again = check(functions)
    assert [each["servicesChecked"] for each in said["accounts"] + again["accounts"]] == [True, True, True, False]
    assert found(again, "athena") == [("practitioner_unknown", "999"), ("location_unknown", "99")]
    assert (place["ours"]["locationId"], place["theirs"]) == (str(UUID(int=0x70)), None)


def test_an_ehr_that_is_away_hides_nothing_of_the_other(
    functions: Functions, athena: AthenaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions.intakeq.fail({"kind": "error_before", "times": 9})
    said = check(functions)
    assert accounts(said) == {"intakeq": ("unavailable", "ehr-unavailable", 30), "athena": ("checked", None, None)}
    assert (found(said, "intakeq"), len(found(said, "athena"))) == ([], 3)
    functions.intakeq.fail()

    functions.execute("update ehr_accounts set per_minute = 0 where system = 'athena'")
    said = check(functions)
    assert accounts(said)["intakeq"] == ("checked", None, None)
    status, code, seconds = accounts(said)["athena"]
    assert (status, code, seconds and seconds > 0) == ("unavailable", "budget-exhausted", True)
    functions.execute("update ehr_accounts set per_minute = 300 where system = 'athena'")

    functions.intakeq.control("POST", "settings", {"Services": "none"})
    assert accounts(check(functions))["intakeq"] == ("unavailable", "ehr-refused", None)
    functions.intakeq.control("POST", "settings", {"Services": []})

    kept = parameters.get_secret
    broken: dict[str, Any] = {}
    monkeypatch.setattr(parameters, "get_secret", lambda name, **more: broken.get(name) or kept(name, **more))
    monkeypatch.setitem(broken, "intakeq", {"webhookSecrets": ["the-secret-of-the-path"]})
    said = check(functions)
    assert accounts(said) == {"intakeq": ("unavailable", "not-opened", None), "athena": ("checked", None, None)}


def test_the_reserve_for_bookings_is_left_alone(functions: Functions, admin: UUID) -> None:
    functions.execute("update ehr_accounts set per_minute = 10, per_day = 500")
    for _ in range(2):
        assert accounts(check(functions))["intakeq"][0] == "checked"
    assert accounts(check(functions))["intakeq"][:2] == ("unavailable", "budget-exhausted")
    assert DatabaseBudget(functions.begin, account_of(functions), functions.clock).usage().left(Lane.BOOKING)[0] == 5


def test_each_ehr_has_its_share_of_the_time_that_is_left(functions: Functions, athena: AthenaServer) -> None:
    left, takes, told = [28.0], [14.0], list[float]()

    class Slow:
        def __init__(self, time_left: Callable[[], float]) -> None:
            self._time_left = time_left

        def catalog(self, seats: Sequence[tuple[str, str]], lane: Lane) -> EhrSettings:  # noqa: ARG002
            told.append(self._time_left())
            left[0] -= takes[0]
            return EhrSettings(None, (), ())

    def opened(_: UUID, budget: Budget, time_left: Callable[[], float]) -> Any:
        return Slow(time_left)

    for seconds in (14.0, 1.0):
        left[0], takes[0] = 28.0, seconds
        checker = MappingChecker(
            functions.begin, functions.clock, DENVER, opened, lambda _: OpenBudget(), lambda: left[0]
        )
        assert len(checker.check().accounts) == 2
    assert told == [14, 14, 14, 27]
