"""Calling functions as boto3 and the aws CLI do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from local.aws import client
from local.host.host import FunctionFailed, Host
from tests.integration.host.workshop import ECHO, Workshop, until

GREETER = """
    def handler(event, context):
        if event.get("name") == "nobody":
            raise LookupError("no such person")
        return {"hello": event.get("name")}
"""


async def called(host: Host, **call: Any) -> dict[str, Any]:
    lambda_ = client("lambda", host.lambda_url)
    answer = await asyncio.to_thread(lambda_.invoke, **call)
    return {**answer, "Payload": await asyncio.to_thread(answer["Payload"].read)}


@pytest.mark.parametrize(
    "name",
    ["GreetFunction", "greet-people", "greetfunction", "arn:aws:lambda:us-west-2:123456789012:function:greet-people"],
)
async def test_a_function_answers_to_each_of_its_names(workshop: Workshop, name: str) -> None:
    workshop.add("GreetFunction", GREETER, FunctionName="greet-people")
    async with workshop.host() as host:
        answer = await called(host, FunctionName=name, Payload=b'{"name": "Sam"}')
    assert (answer["StatusCode"], json.loads(answer["Payload"])) == (200, {"hello": "Sam"})
    assert "FunctionError" not in answer


async def test_an_error_comes_with_its_type_and_is_marked(workshop: Workshop) -> None:
    workshop.add("Greet", GREETER)
    async with workshop.host() as host:
        answer = await called(host, FunctionName="Greet", Payload=b'{"name": "nobody"}')
        with pytest.raises(FunctionFailed):
            await host.invoke("Greet", b'{"name": "nobody"}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorType"] == "LookupError"


async def test_an_event_invocation_is_accepted_before_it_runs(workshop: Workshop) -> None:
    workshop.add("Note", "def handler(event, context): print('noted', event['x'])")
    async with workshop.host() as host:
        answer = await called(host, FunctionName="Note", InvocationType="Event", Payload=b'{"x": 7}')
        assert answer["StatusCode"] == 202
        await until(lambda: workshop.logged("Note", "noted 7"))


async def test_a_dry_run_starts_nothing(workshop: Workshop, browser: aiohttp.ClientSession) -> None:
    workshop.add("Echo", ECHO)
    async with workshop.host() as host:
        answer = await called(host, FunctionName="Echo", InvocationType="DryRun")
        assert answer["StatusCode"] == 204
        async with browser.get(f"{host.lambda_url}/_control/workers") as workers:
            assert await workers.json() == {"workers": []}


async def test_an_unknown_function_and_a_payload_that_is_not_json_are_refused(workshop: Workshop) -> None:
    workshop.add("Echo", ECHO)
    async with workshop.host() as host:
        with pytest.raises(ClientError) as unknown:
            await called(host, FunctionName="Ech")
        with pytest.raises(ClientError) as malformed:
            await called(host, FunctionName="Echo", Payload=b"{")
    assert unknown.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert malformed.value.response["Error"]["Code"] == "InvalidRequestContentException"


async def test_the_clock_moves_forward_for_functions_and_never_back(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    code = """
        from moonlit.clock import system_clock

        def handler(event, context):
            return system_clock().now().isoformat()
    """
    workshop.add("Teller", code)
    async with workshop.host() as host:
        clock = f"{host.lambda_url}/_control/clock"
        async with browser.post(clock, json={"to": "2090-01-02T03:00:00-07:00"}) as answer:
            assert answer.status == 200
        assert json.loads(await host.invoke("Teller")).startswith("2090-01-02T10:00:0")
        refused = {"2089-01-01T00:00:00Z": 409, "2091-01-01T00:00:00": 422, "soon": 422}
        for instant, status in refused.items():
            async with browser.post(clock, json={"to": instant}) as answer:
                assert answer.status == status
        async with browser.get(clock) as answer:
            assert (await answer.json())["now"].startswith("2090-01-02T10:00:0")
