"""What signed-in people are refused is noted: who tries doors leaves a trace."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from moonlit.access.store import Principal, Users
from moonlit.audit.store import Actor
from moonlit.db.engine import Begin
from moonlit.errors import MoonlitError
from moonlit.web import auth

_NOTED = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)

type Note = Callable[[Actor, str, str, str | None], None]
"""Is told who asked, the slug of the refusal, the route, and the id in the path if that is one."""

type Middleware = Callable[[APIGatewayHttpResolver, NextMiddleware], Response[Any]]


def noting_refusals(begin: Callable[[], Begin], kind: str, note: Callable[[], Note]) -> Middleware:
    """Return a middleware that notes every 403, 404 and 422 of people of that `kind` (`staff` or `partner`)."""

    def noting(app: APIGatewayHttpResolver, next_middleware: NextMiddleware) -> Response[Any]:
        try:
            return next_middleware(app)
        except (MoonlitError, RequestValidationError) as error:
            slug = _slug(error)
            for principal in _signed_in(begin(), app) if slug else ():
                if principal.kind == kind:
                    actor = auth.actor(principal, app.current_event)
                    note()(actor, slug or "", app.current_event.route_key or "", _id_in_path(app))
            raise

    return noting


def _slug(error: MoonlitError | RequestValidationError) -> str | None:
    if isinstance(error, RequestValidationError):
        return "malformed-request"
    return error.slug if error.status in _NOTED else None


def _signed_in(begin: Begin, app: APIGatewayHttpResolver) -> list[Principal]:
    sub = app.current_event.request_context.authorizer.jwt_claim.get("sub")
    if not isinstance(sub, str):
        return []
    with begin() as connection:
        return Users(connection).known_as(sub)


def _id_in_path(app: APIGatewayHttpResolver) -> str | None:
    """Return the id that the path names. What is no id may be anything, even a name."""
    for part in (app.current_event.path_parameters or {}).values():
        try:
            return str(UUID(part))
        except ValueError:
            continue
    return None
