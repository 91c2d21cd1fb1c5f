"""What every request to athenahealth passes first: the token, the practice, the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

from aiohttp import web

from local.simulators.athena.account import Account
from local.simulators.athena.answers import AthenaVoice, Refusal, told
from local.simulators.athena.tokens import Throttle, Tokens
from local.simulators.common.answers import Refused, plain
from local.simulators.common.faults import Faults
from local.simulators.common.gate import Gate
from moonlit.clock import Clock

BASE = "/v1/{practice}"
TOKEN = "/oauth2/v1/token"  # noqa: S105  # A path.
_REQUEST_ID = "X-Request-Id"


class AthenaGate(Gate):
    """Lets in who has a token that lives, names the practice, and keeps to the limits."""

    voice = AthenaVoice()

    def __init__(
        self, account: Account, tokens: Tokens, faults: Faults, clock: Clock, catch_up: Callable[[], int]
    ) -> None:
        super().__init__(faults, clock)
        self._account = account
        self._tokens = tokens
        self._catch_up = catch_up
        self._throttle = Throttle(account.limits, clock)

    def path(self, request: web.Request) -> str:
        """Return the request's path below the practice; that of the token stays whole."""
        return request.path.removeprefix(f"/v1/{self._account.practice_id}")

    def catch_up(self) -> None:
        """Let happen what the clock has passed."""
        self._catch_up()

    def turned_away(self, request: web.Request) -> web.Response | None:
        """Answer what has no route, no token, another practice, or no room in the limits."""
        if request.match_info.http_exception is not None:
            return plain("Not Found", 404)
        if request.path == TOKEN:
            return None if self._throttle.admit_token() else self.voice.too_many()
        return self._stranger(request) or self._beyond(request)

    def refusal(self, refused: Refused) -> web.Response:
        """Put a refusal in the vendor's words."""
        return told(refused)

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """Return the request's own id, or a new one, and what is left of its limit."""
        request_id = request.headers.get(_REQUEST_ID) or str(uuid4())
        return {_REQUEST_ID: request_id} | self._throttle.headers(is_token=request.path == TOKEN)

    def _stranger(self, request: web.Request) -> web.Response | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return plain("Developer Inactive", 401)
        if not self._tokens.is_good(token.strip()):
            return told(Refusal("Unauthorized", 401, detailedmessage="The access token is invalid or has expired."))
        return None

    def _beyond(self, request: web.Request) -> web.Response | None:
        if not self._throttle.admit_call():
            return self.voice.too_many()
        if request.match_info["practice"] != self._account.practice_id:
            return told(Refusal("The practice does not exist or is not available to this application.", 404))
        return None
