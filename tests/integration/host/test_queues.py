"""Queues of a template: batches, partial failures, redrive."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from local.aws import client, create_queues
from tests.integration.host.workshop import Workshop, until

BATCH = """
    import json
    from pathlib import Path

    def handler(event, context):
        bodies = [record["body"] for record in event["Records"]]
        with Path("seen").open("a") as seen:
            print(json.dumps(bodies), file=seen)
        if "explode" in bodies:
            raise RuntimeError("the whole batch")
        failed = [r["messageId"] for r in event["Records"] if r["body"] == "poison"]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
"""


class Post:
    """A queue with its dead-letter queue, and a function behind it."""

    def __init__(self, workshop: Workshop, *, window_seconds: int = 0) -> None:
        self.workshop = workshop
        self.sqs = client("sqs", workshop.aws_url)
        self.name = f"{workshop.folder.name}-work"
        redrive = {"deadLetterTargetArn": "arn:aws:sqs:us-west-2:123456789012:" + self.dead, "maxReceiveCount": 2}
        properties = {"QueueName": self.name, "VisibilityTimeout": 1, "RedrivePolicy": redrive}
        workshop.resources["Work"] = {"Type": "AWS::SQS::Queue", "Properties": properties}
        workshop.resources["Dead"] = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": self.dead}}
        source = {
            "Queue": {"Fn::GetAtt": ["Work", "Arn"]},
            "BatchSize": 10,
            "MaximumBatchingWindowInSeconds": window_seconds,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }
        workshop.add("Worker", BATCH, events={"Work": {"Type": "SQS", "Properties": source}})
        create_queues(workshop.aws_url, workshop.template().queues)

    @property
    def dead(self) -> str:
        return f"{self.name}-dead"

    def url(self, name: str) -> str:
        return str(self.sqs.get_queue_url(QueueName=name)["QueueUrl"])

    def send(self, *bodies: str) -> None:
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        self.sqs.send_message_batch(QueueUrl=self.url(self.name), Entries=entries)

    async def dead_letters(self, count: int) -> list[str]:
        """Wait for `count` messages in the dead-letter queue, at most 10 seconds."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                found += await asyncio.to_thread(self._dead)
        return sorted(message["Body"] for message in found)

    def _dead(self) -> list[dict[str, Any]]:
        call = self.sqs.receive_message(QueueUrl=self.url(self.dead), WaitTimeSeconds=1, MaxNumberOfMessages=10)
        return list(call.get("Messages", []))

    def seen(self) -> list[list[str]]:
        seen = self.workshop.folder / "worker" / "seen"
        return [json.loads(line) for line in seen.read_text().splitlines()] if seen.exists() else []

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=self.url(self.name), AttributeNames=names)["Attributes"]
        return sum(int(count) for count in counts.values())


@pytest.fixture
def workshop_with_aws(workshop: Workshop, aws_url: str) -> Workshop:
    workshop.aws_url = aws_url
    return workshop


async def test_only_the_failed_message_comes_again_and_ends_in_the_dead_letter_queue(
    workshop_with_aws: Workshop,
) -> None:
    post = Post(workshop_with_aws)
    async with workshop_with_aws.host():
        post.send("a", "poison", "b")
        assert await post.dead_letters(1) == ["poison"]
    bodies = [body for batch in post.seen() for body in batch]
    assert sorted(bodies) == ["a", "b", "poison", "poison"]
    assert post.left() == 0


async def test_a_function_that_raises_keeps_its_whole_batch(workshop_with_aws: Workshop) -> None:
    post = Post(workshop_with_aws)
    async with workshop_with_aws.host():
        post.send("a", "explode")
        assert await post.dead_letters(2) == ["a", "explode"]


async def test_the_batching_window_gathers_what_comes_within_it(workshop_with_aws: Workshop) -> None:
    post = Post(workshop_with_aws, window_seconds=5)
    async with workshop_with_aws.host():
        for number in range(10):
            await asyncio.to_thread(post.send, str(number))
        await until(post.seen)
    assert sorted(post.seen()[0]) == [str(number) for number in range(10)]
