"""Service instances over HTTP, and a payer that becomes bookable by nothing but the admin's routes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from moonlit.audit.store import Actor
from moonlit.db.engine import beginner, connect
from moonlit.errors import MoonlitError
from moonlit.provisioning.instances.answers import InstanceBody
from moonlit.provisioning.instances.errors import InstanceExists
from moonlit.provisioning.instances.use_cases import Instances
from tests.fixtures_access import add_partner, add_staff, as_user
from tests.fixtures_booking import EMIL, INES, INSTANCE, NEW_PAYER, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import DENVER, SERVICE, MovableClock, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, audited
from tests.fixtures_payers import Answer, add_visit, ask, contract, create

__all__ = ["functions", "open_intakeq", "start_intakeq"]

BODY = {"serviceId": str(SERVICE_ID), "location": "Telehealth", "posCode": "10"}
NAMES = ("bookability", "create_instance", "instances", "map_instance", "payer_bookability", "payer_instances")


@pytest.fixture(autouse=True)
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def everything(functions: Functions) -> list[Any]:
    tables = ("service_instances", "service_instance_integrations")
    return [functions.rows(f"select * from {name} order by id") for name in tables] + [
        functions.rows("select * from audit_log where action not in ('read', 'refused')")
    ]


def add(functions: Functions, payer_id: UUID = NEW_PAYER, **body: str) -> Answer:
    return ask(functions, "create_instance", BODY | body, payerId=payer_id)


def map_to(functions: Functions, instance_id: object, external_id: str = SERVICE, system: str = "practiceq") -> Answer:
    return ask(functions, "map_instance", {"externalId": external_id}, instanceId=instance_id, system=system)


def retire(functions: Functions, instance_id: object = INSTANCE, **query: str) -> Answer:
    return ask(functions, "retire_instance", query=query, instanceId=instance_id)


def listed(functions: Functions, **query: str) -> dict[str, Any]:
    return {item["id"]: item for item in ask(functions, "instances", query=query).said["items"]}


def stored(functions: Functions, **row: Any) -> str:
    instance_id = uuid4()
    columns = {"id": instance_id, "service_id": SERVICE_ID, "location": "Telehealth", "pos_code": "10", **row}
    names = ", ".join(columns)
    functions.execute(f"insert into service_instances ({names}) values (:{', :'.join(columns)})", **columns)
    return str(instance_id)


def test_nobody_but_an_admin_sees_or_changes_any_of_it(functions: Functions) -> None:
    for role in ("biller", "provider", "case_manager"):
        (add_partner if role == "case_manager" else add_staff)(functions, role, f"s-{role}")
    before = everything(functions)
    for name in (*NAMES, "retire_instance"):
        for sub, status in (("s-biller", 403), ("s-provider", 403), ("s-case_manager", 403), ("s-stranger", 401)):
            assert functions.call("admin", as_user(f"admin/{name}", sub=sub))["statusCode"] == status
    assert everything(functions) == before


def test_a_payer_created_contracted_and_mapped_by_these_routes_can_be_booked(functions: Functions) -> None:
    payer_id = create(functions, state="UT", contracts=[contract(INES)]).said["id"]
    booking = sample("book/book")
    body = json.loads(booking["body"])
    booking["body"] = json.dumps(body | {"payerId": payer_id, "providerId": str(INES)})
    assert functions.call("book", booking)["statusCode"] == 409

    def why() -> Any:
        said = ask(functions, "payer_bookability", query={"serviceId": str(SERVICE_ID)}, payerId=payer_id).said
        (service,) = said["services"]
        ines = next(one for one in service["providers"] if one["id"] == str(INES))
        return service["missing"], ines["reason"], ines["bookable"]

    assert why() == (["instance"], "no_service_mapping", False)
    made = add(functions, payer_id)
    assert (made.status, made.said["unmapped"]) == (201, True)
    assert why() == (["mapping"], "no_service_mapping", False)
    mapped = map_to(functions, made.said["id"])
    assert mapped.said["integrations"] == [{"system": "intakeq", "externalId": SERVICE}]
    assert why() == ([], None, True)
    booking["headers"]["idempotency-key"] = "another-try"
    booked = functions.call("book", booking)
    assert booked["statusCode"] == 201, booked["body"]
    (visit,) = functions.rows("select payer_id, service_instance_id, status from appointments")
    assert visit == {
        "payer_id": UUID(payer_id),
        "service_instance_id": UUID(made.said["id"]),
        "status": "confirmed",
    }
    overview = ask(functions, "bookability").said
    assert [item["name"] for item in overview["items"] if item["bookable"]] == ["Cedar Health", "Juniper Health"]


def test_an_instance_is_created_once_among_those_that_live(functions: Functions, admin: UUID) -> None:
    made = add(functions)
    assert (made.status, made.said["payerId"], made.said["serviceName"]) == (201, str(NEW_PAYER), "Intake")
    (line,) = audited(functions, "create")
    assert (line["entity"], line["entity_id"], line["actor_id"], line["request_id"]) == (
        "service_instance",
        made.said["id"],
        admin,
        "request",
    )
    assert line["after"] == {"payerId": str(NEW_PAYER), **BODY}
    before = everything(functions)
    again = add(functions)
    assert (again.status, again.slug, again.said["serviceInstanceId"]) == (409, "instance-exists", made.said["id"])
    assert add(functions, serviceId=str(uuid4())).faults == [("/serviceId", "unknown_id")]
    assert add(functions, posCode="1").faults == [("/posCode", "string_pattern_mismatch")]
    assert add(functions, uuid4()).status == 404
    assert everything(functions) == before
    assert add(functions, posCode="02").status == 201
    assert retire(functions, made.said["id"]).status == 204
    assert add(functions).status == 201


def test_of_two_who_create_one_instance_one_is_told_of_the_other(functions: Functions, app_url: str) -> None:
    def create_one(_: int) -> str:
        engine = connect(app_url)
        try:
            instances = Instances(beginner(engine), MovableClock(), DENVER)
            instances.create(NEW_PAYER, InstanceBody.model_validate(BODY), Actor("system"))
        except MoonlitError as error:
            return type(error).__name__
        finally:
            engine.dispose()
        return "created"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(create_one, range(2))) == sorted([InstanceExists.__name__, "created"])


def test_a_mapping_is_made_changed_and_left_alone(functions: Functions) -> None:
    before = everything(functions)
    assert map_to(functions, INSTANCE).status == 200
    assert everything(functions) == before
    changed = map_to(functions, INSTANCE, "77", "intakeq")
    assert changed.said["integrations"] == [{"system": "intakeq", "externalId": "77"}]
    both = map_to(functions, INSTANCE, "962", "athena")
    assert [each["system"] for each in both.said["integrations"]] == ["athena", "intakeq"]
    first, second = audited(functions, "map")
    assert {json.dumps([line["before"], line["after"]]) for line in (first, second)} == {
        json.dumps([{"system": "intakeq", "externalId": SERVICE}, {"system": "intakeq", "externalId": "77"}]),
        json.dumps([{"system": "athena", "externalId": None}, {"system": "athena", "externalId": "962"}]),
    }
    before = everything(functions)
    assert map_to(functions, INSTANCE, "1", "epic").faults == [("/path/system", "literal_error")]
    assert map_to(functions, INSTANCE, "a name").faults == [("/externalId", "string_pattern_mismatch")]
    assert map_to(functions, uuid4()).status == 404
    retire(functions)
    gone = map_to(functions, INSTANCE, "1")
    assert (gone.status, gone.slug) == (409, "instance-retired")
    assert everything(functions)[1] == before[1]


def test_retiring_is_tried_first_and_done_once(functions: Functions) -> None:
    refers = add_visit(functions, service_instance_id=INSTANCE)
    add_visit(functions, provider_id=EMIL, service_instance_id=INSTANCE, start=TEN - timedelta(days=30))
    before = everything(functions)
    tried = retire(functions, dryRun="true")
    assert (tried.status, tried.said["instance"]["appointments"]) == (200, 2)
    (item,) = tried.said["stranded"]["items"]
    assert (item["appointmentId"], item["reason"]) == (str(refers), "no_service_mapping")
    (seen,) = audited(functions, "read")
    assert [str(each) for each in seen["patient_ids"]] == [item["patientId"]]
    other = add(functions, PAYER, posCode="02").said["id"]
    assert retire(functions, dryRun="true").said["stranded"]["total"] == 1
    map_to(functions, other, "88", "athena")
    assert retire(functions, dryRun="true").said["stranded"]["total"] == 1  # The visit is in the other EHR.
    map_to(functions, other, "88", "intakeq")
    assert retire(functions, dryRun="true").said["stranded"]["total"] == 0
    assert everything(functions)[0][0] == before[0][0]
    assert [retire(functions).status for _ in range(2)] == [204, 204]
    (row,) = functions.rows("select * from service_instances where id = :id", id=INSTANCE)
    assert (row["retired_reason"], row["retired_at"]) == ("retired_by_staff", functions.clock.now())
    (line,) = audited(functions, "retire")
    assert (line["entity_id"], line["after"]) == (str(INSTANCE), {"retiredReason": "retired_by_staff"})
    assert retire(functions, dryRun="true").said["stranded"]["total"] == 0
    assert functions.rows("select status from appointments where id = :id", id=refers) == [{"status": "confirmed"}]
    assert retire(functions, uuid4()).status == retire(functions, uuid4(), dryRun="true").status == 404
    live = ask(functions, "payer_instances", payerId=PAYER).said["items"]
    assert [each["id"] for each in live] == [other]
    (past,) = ask(functions, "payer_instances", query={"retired": "true"}, payerId=PAYER).said["items"]
    assert (past["id"], past["appointments"]) == (str(INSTANCE), 2)
    assert ask(functions, "payer_instances", payerId=uuid4()).status == 404


def test_what_is_odd_is_found_and_every_row_comes_once(functions: Functions) -> None:
    now = functions.clock.now()
    orphan, its_twin = stored(functions, payer_id=None), stored(functions, payer_id=None)
    surplus = stored(functions, payer_id=PAYER, retired_at=now, retired_reason="duplicate_on_import")
    merged = stored(functions, payer_id=PAYER, retired_at=now, retired_reason="duplicate_merged")
    fresh = stored(functions, payer_id=NEW_PAYER)
    gone = stored(functions, payer_id=None, retired_at=now, retired_reason="retired_by_staff")
    add_visit(functions, service_instance_id=surplus)
    everyone = listed(functions)
    assert everyone.keys() == {str(INSTANCE), orphan, its_twin, surplus, merged, fresh, gone}
    assert everyone[surplus]["appointments"] == 1
    assert listed(functions, orphaned="true").keys() == {orphan, its_twin}
    assert listed(functions, duplicated="true").keys() == {str(INSTANCE), surplus}
    assert listed(functions, unmapped="true").keys() == {orphan, its_twin, fresh}
    assert listed(functions, unmapped="true", orphaned="false").keys() == {fresh}
    for flag in ("orphaned", "duplicated", "unmapped"):
        yes, no = listed(functions, **{flag: "true"}), listed(functions, **{flag: "false"})
        assert all(item[flag] for item in yes.values())
        assert not any(item[flag] for item in no.values())
        assert yes.keys() | no.keys() == everyone.keys()
    found: list[str] = []
    cursor: Any = None
    for _ in range(3):
        page = ask(functions, "instances", query={"limit": "3"} | ({"cursor": cursor} if cursor else {})).said
        found += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
    assert (found, cursor) == (list(everyone), None)
    assert ask(functions, "instances", query={"unmapped": "1"}).faults == [("/query/unmapped", "true_or_false")]
