"""Messages on SQS, as moto imitates it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from local.host.intrinsics import read_document
from moonlit.queues import MessageNotSent, SqsQueue
from tests.conftest import ROOT


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[SqsQueue]:
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-west-2"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield SqsQueue(boto3.client("sqs").create_queue(QueueName="sync")["QueueUrl"])


def test_more_messages_than_one_call_takes_all_arrive(queue: SqsQueue) -> None:
    queue.send([{"number": number} for number in range(23)])
    arrived = set()
    while messages := boto3.client("sqs").receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10).get("Messages"):
        arrived |= {json.loads(message["Body"])["number"] for message in messages}
    assert arrived == set(range(23))


def test_delayed_message_is_not_seen_yet(queue: SqsQueue) -> None:
    queue.send([{"number": 1}], delay_seconds=900)
    assert "Messages" not in boto3.client("sqs").receive_message(QueueUrl=queue.url)
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"


def test_message_that_the_queue_refuses_is_an_error(queue: SqsQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {"Successful": [], "Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}
    monkeypatch.setattr(queue._client, "send_message_batch", lambda **_: refused)
    with pytest.raises(MessageNotSent, match="1 of 1"):
        queue.send([{"number": 1}])


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessageBatch"),
        EndpointConnectionError(endpoint_url="https://sqs.example.org"),
        ReadTimeoutError(endpoint_url="https://sqs.example.org"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_queue_that_cannot_be_reached_is_the_same_error(
    queue: SqsQueue, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def away(**_: object) -> None:
        raise error

    monkeypatch.setattr(queue._client, "send_message_batch", away)
    with pytest.raises(MessageNotSent, match=type(error).__name__):
        queue.send([{"number": 1}])


def test_queue_that_hangs_is_given_up_before_a_webhook_has_to_be_answered(queue: SqsQueue) -> None:
    config = queue._client.meta.config
    tries = config.retries["total_max_attempts"]
    webhook = read_document(ROOT / "template.yaml")["Resources"]["WebhookFunction"]["Properties"]
    assert tries * (config.connect_timeout + config.read_timeout) < webhook["Timeout"]
