"""What can go wrong with a sync beside the EHR itself."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class SyncContended(MoonlitError):
    """Somebody changed the same rows at the same time, twice in a row; the message comes again."""

    status, slug, title = HTTPStatus.CONFLICT, "sync-contended", "Another worker was at the same visits"


class EhrAway(MoonlitError):
    """The EHR did not answer; what we show is as old as it says."""

    status, slug, title = HTTPStatus.SERVICE_UNAVAILABLE, "ehr-unavailable", "The practice's calendar does not answer"


class BudgetSpent(MoonlitError):
    """The EHR lets no more requests through for now, save for bookings."""

    status, slug, title = HTTPStatus.SERVICE_UNAVAILABLE, "budget-exhausted", "Too much was asked of the EHR already"


class SyncStopped(MoonlitError):
    """The account's last sync would have cancelled too much; until a person has looked, nobody goes round that."""

    status, slug, title = HTTPStatus.CONFLICT, "sync-stopped", "The sync waits for somebody of the practice"


class WebhookRefused(MoonlitError):
    """The path does not end in a secret of ours, or the body is not signed with one."""

    status, slug, title = HTTPStatus.UNAUTHORIZED, "webhook-refused", "The webhook's sender is not known"


class WebhookMalformed(MoonlitError):
    """The body makes no sense, or is too large; it was stored for inspection, and sending it again will not help."""

    status, slug, title = HTTPStatus.BAD_REQUEST, "webhook-malformed", "The webhook's body makes no sense"


class ClientTaken(MoonlitError):
    """The EHR's client is another patient already, and visits are never moved between people."""

    status, slug, title = HTTPStatus.CONFLICT, "client-taken", "The EHR's client is another patient"


class AlreadyDecided(MoonlitError):
    """Somebody has decided this before, and otherwise."""

    status, slug, title = HTTPStatus.CONFLICT, "already-decided", "This has been decided before"


class ProviderMapped(MoonlitError):
    """The provider is another practitioner of the EHR already."""

    status, slug, title = HTTPStatus.CONFLICT, "provider-mapped", "The provider is another practitioner already"


class WrongEhrSystem(MoonlitError):
    """The provider's calendar is in another EHR than the practitioner's."""

    status, slug, title = HTTPStatus.CONFLICT, "wrong-ehr-system", "The provider's calendar is in another EHR"


class RunNotStopped(MoonlitError):
    """The brake is not what ended the run, or a later one of its kind has passed: there is nothing to confirm."""

    status, slug, title = HTTPStatus.CONFLICT, "run-not-stopped", "The brake did not stop this run, or another followed"
