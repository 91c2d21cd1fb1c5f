"""Lambda's Invoke API, so that boto3 and the aws CLI can call the functions with an endpoint URL."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from local.host.template import Template, function_arn
from local.host.workers import Pool

PATH = "/2015-03-31/functions/{name}/invocations"
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024


def add_invoke_api(app: web.Application, template: Template, pools: Mapping[str, Pool]) -> None:
    """Add the Invoke API to `app`; a function goes by its logical id, name, ARN or folder."""
    running: set[asyncio.Task[object]] = set()

    async def invoke(request: web.Request) -> web.Response:
        pool, payload = _pool(request.match_info["name"], template, pools), await _payload(request)
        match request.headers.get("X-Amz-Invocation-Type", "RequestResponse"):
            case "RequestResponse":
                return await _answered(pool, payload)
            case "Event":
                task = asyncio.create_task(pool.invoke(payload))
                running.add(task)
                task.add_done_callback(running.discard)
                return web.Response(status=HTTPStatus.ACCEPTED, headers={"x-amzn-RequestId": str(uuid.uuid4())})
            case "DryRun":
                return web.Response(status=HTTPStatus.NO_CONTENT)
            case _:
                raise _refusal(web.HTTPBadRequest, "InvalidParameterValueException", "Unknown invocation type")

    app.router.add_post(PATH, invoke)


async def _answered(pool: Pool, payload: bytes) -> web.Response:
    request_id, answer = await pool.invoke(payload)
    headers = {"X-Amz-Executed-Version": "$LATEST", "x-amzn-RequestId": request_id, "Content-Type": "application/json"}
    if answer.failed:
        headers["X-Amz-Function-Error"] = "Unhandled"
    return web.Response(body=answer.payload, headers=headers)


def _pool(name: str, template: Template, pools: Mapping[str, Pool]) -> Pool:
    function = template.function(name)
    if function is None:
        raise _refusal(web.HTTPNotFound, "ResourceNotFoundException", f"Function not found: {function_arn(name)}")
    return pools[function.logical_id]


async def _payload(request: web.Request) -> bytes:
    payload = await request.read() or b"{}"
    try:
        json.loads(payload)
    except ValueError:
        raise _refusal(web.HTTPBadRequest, "InvalidRequestContentException", "The payload is not JSON") from None
    return payload


def _refusal(kind: Callable[..., web.HTTPException], code: str, message: str) -> web.HTTPException:
    text = json.dumps({"Type": "User", "Message": message})
    return kind(text=text, content_type="application/json", headers={"x-amzn-ErrorType": code})
