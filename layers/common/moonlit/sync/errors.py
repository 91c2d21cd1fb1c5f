"""What can go wrong with a sync beside the EHR itself."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class SyncContended(MoonlitError):
    """Somebody changed the same rows at the same time, twice in a row; the message comes again."""

    status, slug, title = HTTPStatus.CONFLICT, "sync-contended", "Another worker was at the same visits"


class WebhookRefused(MoonlitError):
    """The path does not end in a secret of ours."""

    status, slug, title = HTTPStatus.UNAUTHORIZED, "webhook-refused", "The webhook's secret is not known"


class WebhookMalformed(MoonlitError):
    """The body makes no sense; it was stored for inspection, and sending it again will not help."""

    status, slug, title = HTTPStatus.BAD_REQUEST, "webhook-malformed", "The webhook's body makes no sense"


class WebhookTooLarge(MoonlitError):
    """The body is larger than any event."""

    status, slug, title = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "webhook-too-large", "The webhook's body is too large"
