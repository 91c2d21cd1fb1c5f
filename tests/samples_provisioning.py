"""What has to be there for the sample events about making payers bookable, and what each is promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from tests.fixtures_access import add_staff
from tests.fixtures_booking import SERVICE_ID
from tests.fixtures_functions import Functions, sample

RUN = UUID(sample("backfill/undo")["undo"])
DEFAULTS = [
    {
        "name": "Intake", "service_id": str(SERVICE_ID), "location": "Telehealth", "pos_code": "10", "required": True,
        "mappings": {"intakeq": "intake-of-all", "athena": "962"},
    }
]  # fmt: skip


def defaults(functions: Functions) -> None:
    """Store an admin, who the samples' `sub` and address are, and what every payer is to have."""
    claims = sample("admin/conflicts")["requestContext"]["authorizer"]["jwt"]["claims"]
    add_staff(functions, "admin", claims["sub"], email="admin@example.org")
    functions.execute("update practice_settings set default_services = cast(:rows as jsonb)", rows=json.dumps(DEFAULTS))


def a_run(functions: Functions) -> None:
    """Store a run under the id that the samples name."""
    defaults(functions)
    functions.call("backfill", sample("backfill/apply"))
    functions.execute("alter table provisioning_actions drop constraint fk_provisioning_actions_run_id")
    functions.execute("update provisioning_runs set id = :id", id=RUN)
    functions.execute("update provisioning_actions set run_id = :id", id=RUN)


def _planned(run: Mapping[str, Any], state: str) -> None:
    assert (run["state"], run["counts"]["payersTotal"], run["counts"]["serviceReadyBefore"]) == (state, 2, 1)
    assert {action["action"] for action in run["actions"]} == {"create_instance", "create_mapping", "repair_mapping"}


def _body(answer: Mapping[str, Any]) -> Any:
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])


def _made(functions: Functions) -> int:
    return len(functions.rows("select id from service_instances"))


def shown_dry(functions: Functions, answer: Any) -> None:
    _planned(_body(answer), "planned")
    assert _made(functions) == 1


def dry(functions: Functions, answer: Any) -> None:
    _planned(answer, "planned")
    assert _made(functions) == 1


def applied(functions: Functions, answer: Any) -> None:
    _planned(answer, "applied")
    assert answer["counts"]["serviceReadyAfter"] == 2
    assert _made(functions) == 2


def undone(functions: Functions, answer: Any) -> None:
    _planned(answer, "undone")
    assert _made(functions) == 1


def shown_undone(functions: Functions, answer: Any) -> None:
    undone(functions, _body(answer))


def listed(_: Functions, answer: Any) -> None:
    (run,) = _body(answer)["items"]
    assert (run["runId"], run["state"], run["actionsTotal"]) == (str(RUN), "applied", 5)


def shown(_: Functions, answer: Any) -> None:
    _planned(_body(answer), "applied")


def provisioned(functions: Functions, answer: Any) -> None:
    (run,) = functions.rows("select id, requested_by, state from provisioning_runs")
    assert (answer, run["requested_by"], run["state"]) == ({"runId": str(run["id"])}, "system", "applied")


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/provisioning_run": a_run,
    "admin/provisioning_runs": a_run,
    "admin/start_provisioning": defaults,
    "admin/undo_provisioning": a_run,
    "backfill/apply": defaults,
    "backfill/dry_run": defaults,
    "backfill/undo": a_run,
    "payer_created/event": defaults,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/provisioning_run": shown,
    "admin/provisioning_runs": listed,
    "admin/start_provisioning": shown_dry,
    "admin/undo_provisioning": shown_undone,
    "backfill/apply": applied,
    "backfill/dry_run": dry,
    "backfill/undo": undone,
    "payer_created/event": provisioned,
}
