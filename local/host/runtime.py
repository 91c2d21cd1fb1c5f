"""AWS's Runtime API, where workers ask for events and leave their answers.

One port serves all workers: each is told an address that begins with its function and its own id.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from local.host.workers import Answer, Gone, Pool

_MAX_ANSWER_BYTES = 6 * 1024 * 1024  # Lambda's limit for a synchronous answer; a worker that exceeds it fails.
_TRACE_ID = "Root=1-00000000-000000000000000000000000;Sampled=0"


def runtime_app(pools: Mapping[str, Pool]) -> web.Application:
    """Return the Runtime API of `pools`, by logical id."""

    async def next_event(request: web.Request) -> web.Response:
        pool = _pool(request, pools)
        invocation = await pool.next(request.match_info["worker"])
        headers = {  # The client crashes without a content type and ends without a request id.
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": pool.function.arn,
            "Lambda-Runtime-Trace-Id": _TRACE_ID,
        }
        return web.Response(body=invocation.payload, headers=headers)

    async def answer(request: web.Request) -> web.Response:
        answer = Answer(await request.read(), failed=request.match_info["outcome"] == "error")
        _pool(request, pools).answered(request.match_info["worker"], request.match_info["id"], answer)
        return web.json_response({"status": "OK"}, status=HTTPStatus.ACCEPTED)

    async def init_error(request: web.Request) -> web.Response:
        _pool(request, pools).init_failed(request.match_info["worker"], Answer(await request.read(), failed=True))
        return web.json_response({"status": "OK"}, status=HTTPStatus.ACCEPTED)

    app = web.Application(client_max_size=_MAX_ANSWER_BYTES, middlewares=[_gone])
    base = "/{function}/{worker}/2018-06-01/runtime"
    app.router.add_get(f"{base}/invocation/next", next_event)
    app.router.add_post(base + "/invocation/{id}/{outcome:response|error}", answer)
    app.router.add_post(f"{base}/init/error", init_error)
    return app


def _pool(request: web.Request, pools: Mapping[str, Pool]) -> Pool:
    name = request.match_info["function"]
    if name not in pools:
        raise Gone(name)
    return pools[name]


@web.middleware
async def _gone(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Gone:
        return web.json_response({"errorType": "Gone"}, status=HTTPStatus.GONE)
