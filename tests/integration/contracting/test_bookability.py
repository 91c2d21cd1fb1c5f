"""Which payers are bookable and why others are not, in the words in which the widget and booking decide."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.availability import widget
from moonlit.contracting.overview import overview
from moonlit.db import tables as t
from tests.fixtures_access import add_staff
from tests.fixtures_booking import EMIL, INES, INSTANCE, NEW_PAYER, PAYER, SERVICE_ID
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, SERVICE, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN
from tests.fixtures_payers import OTHER, add_provider, ask, change, contract, create, supervision

__all__ = ["functions", "open_intakeq", "start_intakeq"]

LARGEST_ANSWER = 6_000_000  # Bytes that Lambda lets through.
STATUSES = (None, "approved", "pending", "suspended", "rejected")


@pytest.fixture(autouse=True)
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def seen(functions: Functions) -> dict[str, tuple[bool, bool, list[str]]]:
    said = ask(functions, "bookability").said
    assert said["payersTotal"] == len(said["items"])
    assert said["serviceReady"] == sum(item["serviceReady"] for item in said["items"])
    assert said["bookable"] == sum(item["bookable"] for item in said["items"])
    return {item["name"]: (item["serviceReady"], item["bookable"], item["missing"]) for item in said["items"]}


def test_each_thing_that_is_missing_is_named(functions: Functions) -> None:
    functions.execute("update payers set name = '  Dune Mutual ' where id = :id", id=NEW_PAYER)
    create(functions, name="Self", type="self_pay")
    assert seen(functions) == {
        "Cedar Health": (True, True, []),
        "Dune Mutual": (False, False, ["intake_instance", "contract"]),
        "Self": (False, False, ["intake_instance"]),
    }
    functions.execute("update payers set status_code = 'suspended'")
    assert seen(functions) == {
        "Cedar Health": (True, False, ["status"]),
        "Dune Mutual": (False, False, ["intake_instance", "contract", "status"]),
        "Self": (False, False, ["intake_instance", "status"]),
    }
    functions.execute("update payers set status_code = null")
    functions.execute("delete from service_instance_integrations")
    assert seen(functions)["Cedar Health"] == (False, False, ["intake_mapping"])
    functions.execute("update services set is_active = false")
    assert seen(functions)["Cedar Health"] == (False, False, ["intake_instance"])
    functions.execute("update services set is_active = true, kind = 'follow_up'")
    assert seen(functions)["Cedar Health"] == (False, False, ["intake_instance"])
    functions.execute("update services set kind = 'intake'")
    functions.execute("update service_instances set retired_at = now(), retired_reason = 'retired_by_staff'")
    assert seen(functions)["Cedar Health"] == (False, False, ["intake_instance"])
    functions.execute("update providers set active = false")
    assert seen(functions)["Cedar Health"] == (False, False, ["intake_instance", "contract"])


def test_a_thousand_payers_cost_as_many_statements_as_two_and_agree_with_the_widget(functions: Functions) -> None:
    statements: list[str] = []
    with functions.begin() as connection:
        sa.event.listen(connection.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    def counted() -> tuple[int, Any]:
        statements.clear()
        with functions.begin() as connection:
            found = overview(connection, NOON)
        return len(statements), found

    few, _ = counted()
    names, kinds = [f"Payer {n:04} {'x' * 150}" for n in range(1000)], ("private", "medicaid", "self_pay")
    rows: list[dict[str, Any]] = [
        {"id": uuid4(), "name": name, "type": kinds[n % 3], "status_code": STATUSES[n % 5], "plan_codes": []}
        for n, name in enumerate(names)
    ]
    held = [
        {
            "id": uuid4(), "payer_id": row["id"], "provider_id": INES, "status": "active",
            "effective_date": date(2027, 3, 1) + timedelta(days=n % 60),
        }
        for n, row in enumerate(rows)
        if n % 7
    ]  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.payers), rows)
        connection.execute(sa.insert(t.provider_payer_networks), held)
    many, found = counted()
    assert many == few == 4
    assert found.payers_total == 1002
    assert len(found.model_dump_json(by_alias=True)) < LARGEST_ANSWER / 10
    accepted: dict[UUID, bool] = {}
    after: str | None = None
    with functions.begin() as connection:
        while after or not accepted:
            page = widget.payers(connection, NOON, q=None, state=None, limit=200, after=after)
            accepted |= {item.id: item.acceptance.status != "lead" for item in page.items}
            after = page.next_cursor
    assert {item.payer_id: not {"contract", "status"}.intersection(item.missing) for item in found.items} == accepted
    assert 100 < sum(accepted.values()) < 900


def why(functions: Functions, payer_id: UUID = PAYER, **query: str) -> dict[str, Any]:
    answer = ask(functions, "payer_bookability", query=query, payerId=payer_id)
    assert answer.status == 200, answer.said
    return dict(answer.said)


def told_to_patients(functions: Functions, **body: Any) -> Any:
    event = sample("availability/eligibility")
    event["body"] = json.dumps({"payerId": str(PAYER), "serviceId": str(SERVICE_ID), "state": "UT", **body})
    return json.loads(functions.call("availability", event)["body"])


def test_a_provider_stands_as_the_widget_says(functions: Functions) -> None:
    add_provider(functions)
    functions.execute(
        "insert into provider_intakeq_settings (provider_id, practitioner_id) values (:id, 'x')", id=OTHER
    )
    add_provider(functions, UUID(int=0x13), license_states=["ID"])
    add_provider(functions, UUID(int=0x14), active=False)
    change(functions, supervision=[supervision(OTHER, EMIL)], contracts=[contract(INES, "2027-04-01"), contract(EMIL)])
    for day in ("2027-03-15", "2027-04-02"):
        said, patients = why(functions, state="UT", visitDate=day), told_to_patients(functions, visitDate=day)
        assert said["acceptance"] == patients["acceptance"]
        (service,) = said["services"]
        bookable = {
            one["id"]: (one["via"], one["renderingProviderId"], one["bookableFrom"])
            for one in service["providers"]
            if one["bookable"]
        }
        assert bookable == {
            one["id"]: (one["via"], one["renderingProvider"] and one["renderingProvider"]["id"], one["bookableFrom"])
            for one in patients["providers"]
        }
        assert bookable[str(OTHER)] == ("supervision", str(EMIL), day)
        reasons = Counter(one["reason"] for one in service["providers"] if not one["bookable"])
        assert reasons == {each["reason"]: each["providers"] for each in patients["excluded"]}
        assert {"inactive", "not_licensed_in_state"} <= reasons.keys()
    ines = next(one for one in why(functions)["services"][0]["providers"] if one["id"] == str(INES))
    assert (ines["bookable"], ines["bookableFrom"]) == (True, "2027-04-01")
    anywhere = {one["id"]: one["reason"] for one in why(functions)["services"][0]["providers"]}
    assert anywhere[str(UUID(int=0x13))] == "no_contract"


def test_services_are_those_of_the_practice_and_those_with_an_instance(functions: Functions) -> None:
    default, dosed, inactive = UUID(int=0x31), UUID(int=0x32), UUID(int=0x33)
    service = {"kind": "follow_up", "duration_minutes": 30, "modality": "telehealth", "codes": []}
    with functions.begin() as connection:
        connection.execute(
            sa.insert(t.services),
            [
                service | {"id": default, "name": " Follow-up ", "dose_required": False, "is_active": True},
                service | {"id": dosed, "name": "Injection", "dose_required": True, "is_active": True},
                service | {"id": inactive, "name": "Old", "dose_required": False, "is_active": False},
            ],
        )
        row = {"payer_id": PAYER, "location": "Telehealth", "pos_code": "10"}
        instances = [row | {"id": uuid4(), "service_id": one} for one in (dosed, inactive)]
        connection.execute(sa.insert(t.service_instances), instances)
        mapping = {"id": uuid4(), "service_instance_id": instances[1]["id"], "system": "intakeq", "external_id": "9"}
        connection.execute(sa.insert(t.service_instance_integrations).values(mapping))
        connection.execute(sa.update(t.practice_settings).values(default_services=[{"service_id": str(default)}]))
    said = {one["name"]: one for one in why(functions)["services"]}
    assert {name: one["missing"] for name, one in said.items()} == {
        "Follow-up": ["instance"],
        "Injection": ["dose", "mapping"],
        "Intake": [],
        "Old": ["inactive_service"],
    }
    intake = said["Intake"]
    mapping_shown = {"system": "intakeq", "externalId": SERVICE, "serviceInstanceId": str(INSTANCE)}
    assert (intake["serviceInstanceId"], intake["mappings"]) == (str(INSTANCE), [mapping_shown])
    assert {one["bookable"] for name in ("Follow-up", "Injection", "Old") for one in said[name]["providers"]} == {False}
    assert [one["reason"] for one in said["Old"]["providers"]] == [None, None]
    assert [one["name"] for one in why(functions, NEW_PAYER)["services"]] == ["Follow-up"]
    assert [one["name"] for one in why(functions, NEW_PAYER, serviceId=str(SERVICE_ID))["services"]] == ["Intake"]
    functions.execute("update payers set status_code = 'rejected' where id = :id", id=PAYER)
    rejected = why(functions, serviceId=str(SERVICE_ID))
    assert rejected["acceptance"]["status"] == "lead"
    assert {one["reason"] for one in rejected["services"][0]["providers"]} == {"payer_not_accepted"}


def test_what_is_asked_for_has_to_be_there(functions: Functions) -> None:
    assert ask(functions, "payer_bookability", payerId=uuid4()).status == 404
    assert ask(functions, "payer_bookability", query={"serviceId": str(uuid4())}, payerId=PAYER).status == 404
    wrong = ask(functions, "payer_bookability", query={"state": "Utah"}, payerId=PAYER)
    assert wrong.faults == [("/query/state", "string_pattern_mismatch")]
