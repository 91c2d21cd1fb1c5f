"""Staff's own refresh of a patient: admins of any, providers of those whom they see."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_access import add_staff, as_user
from tests.fixtures_booking import EMIL, INES
from tests.fixtures_partners import Houses


def ask(houses: Houses, sub: str, patient_id: UUID) -> tuple[int, Any]:
    event = as_user("admin/sync_patient", sub=sub)
    sampled = event["pathParameters"]["patientId"]
    event["pathParameters"] = {"patientId": str(patient_id)}
    event["rawPath"] = event["requestContext"]["http"]["path"] = event["rawPath"].replace(sampled, str(patient_id))
    event.pop("body")
    answer = houses.functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def test_admin_refreshes_anybody_and_sees_visits_whatever_partners_may(houses: Houses) -> None:
    user_id = add_staff(houses.functions, "admin", "s-office")
    status, said = ask(houses, "s-office", houses.silent)
    assert (status, len(said["appointments"])) == (200, 1)
    (log,) = houses.functions.rows("select requested_by, organization_id, patient_id from sync_logs")
    assert (log["requested_by"], log["organization_id"], log["patient_id"]) == (f"staff:{user_id}", None, houses.silent)
    (read,) = houses.audit("read")
    assert (read["actor_kind"], read["actor_id"], read["patient_ids"]) == ("staff", user_id, [houses.silent])


def test_partners_see_that_staff_refreshed_and_not_who(houses: Houses) -> None:
    add_staff(houses.functions, "admin", "s-office", name="Nora Pike")
    ask(houses, "s-office", houses.dana)
    said = houses.ask("sync_history", about=houses.dana)[1]
    assert [(each["triggeredBy"], each["type"]) for each in said["history"]] == [("Practice staff", "manual_patient")]
    assert "Pike" not in json.dumps(houses.ask("patient", about=houses.dana)[1])


def test_provider_refreshes_those_whom_they_see_and_nobody_else(houses: Houses) -> None:
    add_staff(houses.functions, "provider", "s-ines")
    add_staff(houses.functions, "provider", "s-emil", provider_id=EMIL)
    assert [ask(houses, sub, houses.dana)[0] for sub in ("s-ines", "s-emil")] == [200, 404]
    houses.visit(houses.dana, 200, provider_id=None, rendering_provider_id=EMIL)
    assert ask(houses, "s-emil", houses.dana)[0] == 200
    assert ask(houses, "s-ines", uuid4())[0] == 404
    assert len(houses.audit("refused")) == 2


def test_provider_of_several_ids_is_one_person(houses: Houses) -> None:
    other = uuid4()
    with houses.functions.begin() as connection:
        connection.execute(sa.update(t.providers).where(t.providers.c.id == INES).values(person_key="okafor"))
        connection.execute(
            sa.insert(t.providers).values(
                id=other, name="I. Okafor", ehr_system="athena", timezone="America/Denver", person_key="okafor"
            )
        )
    add_staff(houses.functions, "provider", "s-ines", provider_id=other)
    assert ask(houses, "s-ines", houses.dana)[0] == 200


@pytest.mark.parametrize("role", ["biller"])
def test_others_may_not(houses: Houses, role: str) -> None:
    add_staff(houses.functions, role, "s-1")
    assert ask(houses, "s-1", houses.dana)[0] == 403
    assert [row["after"] for row in houses.audit("refused")] == [{"slug": "forbidden"}]
