"""What has to be there for the admin's sample events about payers, and what each is promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.fixtures_booking import EMIL, INES, PAYER
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


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/change_payer": an_admin_and_a_visit,
    "admin/create_payer": an_admin,
    "admin/payer": an_admin,
    "admin/payers": an_admin,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/change_payer": tried,
    "admin/create_payer": created,
    "admin/payer": shown,
    "admin/payers": listed,
}
