"""What the practice has decided for itself: how it books, how it syncs, and what every payer is given."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header

from moonlit import wiring
from moonlit.practice.answers import SettingsShown, SettingsWanted
from moonlit.practice.settings import Settings
from moonlit.web import auth
from moonlit.web.etags import IfMatch, etag
from moonlit.web.http_api import answer, new_router
from moonlit.web.problems import responses

router = new_router()


@router.get(
    "/admin/settings",
    responses=responses(401, 403, success={200: SettingsShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def settings() -> Response[str]:
    """Show the practice's settings, with the defaults of those that nobody has changed."""
    auth.require(wiring.begin(), router.current_event, "admin")
    found = Settings(wiring.begin(), wiring.clock()).show()
    return answer(found, ETag=etag(found))


@router.put(
    "/admin/settings",
    responses=responses(401, 403, 409, 412, success={200: SettingsShown}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def change_settings(
    body: Annotated[SettingsWanted, Body()],
    if_match: Annotated[IfMatch | None, Header(alias="If-Match")] = None,
) -> Response[str]:
    """Let the settings be as the body says, all of them; the next request finds them so."""
    staff = auth.require(wiring.begin(), router.current_event, "admin")
    actor = auth.actor(staff, router.current_event)
    kept = Settings(wiring.begin(), wiring.clock()).replace(body, if_match, actor)
    return answer(kept, ETag=etag(kept))
