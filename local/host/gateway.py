"""The HTTP API in front of the functions, with the answers that API Gateway gives by itself."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from multidict import CIMultiDict

from local.host.cors import preflight, with_cors
from local.host.http_events import BadAnswer, HttpAnswer, HttpRequest, answer_of, event_of
from local.host.routes import Match, RouteTable
from local.host.template import Template
from local.host.tokens import TokenCheck, Unauthorized
from local.host.workers import Pool
from moonlit.clock import Clock

MAX_BODY_BYTES = 10 * 1024 * 1024
_HOP_BY_HOP = {"connection", "content-length", "date", "server", "transfer-encoding"}


class Gateway:
    """Turns requests into events and answers back into responses."""

    def __init__(self, template: Template, pools: Mapping[str, Pool], clock: Clock, aws_url: str) -> None:
        self._cors = template.cors
        self._routes = RouteTable(template.routes)
        self._pools = pools
        self._clock = clock
        authorizers = {route.authorizer for route in template.routes if route.authorizer}
        self._checks = {authorizer: TokenCheck(authorizer, aws_url) for authorizer in authorizers}

    def app(self) -> web.Application:
        """Return the server of the whole API."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:(?s:.*)}", self._handle)  # A path may hold an encoded line break, too.
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        request_id = str(uuid.uuid4())
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = preflight(self._cors, request.method, headers)
        if answer is None:
            answer = with_cors(self._cors, headers.get("origin"), await self._answer(request, request_id))
        kept = CIMultiDict((name, value) for name, value in answer.headers if name not in _HOP_BY_HOP)
        kept.add("apigw-requestid", request_id)
        return web.Response(status=answer.status, headers=kept, body=answer.body)

    async def _answer(self, request: web.Request, request_id: str) -> HttpAnswer:
        raw_path, _, raw_query = request.raw_path.partition("?")
        match = self._routes.match(request.method, raw_path)
        if match is None:
            return _own(HTTPStatus.NOT_FOUND, "Not Found")
        claims = None
        if match.route.authorizer:
            try:
                claims = await self._checks[match.route.authorizer].claims(request.headers.getall("authorization", []))
            except Unauthorized as error:
                return _own(HTTPStatus.UNAUTHORIZED, "Unauthorized", ("www-authenticate", error.challenge))
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _own(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request Entity Too Large")
        source_ip = request.remote or ""
        headers = [*request.headers.items(), ("x-forwarded-for", source_ip), ("x-forwarded-proto", request.scheme)]
        incoming = HttpRequest(request.method, raw_path, raw_query, headers, body, source_ip)
        event = event_of(incoming, match, request_id=request_id, now=self._clock.now(), claims=claims)
        return await self._invoke(match, json.dumps(event).encode())

    async def _invoke(self, match: Match, payload: bytes) -> HttpAnswer:
        """Run the function behind a route.

        A function that fails or runs into its own timeout is an internal error; unavailable is one that the API
        stopped waiting for, be it that it runs or that no worker was free.
        """
        try:
            async with asyncio.timeout(match.route.timeout_seconds):
                _, returned = await self._pools[match.route.function].invoke(payload)
        except TimeoutError:
            return _own(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        if returned.failed:
            return _own(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
        try:
            return answer_of(returned.payload)
        except BadAnswer:
            return _own(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")


def _own(status: HTTPStatus, message: str, *headers: tuple[str, str]) -> HttpAnswer:
    return HttpAnswer(
        status, [("content-type", "application/json"), *headers], json.dumps({"message": message}).encode()
    )
