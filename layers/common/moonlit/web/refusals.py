"""What signed-in people are refused is noted: who tries doors leaves a trace."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from uuid import UUID

from moonlit.access.store import Principal, Users
from moonlit.audit.store import Actor
from moonlit.db.engine import Begin
from moonlit.web import auth
from moonlit.web.http_api import HttpApi

_NOTED = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)

type Note = Callable[[Actor, str, str, str | None], None]
"""Is told who asked, the slug of the refusal, the route, and the id in the path if that is one."""


def noting(begin: Callable[[], Begin], kind: str | None, note: Note) -> Callable[[HttpApi, HTTPStatus, str], None]:
    """Return what notes every 403, 404 and 422 of people of that `kind`, `staff` or `partner`, or of both."""

    def noted(app: HttpApi, status: HTTPStatus, slug: str) -> None:
        if status not in _NOTED:
            return
        event = app.current_event
        for principal in _signed_in(begin(), app):
            if kind in (None, principal.kind):
                note(auth.actor(principal, event), slug, event.route_key or "", _id_in_path(app))

    return noted


def _signed_in(begin: Begin, app: HttpApi) -> list[Principal]:
    sub = app.current_event.request_context.authorizer.jwt_claim.get("sub")
    if not isinstance(sub, str):
        return []
    with begin() as connection:
        return Users(connection).known_as(sub)


def _id_in_path(app: HttpApi) -> str | None:
    """Return the id that the path names. What is no id may be anything, even a name."""
    for part in (app.current_event.path_parameters or {}).values():
        try:
            return str(UUID(part))
        except ValueError:
            continue
    return None
