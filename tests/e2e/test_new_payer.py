"""A payer is created over HTTP and nothing else is done: it is bookable by itself, also when the bus was away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from local import demo_data
from local.aws import client, create_rules
from local.host.template import Template
from tests.conftest import ROOT
from tests.e2e.site import Answer, Site, until

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("new-payer")]

CLINIC = demo_data.clinic()
# A provider of IntakeQ's with hours and a licence in Utah, who takes new patients.
PROVIDER = next(
    row
    for row in CLINIC["providers"]
    if row["ehr_system"] == "intakeq" and row["active"] and row["accepting_new_patients"] and "UT" in row["license_states"]
)  # fmt: skip
TODAY = date.fromisoformat(CLINIC["as_of"][:10])
CONTRACT = {"providerId": PROVIDER["id"], "effectiveDate": str(TODAY - timedelta(days=400)), "status": "active"}


@pytest.fixture(scope="module")
def clinic(stack: Mapping[str, Any]) -> Site:
    """Return the built-in clinic, one night behind it."""
    site = Site(stack)
    site.night()
    return site


def staff(site: Site, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    email = next(row["email"] for row in CLINIC["staff_users"] if row["role"] == "admin")
    authorized = {"authorization": f"Bearer {site.stack['tokens'][email]}", **headers}
    return site.api(method, path, body, headers=authorized)


def create(site: Site, **more: Any) -> dict[str, Any]:
    body = {"name": f"Fern Mutual {uuid4().hex[:8]}", "type": "private", "statusCode": "approved", "state": "UT"}
    answer = staff(site, "POST", "/admin/payers", body | more)
    assert answer.status == 201, answer
    return {**answer.body, "etag": answer.headers["etag"]}


def standing(site: Site, payer_id: str) -> dict[str, Any]:
    """Return the payer's line of the overview."""
    items = staff(site, "GET", "/admin/bookability").body["items"]
    return next(item for item in items if item["payerId"] == payer_id)


def trail(site: Site, payer_id: str) -> list[tuple[str, str, bool]]:
    """Return what the audit log says of the payer and its instances: action, actor, and whether the request is known."""
    rows = site.rows(
        "select action, actor_kind, request_id is not null as known from audit_log"
        " where entity_id = :payer or entity_id in"
        " (select id::text from service_instances where payer_id = cast(:payer as uuid)) order by at, id",
        payer=payer_id,
    )
    return [(row["action"], row["actor_kind"], row["known"]) for row in rows]


def booking(site: Site, payer_id: str) -> Mapping[str, Any]:
    """Return the body of a booking of the first slot that the widget offers members of the payer."""
    services = site.api("GET", f"/services?payerId={payer_id}").body["items"]
    intake = next(service for service in services if service["kind"] == "intake")
    first, last = TODAY + timedelta(days=2), TODAY + timedelta(days=30)
    query = f"payerId={payer_id}&serviceId={intake['id']}&state=UT&from={first}&to={last}"
    slots = site.api("GET", f"/availability?{query}&providers%5B%5D={PROVIDER['id']}").body["slots"]
    assert slots
    return {
        "payerId": payer_id, "serviceId": intake["id"], "providerId": PROVIDER["id"], "start": slots[0]["start"],
        "state": "UT", "consents": {"email": True, "sms": False},
        "patient": {
            "firstName": "Wren", "lastName": "Invented", "dateOfBirth": "1990-01-01",
            "email": f"wren.{uuid4().hex[:8]}@example.org", "phone": "801-555-0177",
        },
    }  # fmt: skip


def test_a_payer_that_is_created_and_given_a_contract_is_booked_without_any_other_step(clinic: Site) -> None:
    payer = create(clinic)
    until(lambda: standing(clinic, payer["id"])["serviceReady"], "the payer is service-ready")
    assert standing(clinic, payer["id"])["missing"] == ["contract"]
    body = {name: payer[name] for name in ("name", "type", "statusCode", "state")} | {"contracts": [CONTRACT]}
    changed = staff(clinic, "PUT", f"/admin/payers/{payer['id']}", body, **{"if-match": payer["etag"]})
    assert changed.status == 200, changed
    assert standing(clinic, payer["id"]) | {"bookable": True, "missing": []} == standing(clinic, payer["id"])
    booked = clinic.book(booking(clinic, payer["id"]))
    assert (booked.status, booked.body["status"], booked.body["payer"]["id"]) == (201, "confirmed", payer["id"])
    assert booked.body["ehr"]["externalId"] in {row["Id"] for row in clinic.in_ehr()}
    noted = trail(clinic, payer["id"])
    assert {actor for _, actor, _ in noted[:1]} == {"staff"}
    assert {"create_instance", "create_mapping"} <= {action for action, actor, _ in noted if actor == "system"}
    assert all(known for *_, known in noted)


def test_with_the_bus_away_the_payer_is_created_all_the_same_and_bookable_after_one_sweep(clinic: Site) -> None:
    aws = clinic.stack["awsUrl"]
    template = Template.read(ROOT / "template.yaml", sqs_url=aws)
    events = client("events", aws)
    for rule in template.rules:
        events.remove_targets(Rule=rule.name, EventBusName=rule.bus, Ids=[rule.function])
        events.delete_rule(Name=rule.name, EventBusName=rule.bus)
        events.delete_event_bus(Name=rule.bus)
    payer = create(clinic, contracts=[CONTRACT])
    assert clinic.rows("select id from outbox where kind = 'payer.created' and sent_at is null")
    assert standing(clinic, payer["id"])["missing"] == ["intake_instance"]
    create_rules(aws, template.rules)
    assert clinic.invoke("sweeper")["events_relayed"] == 1
    until(lambda: standing(clinic, payer["id"])["bookable"], "the payer is bookable")
    assert clinic.book(booking(clinic, payer["id"])).status == 201
