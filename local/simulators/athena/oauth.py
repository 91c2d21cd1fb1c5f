"""POST /oauth2/v1/token: two-legged OAuth2 with the client's id and secret."""

from __future__ import annotations

import hmac

from aiohttp import BasicAuth, web

from local.simulators.athena.account import Account
from local.simulators.athena.forms import form_of
from local.simulators.athena.gate import TOKEN
from local.simulators.athena.tokens import LIFETIME, Tokens

_SCOPE = "athena/service/Athenanet.MDP."


class OAuth:
    """Gives out access tokens."""

    def __init__(self, account: Account, tokens: Tokens) -> None:
        self._account = account
        self._tokens = tokens

    def table(self) -> list[web.RouteDef]:
        """Return the one route."""
        return [web.post(TOKEN, self.token)]

    async def token(self, request: web.Request) -> web.Response:
        """Answer a token; its lifetime in seconds is text."""
        if not self._knows(request.headers.get("Authorization", "")):
            return _refused("invalid_client", 401)
        form = await form_of(request)
        if form.text("grant_type") != "client_credentials":
            return _refused("unsupported_grant_type", 400)
        scopes = (form.text("scope") or "").split()
        if not any(scope.startswith(_SCOPE) for scope in scopes):
            return _refused("invalid_scope", 400)
        return web.json_response(
            {
                "access_token": self._tokens.give(),
                "token_type": "Bearer",
                "expires_in": str(int(LIFETIME.total_seconds())),
                "scope": " ".join(scopes),
            }
        )

    def _knows(self, header: str) -> bool:
        try:
            login = BasicAuth.decode(header)
        except ValueError:
            return False
        given, own = f"{login.login}:{login.password}", f"{self._account.client_id}:{self._account.client_secret}"
        return hmac.compare_digest(given.encode(), own.encode())


def _refused(error: str, status: int) -> web.Response:
    return web.json_response({"error": error}, status=status)
