"""What has to be there for the admin's sample events about payers, and what each is promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from tests.fixtures_booking import EMIL, INES, INSTANCE, PAYER
from tests.fixtures_functions import Functions
from tests.fixtures_payers import add_visit
from tests.samples_admin import an_admin


def _body(answer: Mapping[str, Any], status: int = 200) -> Any:
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def listed(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["name"], item["acceptance"]["status"], item["serviceReady"]) == ("Dune Mutual", "lead", False)


def created(functions: Functions, answer: Any) -> None:
    said = _body(answer, 201)
    assert answer["headers"]["Location"] == f"/admin/payers/{said['id']}"
    assert (said["acceptance"]["status"], len(said["changes"])) == ("accepted", 3)
    assert [event.detail for event in functions.events] == [{"payerId": said["id"]}]


def shown(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["id"], [row["providerId"] for row in said["contracts"]]) == (str(PAYER), [str(INES), str(EMIL)])
    assert answer["headers"]["ETag"]


def an_admin_and_a_visit(functions: Functions) -> None:
    """Book a visit after the day on which the sample ends the provider's contract."""
    an_admin(functions)
    functions.clock.advance(days=1)
    add_visit(functions, start=functions.clock.now().replace(month=4))


def tried(functions: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["dryRun"], [each["entity"] for each in said["changes"]]) == (True, ["contract"])
    assert said["stranded"]["total"] == 1
    assert functions.rows("select 1 from provider_payer_networks where end_date is not null") == []


def overview(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["payersTotal"], said["serviceReady"], said["bookable"]) == (2, 1, 1)
    assert [item["missing"] for item in said["items"]] == [[], ["intake_instance", "contract"]]


def why_not(_: Functions, answer: Any) -> None:
    (service,) = _body(answer)["services"]
    assert (service["missing"], [one["via"] for one in service["providers"]]) == ([], ["contract", "contract"])


def instances_of_the_payer(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["payerName"], item["serviceName"], item["unmapped"]) == ("Cedar Health", "Intake", False)


def an_admin_and_no_mapping(functions: Functions) -> None:
    an_admin(functions)
    functions.execute("delete from service_instance_integrations")


def instance_created(functions: Functions, answer: Any) -> None:
    said = _body(answer, 201)
    assert (said["payerName"], said["unmapped"]) == ("Dune Mutual", True)
    assert {"id": UUID(said["id"])} in functions.rows("select id from service_instances")


def unmapped(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["id"], item["unmapped"], item["appointments"]) == (str(INSTANCE), True, 0)


def retired(functions: Functions, answer: Any) -> None:
    assert (answer["statusCode"], answer.get("body") or "") == (204, "")
    (row,) = functions.rows("select retired_reason from service_instances")
    assert row["retired_reason"] == "retired_by_staff"


def mapped(_: Functions, answer: Any) -> None:
    (mapping,) = _body(answer)["integrations"]
    assert mapping["system"] == "intakeq"


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/bookability": an_admin,
    "admin/create_instance": an_admin,
    "admin/instances": an_admin_and_no_mapping,
    "admin/map_instance": an_admin_and_no_mapping,
    "admin/payer_bookability": an_admin,
    "admin/payer_instances": an_admin,
    "admin/retire_instance": an_admin,
    "admin/change_payer": an_admin_and_a_visit,
    "admin/create_payer": an_admin,
    "admin/payer": an_admin,
    "admin/payers": an_admin,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/bookability": overview,
    "admin/create_instance": instance_created,
    "admin/instances": unmapped,
    "admin/map_instance": mapped,
    "admin/payer_bookability": why_not,
    "admin/payer_instances": instances_of_the_payer,
    "admin/retire_instance": retired,
    "admin/change_payer": tried,
    "admin/create_payer": created,
    "admin/payer": shown,
    "admin/payers": listed,
}
