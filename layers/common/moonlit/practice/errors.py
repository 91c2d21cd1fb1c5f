"""What the practice's settings refuse; each is a paragraph in docs/problems.md."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class TimezoneFixed(MoonlitError):
    """The zone says which day it is for everything that is stored, so it does not change."""

    status, slug, title = HTTPStatus.CONFLICT, "timezone-fixed", "The practice's time zone does not change"
