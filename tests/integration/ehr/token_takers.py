"""Callers that share an access token, in a module that a spawned process imports quickly."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from moonlit.clock import FixedClock
from moonlit.db.engine import beginner, connect
from moonlit.ehr.athena_token import SharedToken, TokenEndpoint
from moonlit.ehr.http import open_client

_ONE_MOMENT = FixedClock(datetime(2027, 3, 10, 19, 0, tzinfo=UTC))


def token_elsewhere(url: str, account_id: UUID, vendor_url: str, login: tuple[str, str]) -> str:
    """Return the shared token, over a connection of one's own."""
    engine, client = connect(url), open_client(vendor_url, {})
    endpoint = TokenEndpoint(client, f"{vendor_url}/oauth2/v1/token", login)
    try:
        return SharedToken(beginner(engine), account_id, _ONE_MOMENT, endpoint.ask).current()
    finally:
        client.close()
        engine.dispose()
