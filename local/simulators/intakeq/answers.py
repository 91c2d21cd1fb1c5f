"""How IntakeQ says no."""

from __future__ import annotations

from aiohttp import web


def problem(message: str, status: int, *, retry_after: int | None = None) -> web.Response:
    """Return a refusal: one English sentence."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response({"Message": message}, status=status, headers=headers)


class IntakeqVoice:
    """How IntakeQ words what goes wrong on its side."""

    def failure(self, status: int) -> web.Response:
        """Say that something broke."""
        return problem("An error has occurred.", status)

    def too_many(self, retry_after: int | None = None) -> web.Response:
        """Say that there were too many requests."""
        return problem("Too many requests.", 429, retry_after=retry_after)
