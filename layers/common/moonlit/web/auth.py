"""Who is signed in: API Gateway has checked the token, the database says who that is and what they may do."""

from __future__ import annotations

from http import HTTPStatus

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

from moonlit.access.store import Principal, Role, Users
from moonlit.audit.store import Actor
from moonlit.db.engine import Begin
from moonlit.errors import MoonlitError

SCHEME = "signIn"
SIGNED_IN: list[dict[str, list[str]]] = [{SCHEME: []}]
"""What the OpenAPI document says of a route that needs a sign-in: `@app.get(…, security=SIGNED_IN)`."""


PARTNERS: tuple[Role, ...] = ("partner_admin", "case_manager")
"""The roles of people of partner organizations."""


class SignInRefused(MoonlitError):
    """No access token of somebody whom we know."""

    status, slug, title = HTTPStatus.UNAUTHORIZED, "sign-in-refused", "The token is nobody's who may sign in here"


class Forbidden(MoonlitError):
    """We know them, and their role does not reach this far."""

    status, slug, title = HTTPStatus.FORBIDDEN, "forbidden", "Your role does not allow this"


def require(begin: Begin, event: APIGatewayProxyEventV2, *roles: Role) -> Principal:
    """Return who sent `event`, looked up anew for each request: who loses a role loses it at once.

    Raises:
        SignInRefused: It came without an access token, or nobody is known by the token's `sub`.
        Forbidden: They have none of the `roles`, or their organization is closed.
    """
    claims = event.request_context.authorizer.jwt_claim
    sub = claims.get("sub")
    # API Gateway takes the id token too, which is meant for the page that signed in and not for us.
    if claims.get("token_use") != "access" or not isinstance(sub, str):
        raise SignInRefused("not an access token")
    with begin() as connection:
        known = Users(connection).known_as(sub)
    if not known:
        raise SignInRefused("nobody is known by this token")
    for principal in known:
        if principal.role in roles and not principal.closed:
            return principal
    if any(principal.role in roles for principal in known):
        raise Forbidden("the organization is closed")
    raise Forbidden(f"needs one of: {', '.join(roles)}")


def actor(principal: Principal, event: APIGatewayProxyEventV2) -> Actor:
    """Return who `principal` is to the audit log, in this request."""
    return Actor(principal.kind, principal.user_id, principal.organization_id, event.request_context.request_id)
