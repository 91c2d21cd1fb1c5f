"""What the template expects of AWS beside Lambda, made in a local server: queues, rules and secrets."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.host.intrinsics import ACCOUNT, REGION
from local.host.template import Queue, Rule
from local.processes import Child

CONNECT_SECONDS = 5
_REDRIVE = "RedrivePolicy"


async def start_moto(environment: Mapping[str, str], log: Path) -> Child:
    """Start the local AWS services.

    Raises:
        ChildFailed: They did not start.
    """
    return await Child.start(sys.executable, "-m", "local.moto_server", environment=environment, log=log)


def client(service: Any, url: str, *, read_seconds: float = 60) -> Any:
    """Return a boto3 client of a local service, whatever this machine's own AWS settings are."""
    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=read_seconds, retries={"total_max_attempts": 1})
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106  # Nobody checks it.
        config=config,
    )


def create_queues(url: str, queues: Iterable[Queue]) -> None:
    """Create the queues of a template, those that others redrive to first."""
    sqs = client("sqs", url)
    for queue in sorted(queues, key=lambda queue: _REDRIVE in queue.attributes):
        sqs.create_queue(QueueName=queue.name, Attributes=dict(queue.attributes))


def create_rules(url: str, rules: Collection[Rule]) -> None:
    """Create the rules of a template, their buses and the queues through which the host hears of their events."""
    events, sqs = client("events", url), client("sqs", url)
    for bus in {rule.bus for rule in rules}:
        events.create_event_bus(Name=bus)
    for rule in rules:
        sqs.create_queue(QueueName=rule.queue)
        events.put_rule(Name=rule.name, EventBusName=rule.bus, EventPattern=rule.pattern)
        target = {"Id": rule.function, "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{rule.queue}"}
        events.put_targets(Rule=rule.name, EventBusName=rule.bus, Targets=[target])


def create_secret(url: str, name: str, value: Mapping[str, Any]) -> None:
    """Store a secret as a JSON object."""
    client("secretsmanager", url).create_secret(Name=name, SecretString=json.dumps(value))
