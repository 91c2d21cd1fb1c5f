"""The four functions, from sample event to answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moonlit import settings, wiring
from moonlit.db.engine import connect
from moonlit.ehr import intakeq
from moonlit.queues import SqsQueue
from moonlit.sync import wiring as sync
from tests.conftest import function_module
from tests.fixtures_intakeq import KEY, NOON, StartIntakeq, make_account, make_visit
from tests.fixtures_sync import MemoryQueue, Practice

ROOT = Path(__file__).parents[3]
SECRET = "long-random-path-segment"


class Context:
    function_name = "function"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:us-west-2:123456789012:function:function"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@dataclass
class Functions:
    """Calls handlers as Lambda would; `queues` by the last part of their address."""

    queues: dict[str, MemoryQueue]

    def call(self, name: str, event: dict[str, Any]) -> Any:
        return function_module(name).handler(event, Context())

    def take(self, queue: str) -> dict[str, Any]:
        """Return the queue's messages as the event that SQS makes of them."""
        return {
            "Records": [
                {"messageId": str(number), "body": json.dumps(message), "eventSource": "aws:sqs"}
                for number, message in enumerate(self.queues[queue].take())
            ]
        }


@pytest.fixture
def functions(app_url: str, practice: Practice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """Wire the functions to the test's database, under their own login, and to queues in memory."""
    queues = {name: MemoryQueue() for name in ("sync", "pull", "event")}

    def send(queue: SqsQueue, messages: Sequence[Mapping[str, Any]], delay_seconds: int = 0) -> None:
        queues[queue.url.rsplit("/", 1)[-1]].send(messages, delay_seconds)

    cached = (
        wiring.clock,
        wiring.begin,
        wiring.practice_zone,
        sync.queue,
        sync.nightly,
        sync.organizations,
        sync.applier,
    )
    for part in cached:
        part.cache_clear()
    with ExitStack() as opened:
        engine = connect(app_url)
        opened.callback(engine.dispose)
        real_open = intakeq.open_account
        closing_open = lambda *args, **options: opened.enter_context(closing(real_open(*args, **options)))  # noqa: E731
        monkeypatch.setattr(intakeq, "open_account", closing_open)
        monkeypatch.setattr(wiring, "connect", lambda _, **__: engine)
        monkeypatch.setattr(wiring, "system_clock", lambda: practice.clock)
        monkeypatch.setattr(settings, "secret", lambda _: {"apiKey": KEY, "webhookSecrets": [SECRET]})
        monkeypatch.setattr(SqsQueue, "send", send)
        monkeypatch.setenv("DATABASE_URL", app_url)
        monkeypatch.setenv("INTAKEQ_SECRET_ID", "intakeq")
        for name in queues:
            monkeypatch.setenv(f"{name.upper()}_QUEUE_URL", f"https://sqs.example.org/{name}")
        yield Functions(queues)
    for part in cached:
        part.cache_clear()


def sample(function: str, name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "functions" / function / "events" / f"{name}.json").read_text()))


def test_night_by_schedule_runs_through_both_functions(
    functions: Functions, practice: Practice, start_intakeq: StartIntakeq, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice.patient("4821", practice.organization())
    server = start_intakeq(make_account(appointments=[make_visit(1, NOON + timedelta(days=1))]), practice.clock)
    monkeypatch.setenv("INTAKEQ_BASE_URL", server.base_url)
    answer = functions.call("sync_cron", sample("sync_cron", "schedule"))
    assert (answer["state"], answer["requestsUsed"], answer["organizations"]) == ("applying", 2, 1)
    assert functions.call("sync_org", functions.take("sync")) == {"batchItemFailures": []}
    assert practice.rows("select state from sync_runs") == [{"state": "completed"}]
    assert len(practice.visits()) == 1
    assert functions.call("sync_cron", {"waitSeconds": 0})["organizations"] == 1


def test_pull_that_is_taken_up_again_by_message(
    functions: Functions, practice: Practice, start_intakeq: StartIntakeq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTAKEQ_BASE_URL", start_intakeq(clock=practice.clock).base_url)
    with practice.begin() as connection:
        connection.exec_driver_sql("update ehr_accounts set per_minute = 2")  # One request a minute for the night.
    answer = functions.call("sync_cron", {"waitSeconds": 0})
    assert (answer["state"], answer["requestsUsed"]) == ("pulling", 1)
    practice.clock.advance(seconds=62)
    assert functions.call("sync_cron", functions.take("pull")) == {"batchItemFailures": []}
    assert practice.rows("select state, requests_used from sync_runs") == [{"state": "applying", "requests_used": 2}]


def test_record_that_fails_comes_again_alone(functions: Functions, practice: Practice) -> None:
    records = sample("sync_org", "part")
    records["Records"].append({**records["Records"][0], "messageId": "broken", "body": "{}"})
    assert functions.call("sync_org", records) == {"batchItemFailures": [{"itemIdentifier": "broken"}]}


@pytest.mark.parametrize("event", [{"syncType": "yearly"}, {"waitSeconds": -1}, {"wait": 1}])
def test_call_with_a_wrong_payload_is_refused(functions: Functions, event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="SyncRequest"):
        functions.call("sync_cron", event)


def test_webhook_is_stored_answered_and_applied(
    functions: Functions, practice: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    practice.patient("4821")
    event = sample("webhook", "intakeq")
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"/webhooks/intakeq/{SECRET}"
    answer = functions.call("webhook", event)
    assert (answer["statusCode"], answer["body"]) == (200, "{}")
    assert functions.call("apply_event", functions.take("event")) == {"batchItemFailures": []}
    assert len(practice.visits()) == 1
    said = "".join(capsys.readouterr())
    assert SECRET not in said
    assert "Whitlock" not in said
    assert "example.org" not in said


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"secret": "guess"}, 401, "webhook-refused"),
        ({"body": "{"}, 400, "webhook-malformed"),
        ({"body": "/w==", "isBase64Encoded": True}, 400, "webhook-malformed"),
        ({"body": " " * 5_000_000}, 400, "webhook-malformed"),
        ({"body": "\ud800"}, 400, "webhook-malformed"),
        ({"body": "\ud800", "isBase64Encoded": True}, 400, "webhook-malformed"),
        ({"body": None}, 400, "webhook-malformed"),
        ({"body": "[" * 200_000}, 400, "webhook-malformed"),
        ({"body": f'{{"EventType": {"9" * 9_000}}}'}, 400, "webhook-malformed"),
    ],
    ids=["stranger", "malformed", "not_text", "flood", "half_pair", "not_base64", "empty", "deep", "digits"],
)
def test_webhook_that_is_refused(
    functions: Functions, practice: Practice, change: dict[str, Any], status: int, slug: str
) -> None:
    event = sample("webhook", "intakeq")
    path = f"/webhooks/intakeq/{change.pop('secret', SECRET)}"
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    answer = functions.call("webhook", {**event, **change})
    assert answer["statusCode"] == status
    assert json.loads(answer["body"])["type"].endswith(slug)
    assert functions.queues["event"].waiting == []
