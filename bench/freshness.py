"""From a webhook to the partner's roster: how long a change of the EHR takes to be seen, on the whole local stack."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bench.findings import Finding
from bench.practice import NOW, account, born, clinic, visit
from bench.sizes import Sizes
from bench.timing import Series
from local.aws import client
from local.running import running_stack

if TYPE_CHECKING:
    from bench.rig import Rig

_PATIENTS = 50
_PROVIDERS = 5
_HOUSE, _MANAGER = UUID(int=0xA0), "manager@example.org"
_PATIENCE_SECONDS = 20.0


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:  # noqa: ARG001  # The stack is its own.
    """Post webhooks about one patient after another, and look at the roster until it shows each."""
    with tempfile.TemporaryDirectory(prefix="moonlit-bench-") as folder, _stack(Path(folder)) as stack:
        _night(stack)
        _seen_after(stack, 0)  # Starts the functions.
        took = Series([_seen_after(stack, number) for number in range(1, sizes.sightings + 1)])
    yield Finding(
        what="from a webhook to the partner's roster, local stack, p95", n=sizes.sightings, ours=took.p95, bar=1000.0,
        note=f"median {took.median:.0f} ms, {_PATIENTS} patients",
    )  # fmt: skip


def _stack(folder: Path) -> Any:
    files = {
        "CLINIC": _clinic(),
        "INTAKEQ_ACCOUNT": account(_PATIENTS, [_row(n, NOW) for n in range(1, _PATIENTS + 1)]),
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return running_stack(folder / "state", **{name: str(folder / f"{name}.json") for name in files})


def _clinic() -> dict[str, Any]:
    numbers = range(1, _PATIENTS + 1)
    return clinic(_PROVIDERS) | {
        "organizations": [{"id": str(_HOUSE), "name": "Harbor", "active": True}],
        "partner_users": [
            {"id": str(UUID(int=0xA1)), "organization_id": str(_HOUSE), "email": _MANAGER, "name": "Amos Tilbury",
             "role": "case_manager"}
        ],
        "patients": [
            {"id": _patient_id(number), "first_name": f"Pat{number}", "last_name": "Lund", "state": "UT",
             "email": f"c{number}@example.org", "alternate_emails": [], "phone": None, "timezone": None,
             "date_of_birth": born(number)}
            for number in numbers
        ],
        "patient_organization_affiliations": [
            {"id": str(UUID(int=0x9000 + number)), "patient_id": _patient_id(number), "organization_id": str(_HOUSE),
             "status": "active", "roi_consent": "active"}
            for number in numbers
        ],
    }  # fmt: skip


def _patient_id(number: int) -> str:
    return str(UUID(int=0x8000 + number))


def _row(number: int, modified_at: datetime, shift: int = 0) -> dict[str, Any]:
    start = NOW + timedelta(days=3, hours=number, minutes=5 * shift)
    return visit(number, start, client=number, modified_at=modified_at)


def _seen_after(stack: Mapping[str, Any], round_number: int) -> float:
    """Return after how many milliseconds the roster shows what a webhook tells."""
    number = 1 + round_number % _PATIENTS
    row = _row(number, NOW + timedelta(minutes=1 + round_number), shift=1 + round_number)
    body = {"EventType": "AppointmentRescheduled", "Appointment": row, "ClientId": number}
    wanted = datetime.fromtimestamp(row["StartDate"] / 1000).astimezone()
    begun = time.perf_counter()
    _call(stack["webhooks"]["intakeq"], json.dumps(body).encode())
    while time.perf_counter() - begun < _PATIENCE_SECONDS:
        roster = _call(f"{stack['apiUrl']}/partner-dashboard/patients?q=Pat{number}%20&limit=5", token=_token(stack))
        (item,) = roster["items"]
        if item["nextAppointment"] and datetime.fromisoformat(item["nextAppointment"]["start"]) == wanted:
            return (time.perf_counter() - begun) * 1000
    raise RuntimeError("the roster never showed it")


def _night(stack: Mapping[str, Any]) -> None:
    answer = client("lambda", stack["lambdaUrl"]).invoke(FunctionName="sync_cron", Payload=b'{"waitSeconds": 50}')
    said = json.loads(answer["Payload"].read())
    if said.get("state") != "completed":
        raise RuntimeError("the night did not end")


def _token(stack: Mapping[str, Any]) -> str:
    return str(stack["tokens"][_MANAGER])


def _call(url: str, body: bytes | None = None, token: str | None = None) -> Any:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)
