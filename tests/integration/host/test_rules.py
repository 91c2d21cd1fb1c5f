"""Rules of an event bus: what matches is handed over, what fails is repeated and then put where somebody looks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from local.aws import client, create_queues, create_rules
from local.host import asynchronous
from tests.integration.host.workshop import Workshop, until

SEEN = """
    import json
    from pathlib import Path

    def handler(event, context):
        with Path("seen").open("a") as seen:
            print(json.dumps(event), file=seen)
        if event["detail"].get("poison"):
            raise RuntimeError("not this one")
"""


@pytest.fixture
def workshop_with_bus(workshop: Workshop, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    workshop.aws_url = aws_url
    monkeypatch.setattr(asynchronous, "PAUSES_SECONDS", (0.05, 0.05))
    bus, dead = f"{workshop.folder.name}-bus", f"{workshop.folder.name}-failures"
    workshop.resources["Bus"] = {"Type": "AWS::Events::EventBus", "Properties": {"Name": bus}}
    workshop.resources["Dead"] = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": dead}}
    pattern = {"source": ["moonlit"], "detail-type": ["payer.created"]}
    rule = {"EventBusName": {"Ref": "Bus"}, "Pattern": pattern}
    destination = {"Type": "SQS", "Destination": {"Fn::GetAtt": ["Dead", "Arn"]}}
    workshop.add(
        "Hears",
        SEEN,
        events={workshop.folder.name: {"Type": "EventBridgeRule", "Properties": rule}},
        EventInvokeConfig={"MaximumRetryAttempts": 2, "DestinationConfig": {"OnFailure": destination}},
    )
    create_queues(aws_url, workshop.template().queues)
    create_rules(aws_url, workshop.template().rules)
    return workshop


def put(workshop: Workshop, kind: str, detail: dict[str, Any]) -> None:
    entry = {
        "EventBusName": f"{workshop.folder.name}-bus",
        "Source": "moonlit",
        "DetailType": kind,
        "Detail": json.dumps(detail),
    }
    assert client("events", workshop.aws_url).put_events(Entries=[entry])["FailedEntryCount"] == 0


def heard(workshop: Workshop) -> list[dict[str, Any]]:
    seen = workshop.folder / "hears" / "seen"
    return [json.loads(line) for line in seen.read_text().splitlines()] if seen.exists() else []


async def test_what_the_pattern_lets_through_is_handed_over_as_eventbridge_wraps_it(
    workshop_with_bus: Workshop,
) -> None:
    async with workshop_with_bus.host():
        await asyncio.to_thread(put, workshop_with_bus, "payer.closed", {"payerId": "other"})
        await asyncio.to_thread(put, workshop_with_bus, "payer.created", {"payerId": "new"})
        await until(lambda: heard(workshop_with_bus))
    (event,) = heard(workshop_with_bus)
    assert (event["source"], event["detail-type"], event["detail"]) == ("moonlit", "payer.created", {"payerId": "new"})


async def test_what_fails_is_repeated_and_then_waits_in_the_queue_of_failures(workshop_with_bus: Workshop) -> None:
    async with workshop_with_bus.host():
        await asyncio.to_thread(put, workshop_with_bus, "payer.created", {"poison": True})
        sqs = client("sqs", workshop_with_bus.aws_url)
        url = sqs.get_queue_url(QueueName=f"{workshop_with_bus.folder.name}-failures")["QueueUrl"]
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while not found:
                asked = {"QueueUrl": url, "WaitTimeSeconds": 1}
                found = (await asyncio.to_thread(sqs.receive_message, **asked)).get("Messages", [])
    told = json.loads(found[0]["Body"])
    assert told["requestPayload"]["detail"] == {"poison": True}
    assert (told["requestContext"]["condition"], told["requestContext"]["approximateInvokeCount"]) == (
        "RetriesExhausted",
        3,
    )
    assert told["responsePayload"]["errorMessage"] == "not this one"
    assert len(heard(workshop_with_bus)) == 3
