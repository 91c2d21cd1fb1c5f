"""A running stack as its users see it: HTTP, invokes, the database from outside, the EHR's simulator."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from local.aws import client
from local.running import running_stack
from moonlit.db.engine import connect
from tests.fixtures_booking import INES, PAYER, SERVICE_ID, make_clinic
from tests.fixtures_intakeq import make_account

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What an HTTP call came back with; `body` is parsed JSON, or text."""

    status: int
    headers: Mapping[str, str]
    body: Any


def call(
    method: str, url: str, body: Any = None, *, raw: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send one request, as JSON unless `raw` is given."""
    data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
    request = urllib.request.Request(url, method=method, data=data, headers=dict(headers or {}))  # noqa: S310
    if data is not None and not request.has_header("Content-type"):
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return _answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        return _answer(error.code, error.headers, error.read())


def _answer(status: int, headers: Any, content: bytes) -> Answer:
    lowered = {name.lower(): value for name, value in headers.items()}
    return Answer(
        status, lowered, json.loads(content) if "json" in lowered.get("content-type", "") else content.decode()
    )


def until[Found](look: Callable[[], Found], what: str) -> Found:
    """Look until it finds something."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"in vain: {what}")


@dataclass(frozen=True)
class Site:
    """A running stack."""

    stack: Mapping[str, Any]

    def api(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return call(method, f"{self.stack['apiUrl']}{path}", body, **options)

    def book(self, booking: Mapping[str, Any], key: str | None = None) -> Answer:
        return self.api("POST", "/appointments", booking, headers={"Idempotency-Key": key or uuid4().hex})

    def invoke(self, function: str, payload: Any = None) -> Any:
        answer = client("lambda", self.stack["lambdaUrl"]).invoke(
            FunctionName=function, Payload=json.dumps(payload or {})
        )
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        return said

    def night(self) -> Any:
        said = self.invoke("SyncCronFunction", {"waitSeconds": 50})
        assert said["state"] == "completed", said
        return said

    def workers(self, function: str) -> list[dict[str, Any]]:
        return list(call("GET", f"{self.stack['lambdaUrl']}/_control/workers?function={function}").body["workers"])

    def move_clock(self, to: str) -> None:
        assert call("POST", f"{self.stack['lambdaUrl']}/_control/clock", {"to": to}).status == 200

    @contextmanager
    def database(self) -> Iterator[sa.Connection]:
        engine = connect(self.stack["databaseUrl"])
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        with self.database() as connection:
            return [dict(row) for row in connection.execute(sa.text(statement), values).mappings()]

    def simulator(self, method: str, path: str, body: Any = None) -> Any:
        answer = call(method, f"{self.stack['simulators']['intakeq']}/_control/{path}", body)
        assert answer.status == 200, answer
        return answer.body

    def in_ehr(self) -> list[dict[str, Any]]:
        """Return the EHR's visits that stand."""
        return [row for row in self.simulator("GET", "state")["appointments"] if row["Status"] != "Canceled"]


@contextmanager
def small_site(folder: Path, **account: Any) -> Iterator[Site]:
    """Run a stack with the two providers of tests/fixtures_booking.py, one night behind it."""
    folder.mkdir(parents=True, exist_ok=True)
    clinic_file, account_file = folder / "clinic.json", folder / "account.json"
    clinic_file.write_text(json.dumps(make_clinic()))
    account_file.write_text(json.dumps(make_account(clients=[], **account)))
    with running_stack(folder / "state", CLINIC=str(clinic_file), INTAKEQ_ACCOUNT=str(account_file)) as stack:
        site = Site(stack)
        site.night()
        yield site


def booking(start: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return the body of a booking of the patient with that number."""
    return {
        "payerId": str(PAYER),
        "serviceId": str(SERVICE_ID),
        "providerId": str(INES),
        "start": start,
        "state": "UT",
        "patient": {
            "firstName": f"Pat{number}",  # IntakeQ takes one first name and phone for one person.
            "lastName": "Canary",
            "dateOfBirth": "1990-01-01",
            "email": f"pat{number}.canary@example.org",
            "phone": f"801-555-01{number % 100:02}",
        },
        "consents": {"email": True, "sms": False},
    } | changes
