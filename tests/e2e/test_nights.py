"""Two nights on a whole stack: invoked as the scheduler does, seen as the widget and an export see them."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from local import demo_data
from local.aws import client
from local.clinic import export
from moonlit.db.engine import connect
from tests import expectations

pytestmark = pytest.mark.stack

type Stack = dict[str, Any]


def get(url: str, query: Mapping[str, Any] | None = None) -> Any:
    asked = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def call(method: str, url: str, body: Any = None) -> Any:
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())  # noqa: S310
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def night(stack: Stack) -> dict[str, Any]:
    """Run the nightly sync to its end and return what it said."""
    answer = client("lambda", stack["lambdaUrl"]).invoke(
        FunctionName="sync_cron", Payload=json.dumps({"waitSeconds": 50})
    )
    said: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, said
    return said


def exported(stack: Stack) -> dict[str, Any]:
    now = datetime.fromisoformat(get(f"{stack['lambdaUrl']}/_control/clock")["now"])
    engine = connect(stack["databaseUrl"])
    with engine.begin() as connection:
        content = export(connection, now)
    engine.dispose()
    return content


def test_both_nights_end_as_they_must(stack: Stack) -> None:
    expected, api = demo_data.expected(), stack["apiUrl"]
    simulator = f"{stack['simulators']['intakeq']}/_control/requests"

    payers = get(f"{api}/payers", {"limit": 200})["items"]
    assert expectations.acceptance_differences(payers, expected) == []

    assert night(stack)["state"] == "completed"
    assert expectations.night_differences(exported(stack), expected, "first") == []
    assert expectations.slot_differences(lambda query: get(f"{api}/availability", query), expected) == []

    call("POST", f"{stack['lambdaUrl']}/_control/clock", {"to": expected["secondNight"]["now"]})
    call("DELETE", simulator)
    assert night(stack)["state"] == "completed"
    assert expectations.night_differences(exported(stack), expected, "second") == []
    assert len(get(simulator)) <= expected["requests"]["secondNightAtMost"]
