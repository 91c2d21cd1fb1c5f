"""Requests through the HTTP API, real workers behind it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal

import aiohttp

from local.host.gateway import MAX_BODY_BYTES
from tests.integration.host.workshop import ECHO, PID, Workshop, http, until

BINARY = bytes(range(256))


async def test_a_function_sees_the_request_and_the_client_its_answer(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    workshop.add("Echo", ECHO, events=http("POST", "/payers/{id}/notes"))
    async with (
        workshop.host() as host,
        browser.post(
            f"{host.api_url}/payers/a%20b/notes?q=1&q=2&r=", json={"x": 1}, headers={"X-Thing": "v"}
        ) as answer,
    ):
        event = await answer.json()
    assert answer.status == 200
    assert event["pathParameters"] == {"id": "a b"}
    assert event["queryStringParameters"] == {"q": "1,2", "r": ""}
    assert json.loads(event["body"]) == {"x": 1}
    assert event["headers"]["x-thing"] == "v"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["requestId"] == answer.headers["apigw-requestid"]


async def test_what_the_template_does_not_route_is_not_found(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    workshop.add("Echo", ECHO, events=http("GET", "/payers"))
    async with workshop.host() as host:
        for method, path in (("GET", "/payer"), ("POST", "/payers"), ("GET", "/payers/1"), ("OPTIONS", "/payers")):
            async with browser.request(method, host.api_url + path) as answer:
                assert (answer.status, await answer.json()) == (404, {"message": "Not Found"})


async def test_binary_bodies_pass_both_ways(workshop: Workshop, browser: aiohttp.ClientSession) -> None:
    code = """
        def handler(event, context):
            assert event["isBase64Encoded"]
            headers = {"content-type": "application/octet-stream"}
            return {"statusCode": 201, "headers": headers, "cookies": ["a=1", "b=2"],
                    "body": event["body"], "isBase64Encoded": True}
    """
    workshop.add("Files", code, events=http("PUT", "/file"))
    async with (
        workshop.host() as host,
        browser.put(f"{host.api_url}/file", data=BINARY, headers={"content-type": "image/png"}) as answer,
    ):
        assert (answer.status, await answer.read()) == (201, BINARY)
        assert answer.headers.getall("set-cookie") == ["a=1", "b=2"]
        assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_body_over_ten_megabytes_is_refused_by_the_gateway(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    workshop.add("Echo", ECHO, events=http("POST", "/x"))
    body = io.BytesIO(b"x" * (MAX_BODY_BYTES + 1))
    async with workshop.host() as host, browser.post(f"{host.api_url}/x", data=body) as answer:
        assert (answer.status, await answer.json()) == (413, {"message": "Request Entity Too Large"})


async def test_a_function_that_raises_is_an_internal_error(workshop: Workshop, browser: aiohttp.ClientSession) -> None:
    workshop.add("Broken", "def handler(event, context): raise ValueError('no')", events=http("GET", "/x"))
    async with workshop.host() as host, browser.get(f"{host.api_url}/x") as answer:
        assert (answer.status, await answer.json()) == (500, {"message": "Internal Server Error"})
    assert workshop.logged("Broken", "ValueError")


async def test_a_function_over_its_timeout_is_killed_and_the_next_call_is_answered(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    code = """
        import os, time
        from pathlib import Path

        def handler(event, context):
            if event["rawPath"] == "/slow":
                Path("pid").write_text(str(os.getpid()))
                time.sleep(60)
            return "awake"
    """
    workshop.add("Sleeper", code, events=http("GET", "/slow") | http("GET", "/quick"), Timeout=1)
    async with workshop.host() as host:
        async with browser.get(f"{host.api_url}/slow") as answer:
            assert answer.status == 500
        assert not alive(int((workshop.folder / "sleeper" / "pid").read_text()))
        async with browser.get(f"{host.api_url}/quick") as answer:
            assert await answer.text() == "awake"
    assert workshop.logged("Sleeper", "Task timed out after 1.00 seconds")


async def test_the_gateway_stops_waiting_before_the_function_stops(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    code = "import time\ndef handler(event, context): time.sleep(3)"
    workshop.add("Sleeper", code, events=http("GET", "/x", TimeoutInMillis=300))
    async with workshop.host() as host, browser.get(f"{host.api_url}/x") as answer:
        assert (answer.status, await answer.json()) == (503, {"message": "Service Unavailable"})


async def test_what_no_worker_has_begun_is_not_run_for_a_caller_who_left(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    code = """
        import time

        def handler(event, context):
            print("runs", event["rawPath"])
            time.sleep(1)
    """
    events = http("GET", "/patient") | http("GET", "/hasty", TimeoutInMillis=200)
    workshop.add("Sleeper", code, events=events, ReservedConcurrentExecutions=1)
    async with workshop.host() as host:
        patient = asyncio.create_task(browser.get(f"{host.api_url}/patient"))
        await until(lambda: workshop.logged("Sleeper", "runs /patient"))
        async with browser.get(f"{host.api_url}/hasty") as answer:
            assert answer.status == 503
        async with await patient as answer, browser.get(f"{host.api_url}/patient") as later:
            assert (answer.status, later.status) == (200, 200)
    assert not workshop.logged("Sleeper", "runs /hasty")


async def test_a_worker_killed_at_work_is_an_error_at_once_and_a_new_one_takes_over(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    code = """
        import os, time
        from pathlib import Path

        def handler(event, context):
            if event["rawPath"] == "/slow":
                Path("at-work").write_text(str(os.getpid()))
                time.sleep(60)
            return os.getpid()
    """
    workshop.add("Sleeper", code, events=http("GET", "/slow") | http("GET", "/quick"), Timeout=60)
    async with workshop.host() as host:
        slow = asyncio.create_task(browser.get(f"{host.api_url}/slow"))
        marker = workshop.folder / "sleeper" / "at-work"
        await until(lambda: marker.exists() and marker.read_text())
        os.kill(int(marker.read_text()), signal.SIGKILL)
        async with asyncio.timeout(5), await slow as answer:
            assert answer.status == 500
        async with browser.get(f"{host.api_url}/quick") as answer:
            assert await answer.text() != marker.read_text()
    assert workshop.logged("Sleeper", "signal: SIGKILL")


async def test_fifty_calls_at_once_run_on_no_more_workers_than_the_limit(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    workshop.add("Pid", PID, events=http("GET", "/pid"), ReservedConcurrentExecutions=4)
    async with workshop.host() as host:

        async def call() -> str:
            async with browser.get(f"{host.api_url}/pid") as answer:
                return await answer.text()

        pids = await asyncio.gather(*(call() for _ in range(50)))
        async with browser.get(f"{host.lambda_url}/_control/workers?function=pid") as answer:
            workers = (await answer.json())["workers"]
    assert {str(worker["pid"]) for worker in workers} == set(pids)
    assert len(set(pids)) == 4
    assert not any(alive(int(pid)) for pid in pids)  # The host has stopped them.


async def test_a_single_client_keeps_a_single_worker(workshop: Workshop, browser: aiohttp.ClientSession) -> None:
    workshop.add("Pid", PID, events=http("GET", "/pid"))
    async with workshop.host() as host:
        pids = set()
        for _ in range(30):
            async with browser.get(f"{host.api_url}/pid") as answer:
                pids.add(await answer.text())
    assert len(pids) == 1


async def test_a_function_that_cannot_start_fails_each_caller_once(
    workshop: Workshop, browser: aiohttp.ClientSession
) -> None:
    workshop.add("Broken", "import nothing_of_this_name", events=http("GET", "/x"))
    async with workshop.host() as host:
        for _ in range(2):
            async with asyncio.timeout(20), browser.get(f"{host.api_url}/x") as answer:
                assert answer.status == 500
    assert workshop.logged("Broken", "nothing_of_this_name")


async def test_a_preflight_is_answered_without_the_function(workshop: Workshop, browser: aiohttp.ClientSession) -> None:
    workshop.add("Echo", ECHO, events=http("GET", "/payers"))
    cors = {"AllowOrigins": ["https://widget.example.org"], "AllowMethods": ["GET"], "AllowHeaders": ["content-type"]}
    workshop.resources["Api"] = {"Type": "AWS::Serverless::HttpApi", "Properties": {"CorsConfiguration": cors}}
    asked = {"origin": "https://widget.example.org", "access-control-request-method": "GET"}
    async with workshop.host() as host:
        async with browser.options(f"{host.api_url}/payers", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["access-control-allow-origin"] == "https://widget.example.org"
        async with browser.get(f"{host.lambda_url}/_control/workers") as answer:
            assert await answer.json() == {"workers": []}


async def test_a_function_imports_what_the_cloud_has_and_nothing_of_ours(workshop: Workshop) -> None:
    code = """
        import importlib.util, os

        def handler(event, context):
            names = ("moonlit", "sqlalchemy", "boto3", "pytest", "aiohttp", "moto", "local")
            found = [name for name in names if importlib.util.find_spec(name)]
            return {"found": found, "environment": sorted(os.environ), "region": os.environ["AWS_REGION"],
                    "setting": os.environ["SETTING"], "mine": os.environ["MINE"],
                    "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb,
                    "left": context.get_remaining_time_in_millis()}
    """
    workshop.add("Looker", code, MemorySize=256, Environment={"Variables": {"SETTING": "template", "MINE": "template"}})
    environments = {"Looker": {"MINE": "stack"}}
    os.environ["LEAK"] = "1"
    try:
        async with workshop.host(environments=environments) as host:
            seen = json.loads(await host.invoke("looker"))
    finally:
        del os.environ["LEAK"]
    assert seen["found"] == ["moonlit", "sqlalchemy", "boto3"]
    assert "LEAK" not in seen["environment"]
    assert (seen["setting"], seen["mine"]) == ("template", "stack")
    assert seen["arn"].endswith(":function:Looker")
    assert seen["memory"] == "256"
    assert 5_000 < seen["left"] <= 10_000


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
