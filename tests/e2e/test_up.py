"""`make up` and `make invoke` as a person meets them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from local.running import StackNotStarted, running_stack
from tests.e2e.site import call, until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.stack


def make(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MOONLIT_STATE": str(folder)} | settings
    return subprocess.run(
        ["make", "--silent", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_running_stack_answers_where_it_says(stack: dict[str, Any]) -> None:
    with urllib.request.urlopen(f"{stack['apiUrl']}/health") as answer:  # noqa: S310
        assert answer.status == 200
    for vendor in ("intakeq", "athena"):
        with urllib.request.urlopen(f"{stack['simulators'][vendor]}/_control/requests") as answer:  # noqa: S310
            assert answer.status == 200
    engine = sa.create_engine(stack["databaseUrl"])
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select count(*) from payers"))
    engine.dispose()
    assert stack["webhooks"]["intakeq"].startswith(stack["apiUrl"] + "/webhooks/intakeq/")


def test_a_signed_webhook_finds_its_way_and_can_be_signed_by_hand(stack: dict[str, Any]) -> None:
    url, secret = stack["webhooks"]["athena"], stack["webhookSecrets"]["athena"]
    body = b'{"resourceType": "Bundle", "type": "history", "entry": [{"resource": {"resourceType": "SubscriptionStatus"}}]}'
    signature = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    assert call("POST", url, raw=body, headers={"X-Hub-Signature": signature}).status == 200
    assert call("POST", url, raw=body + b" ", headers={"X-Hub-Signature": signature}).status == 401

    simulator = f"{stack['simulators']['athena']}/_control"
    call("POST", f"{simulator}/webhook", {"url": url, "secret": secret})
    call("POST", f"{simulator}/staff", {"action": "update", "appointmentid": "1104880", "starttime": "08:45"})
    engine = sa.create_engine(stack["databaseUrl"])
    query = sa.text("select state from webhook_events where source = 'athena' and state not in ('received')")

    def settled() -> str | None:
        with engine.connect() as connection:
            state: str | None = connection.scalar(query)
            return state

    assert until(settled, "the event is applied") in ("ignored", "applied")
    with engine.connect() as connection:
        mirrored = connection.scalars(sa.text("select external_id from ehr_appointments where raw ? 'appointmentid'"))
        assert "1104880" in set(mirrored)
    engine.dispose()
    call("POST", f"{simulator}/webhook", {"url": None})


def test_everyone_of_the_clinic_is_signed_in_and_may_what_their_role_may(stack: dict[str, Any]) -> None:
    engine = sa.create_engine(stack["databaseUrl"])
    query = "select email, role from staff_users union select email, role from partner_users"
    with engine.connect() as connection:
        roles = {row.email: row.role for row in connection.execute(sa.text(query))}
    engine.dispose()
    assert stack["tokens"].keys() == roles.keys()
    assert set(roles.values()) == {"admin", "biller", "provider", "partner_admin", "case_manager"}
    url = f"{stack['apiUrl']}/admin/conflicts"
    answers = {
        email: call("GET", url, headers={"authorization": f"Bearer {token}"})
        for email, token in stack["tokens"].items()
    }
    assert {email: answer.status for email, answer in answers.items()} == {
        email: 200 if role == "admin" else 403 for email, role in roles.items()
    }
    nobody = call("GET", url)
    assert (nobody.status, nobody.body) == (401, {"message": "Unauthorized"})
    assert "x-request-id" not in nobody.headers  # The gateway itself answered.


def test_a_second_stack_on_the_same_state_is_refused(stack: dict[str, Any], stack_folder: Path) -> None:
    second = make(stack_folder, "up", PORT="0")
    assert second.returncode
    assert "running already" in second.stderr
    assert json.loads((stack_folder / "stack.json").read_text()) == stack


@pytest.mark.usefixtures("stack")
def test_a_function_is_called_by_make_invoke(stack_folder: Path) -> None:
    answer = make(stack_folder, "invoke", FUNCTION="migrate", PAYLOAD="{}")
    assert json.loads(answer.stdout)["revision"]
    assert answer.returncode == 0
    sample = (ROOT / "functions/availability/events/health.json").read_text()  # With a `$`, which make must leave.
    health = make(stack_folder, "invoke", "FUNCTION=availability", f"PAYLOAD={sample}")
    assert json.loads(health.stdout)["statusCode"] == 200, health.stdout
    unknown = make(stack_folder, "invoke", FUNCTION="migrat")
    assert unknown.returncode
    assert "Function not found" in unknown.stderr


def test_without_a_stack_invoke_says_how_to_start_one(tmp_path: Path) -> None:
    answer = make(tmp_path, "invoke", FUNCTION="migrate")
    assert answer.returncode
    assert "make up" in answer.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(StackNotStarted, match=f"Port {port} is taken"), running_stack(tmp_path, PORT=port):
            pass


def test_a_broken_clinic_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    clinic = tmp_path / "clinic.json"
    clinic.write_text('{"as_of": "2026-12-01T17:00:00Z", "payer": []}')
    with pytest.raises(StackNotStarted, match="payer"), running_stack(tmp_path / "state", CLINIC=str(clinic)):
        pass


def test_a_killed_stack_leaves_nothing_in_the_way_of_the_next_and_ctrl_c_stops_that(tmp_path: Path) -> None:
    with running_stack(tmp_path) as killed:
        os.kill(killed["pid"], signal.SIGKILL)
        with running_stack(tmp_path) as stopped:
            with pytest.raises(OSError, match="refused"):
                urllib.request.urlopen(killed["simulators"]["intakeq"])  # noqa: S310
            os.kill(stopped["pid"], signal.SIGINT)
            os.waitid(os.P_PID, stopped["pid"], os.WEXITED | os.WNOWAIT)
            assert not (tmp_path / "stack.json").exists()
            assert "Stopped." in (tmp_path / "up.log").read_text()
